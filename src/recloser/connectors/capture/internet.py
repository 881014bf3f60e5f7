"""Owns IPv4 and IPv6: addresses, extension headers, fragments put together within bounds. Not TCP or UDP."""

from __future__ import annotations

import ipaddress
import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from recloser.connectors.capture.link import IPV4

EXTENSIONS = {0, 43, 60, 135, 139, 140}
FRAGMENT, AUTHENTICATION = 44, 51
WAITING, LARGEST = 256, 65_535  # datagrams in pieces at a time; bytes of one


@dataclass(frozen=True, slots=True)
class Datagram:
    """An IP datagram: addresses as text, protocol number, payload."""

    source: str
    target: str
    protocol: int
    payload: bytes


@dataclass(slots=True)
class _Pieces:
    """The fragments of one datagram that have come."""

    packet: int
    parts: dict[int, bytes] = field(default_factory=dict)
    length: int | None = None
    repeats: bool = False  # all of them had come before, in a datagram that became whole

    @property
    def digest(self) -> frozenset[tuple[int, int]]:
        """Return what tells these pieces from others."""
        return frozenset((offset, hash(part)) for offset, part in self.parts.items())

    def whole(self) -> bytes | None:
        if self.length is None:
            return None
        payload = bytearray()
        for offset in sorted(self.parts):
            if offset > len(payload):
                return None
            payload[offset:] = self.parts[offset]
        return bytes(payload[: self.length]) if len(payload) >= self.length else None


class Internet:
    """Turns IP packets into datagrams; remembers fragments, the oldest forgotten first."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[object, ...], _Pieces] = OrderedDict()
        self._whole: OrderedDict[tuple[object, ...], frozenset[tuple[int, int]]] = OrderedDict()
        self._packet = 0
        self._forgotten: list[int] = []

    def take_lost(self, *, at_end: bool = False) -> Iterator[int]:
        """Yield, and forget, the first packet of each datagram given up for lost pieces, at the end of all."""
        if at_end:
            waiting = [pieces.packet for pieces in self._waiting.values() if not pieces.repeats]
            self._forgotten = sorted([*self._forgotten, *waiting])
            self._waiting.clear()
        while self._forgotten:
            yield self._forgotten[0]
            del self._forgotten[0]

    def pending(self) -> int | None:
        """Return the earliest packet that may be told as lost; None where none may."""
        waiting = [pieces.packet for pieces in self._waiting.values() if not pieces.repeats]
        return min([*self._forgotten, *waiting], default=None)

    def open(self, ethertype: int, data: bytes, packet: int = 0) -> Datagram | None:
        """Return the datagram that is whole with this packet, or None (a piece, or no IP)."""
        self._packet = packet
        try:
            return self._open4(data) if ethertype == IPV4 else self._open6(data)
        except (struct.error, IndexError, ValueError):
            return None

    def _open4(self, data: bytes) -> Datagram | None:
        start, total, ident, flags = data[0], *struct.unpack_from(">HHH", data, 2)
        header = (start & 15) * 4
        if start >> 4 != 4 or header < 20 or len(data) < header:
            return None
        protocol, source, target = data[9], _text(data[12:16]), _text(data[16:20])
        payload = data[header : total if total >= header else None]  # 0: segmented by the network card
        offset, more = (flags & 0x1FFF) * 8, bool(flags & 0x2000)
        if offset or more:
            whole = self._piece((source, target, protocol, ident), offset, payload, more=more)
            return None if whole is None else Datagram(source, target, protocol, whole)
        return Datagram(source, target, protocol, payload)

    def _open6(self, data: bytes) -> Datagram | None:
        if data[0] >> 4 != 6 or len(data) < 40:
            return None
        length, following = struct.unpack_from(">HB", data, 4)
        source, target = _text(data[8:24]), _text(data[24:40])
        payload = data[40 : 40 + length if length else None]
        while following in EXTENSIONS or following in {FRAGMENT, AUTHENTICATION}:
            if following == FRAGMENT:
                following, place, ident = payload[0], *struct.unpack_from(">HI", payload, 2)
                key = (source, target, following, ident)
                whole = self._piece(key, place & 0xFFF8, payload[8:], more=bool(place & 1))
                if whole is None:
                    return None
                payload = whole
                continue
            size = (payload[1] + 2) * 4 if following == AUTHENTICATION else (payload[1] + 1) * 8
            following, payload = payload[0], payload[size:]
        return Datagram(source, target, following, payload)

    def _piece(self, key: tuple[object, ...], offset: int, payload: bytes, *, more: bool) -> bytes | None:
        if offset + len(payload) > LARGEST:
            return None
        repeats, pieces = (offset, hash(payload)) in self._whole.get(key, ()), self._waiting.get(key)
        # Repetitions of an old datagram are no part of a new one.
        if pieces is None or (pieces.repeats and not repeats):
            pieces = self._waiting[key] = _Pieces(self._packet, repeats=repeats)
        pieces.parts.setdefault(offset, payload)
        if not more:
            pieces.length = offset + len(payload)
        whole = pieces.whole()
        if whole is not None:
            self._whole[key] = pieces.digest
            del self._waiting[key]
            if len(self._whole) > WAITING:
                self._whole.popitem(last=False)
        elif len(self._waiting) > WAITING:
            oldest = self._waiting.popitem(last=False)[1]
            self._forgotten += [] if oldest.repeats else [oldest.packet]
        return whole


@lru_cache(maxsize=4096)
def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address))
