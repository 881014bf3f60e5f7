"""Owns IEC 60870-5-104: control information, data units, information elements, as recorded. Does not own sockets."""

from recloser.connectors.iec104.asdu import Asdu, InformationObject, read_asdu
from recloser.connectors.iec104.rows import Iec104Rows, measure
from recloser.connectors.iec104.types import TYPES, AsduType

__all__ = ["TYPES", "Asdu", "AsduType", "Iec104Rows", "InformationObject", "measure", "read_asdu"]
