"""Owns a live link to STTP publishers (IEEE 2664). Decoding: `connectors/sttp`."""
