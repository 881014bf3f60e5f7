"""Owns a live link to DNP3 outstations. Decoding: `connectors/dnp3`."""
