"""Owns live links to devices: connect, read, reconnect, tell the state of the link. Read-only: no control can be sent.

Does not own decoding (each protocol's sub-room), durability (the spool), or processes (app).
"""

from recloser.connectors.live.c37118.carrier import Stream, Transport
from recloser.connectors.live.c37118.client import C37118Client
from recloser.connectors.live.c37118.concentrating import ConcentratingClient
from recloser.connectors.live.c37118.session import C37118Session, SessionRules
from recloser.connectors.live.dnp3.client import Dnp3Addresses, Dnp3Client
from recloser.connectors.live.dnp3.session import Dnp3Session, Dnp3Timing
from recloser.connectors.live.endpoint import Endpoint
from recloser.connectors.live.iec104.client import Iec104Client
from recloser.connectors.live.iec104.session import Iec104Session, Iec104Timing
from recloser.connectors.live.link import Backoff, LinkEvent, LinkOutput, LinkState, LinkStatus
from recloser.connectors.live.modbus.client import ModbusClient
from recloser.connectors.live.modbus.plan import ModbusRead, plan_reads
from recloser.connectors.live.sttp.client import SttpClient
from recloser.connectors.live.sttp.session import SttpSession, SttpTiming
from recloser.connectors.live.supervision import Link, LiveClient

__all__ = [
    "Backoff",
    "C37118Client",
    "C37118Session",
    "ConcentratingClient",
    "Dnp3Addresses",
    "Dnp3Client",
    "Dnp3Session",
    "Dnp3Timing",
    "Endpoint",
    "Iec104Client",
    "Iec104Session",
    "Iec104Timing",
    "Link",
    "LinkEvent",
    "LinkOutput",
    "LinkState",
    "LinkStatus",
    "LiveClient",
    "ModbusClient",
    "ModbusRead",
    "SessionRules",
    "Stream",
    "SttpClient",
    "SttpSession",
    "SttpTiming",
    "Transport",
    "plan_reads",
]
