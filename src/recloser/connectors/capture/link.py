"""Owns taking the link layer off a packet: Ethernet with its tags, Linux cooked, loopback, raw IP, PPP. Nothing above.

Tags are VLAN (802.1Q, 802.1ad), HSR (IEC 62439-3), MPLS labels, PPPoE sessions, and LLC with SNAP (IEEE 802, RFC 1042).
"""

from __future__ import annotations

import struct

IPV4, IPV6 = 0x0800, 0x86DD
TAGS = {0x8100, 0x88A8, 0x9100, 0x9200}
HSR, PPPOE = 0x892F, 0x8864
MPLS = {0x8847, 0x8848}
PPP = {0x0021: IPV4, 0x0057: IPV6, 0x0281: 0x8847, 0x0283: 0x8848}
IP_VERSIONS = {4: IPV4, 6: IPV6}
MOST_TAGS = 16
LONGEST_LENGTH, SNAP = 1_500, b"\xaa\xaa\x03\0\0\0"
NULL, ETHERNET, LOOP, SLL, SLL2 = 0, 1, 108, 113, 276
RAW = {12, 14, 101}
SINGLE = {228: IPV4, 229: IPV6}
PPP_LINKS, ADDRESS_AND_CONTROL = {9, 50}, b"\xff\x03"
FAMILIES = {2: IPV4, 10: IPV6, 24: IPV6, 28: IPV6, 30: IPV6}


def open_link(link: int, data: bytes) -> tuple[int, str, bytes] | None:
    """Return (EtherType, sender's hardware address, payload) of a packet, or None where there is none to be had.

    Args:
        link: link type (the registry of libpcap).
        data: the packet.
    """
    if link == ETHERNET:
        return None if len(data) < 14 else _untagged(int.from_bytes(data[12:14]), data[6:12].hex(":"), data[14:])
    if link == SLL:
        return None if len(data) < 16 else _untagged(int.from_bytes(data[14:16]), data[6:12].hex(":"), data[16:])
    if link == SLL2:
        return None if len(data) < 20 else _untagged(int.from_bytes(data[:2]), data[12:18].hex(":"), data[20:])
    if link in RAW and data:
        return IP_VERSIONS.get(data[0] >> 4, 0), "", data
    if link in SINGLE:
        return SINGLE[link], "", data
    if link in PPP_LINKS and len(data) >= 4:
        return _point_to_point(data)
    if link in {NULL, LOOP} and len(data) >= 4:
        return _family(data), "", data[4:]
    return None


def _untagged(kind: int, source: str, payload: bytes) -> tuple[int, str, bytes]:
    for _ in range(MOST_TAGS):
        if kind in TAGS and len(payload) >= 4:
            kind, payload = int.from_bytes(payload[2:4]), payload[4:]
        elif kind == HSR and len(payload) >= 6:  # path and size, sequence number, EtherType of what is inside
            kind, payload = int.from_bytes(payload[4:6]), payload[6:]
        elif kind in MPLS and len(payload) >= 4:
            bottom, payload = payload[2] & 1, payload[4:]
            kind = (IP_VERSIONS.get(payload[0] >> 4, 0) if payload else 0) if bottom else kind
        elif kind <= LONGEST_LENGTH and payload[:6] == SNAP and len(payload) >= 8:  # a length stands for the EtherType
            kind, payload = int.from_bytes(payload[6:8]), payload[8 : max(kind, 8)]
        elif kind == PPPOE and len(payload) >= 8:
            kind, payload = PPP.get(int.from_bytes(payload[6:8]), 0), payload[8:]
        else:
            break
    return kind, source, payload


def _point_to_point(data: bytes) -> tuple[int, str, bytes]:
    """Return a PPP frame (RFC 1661, 1662): address and control may be left out, and the zero byte of a protocol."""
    place = 2 if data[:2] == ADDRESS_AND_CONTROL else 0
    end = place + (1 if data[place] & 1 else 2)
    return _untagged(PPP.get(int.from_bytes(data[place:end]), 0), "", data[end:])


def _family(data: bytes) -> int:
    """Return the EtherType of a loopback packet; the recorder's byte order is not told, so the small number is it."""
    low, high = struct.unpack("<I", data[:4])[0], struct.unpack(">I", data[:4])[0]
    return FAMILIES.get(min(low, high), 0)
