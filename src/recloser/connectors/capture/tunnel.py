"""Owns taking a tunnel off a datagram: IP in IP, GRE with ERSPAN, VXLAN. What is inside is a packet again.

Sources: RFC 2003, 2473 (IP in IP), RFC 2784, 2890 (GRE), RFC 7348 (VXLAN); ERSPAN as mirror ports of switches send it.
"""

from __future__ import annotations

from recloser.connectors.capture.internet import Datagram
from recloser.connectors.capture.link import ETHERNET, IPV4, IPV6

RAW_IP = 101
IP4, IP6, GRE, UDP = 4, 41, 47, 17
VXLAN_PORT = 4789
BRIDGED, ERSPAN, ERSPAN_3 = 0x6558, 0x88BE, 0x22EB
GRE_LENGTHS = ((0x8000, 4), (0x2000, 4), (0x1000, 4))
"""Fields of a GRE header that are there if a flag is: check sum, key, sequence number."""


def inside(datagram: Datagram) -> tuple[int, bytes] | None:
    """Return (link type, packet) of what a datagram carries, or None if it is no tunnel."""
    payload = datagram.payload
    if datagram.protocol in {IP4, IP6}:
        return RAW_IP, payload
    if datagram.protocol == GRE:
        return _gre(payload)
    if datagram.protocol == UDP and len(payload) >= 16 and int.from_bytes(payload[2:4]) == VXLAN_PORT:
        return (ETHERNET, payload[16:]) if payload[8] & 0x08 else None
    return None


def _gre(payload: bytes) -> tuple[int, bytes] | None:
    if len(payload) < 4:
        return None
    flags, kind = int.from_bytes(payload[:2]), int.from_bytes(payload[2:4])
    if flags & 0x4007:  # with routing, or of another version
        return None
    rest = payload[4 + sum(length for flag, length in GRE_LENGTHS if flags & flag) :]
    if kind in {IPV4, IPV6}:
        return RAW_IP, rest
    if kind == BRIDGED:
        return ETHERNET, rest
    if kind == ERSPAN:
        return ETHERNET, rest[8:] if flags & 0x1000 else rest  # type I has no header of its own
    if kind == ERSPAN_3 and len(rest) >= 12:
        return ETHERNET, rest[20 if rest[11] & 1 else 12 :]
    return None
