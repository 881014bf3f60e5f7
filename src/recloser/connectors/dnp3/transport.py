"""Owns putting transport segments together to application fragments. Source: IEEE 1815-2012, clause 8."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

FIN, FIR = 0x80, 0x40
REMEMBERED, LARGEST = 4_096, 65_536


class Transport:
    """Puts transport segments together to application fragments, one association at a time.

    Attributes:
        packet: the latest packet that brought a segment of the fragment last returned.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[Hashable, tuple[int, bytes, int]] = OrderedDict()
        self.packet = 0

    def add(self, key: Hashable, data: bytes, packet: int = 0) -> bytes | str | None:
        """Return the fragment that this segment completes, None while more must come, or why it is of no use."""
        head, body = data[0], data[1:]
        sequence = head & 0x3F
        before = self._open.pop(key, None)
        if head & FIR:
            whole = body
        elif before is None:
            return "a transport segment without its first"
        elif before[0] != sequence:
            return f"transport segment {sequence} where {before[0]} was due"
        else:
            whole, packet = before[1] + body, max(packet, before[2])
        if head & FIN:
            self.packet = packet
            return whole
        if len(whole) > LARGEST:
            return "a fragment of too many segments"
        self._open[key] = ((sequence + 1) & 0x3F, whole, packet)
        if len(self._open) > REMEMBERED:
            self._open.popitem(last=False)
        return None
