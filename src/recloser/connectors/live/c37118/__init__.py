"""Owns a live link to PMUs and PDCs over TCP. Decoding: `connectors/c37118`."""
