"""Owns polling Modbus TCP devices. Decoding: `connectors/modbus`."""
