"""Owns Modbus TCP as recorded: headers, requests, responses matched to requests. Does not own sockets."""

from recloser.connectors.modbus.pdu import Pdu, read_pdu
from recloser.connectors.modbus.rows import ModbusRows

__all__ = ["ModbusRows", "Pdu", "read_pdu"]
