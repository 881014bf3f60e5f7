"""Owns a live link to IEC 60870-5-104 stations. Decoding: `connectors/iec104`."""
