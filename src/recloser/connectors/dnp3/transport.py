"""Owns putting transport segments together to application fragments. Source: IEEE 1815-2012, clause 8."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

FIN, FIR = 0x80, 0x40
REMEMBERED, LARGEST = 4_096, 65_536


@dataclass(frozen=True, slots=True)
class _Assembly:
    """What came of an association: the number that is due, the fragment so far (None: done), the latest segment."""

    due: int
    whole: bytes | None
    packet: int
    latest: bytes


class Transport:
    """Puts transport segments together to application fragments, one association at a time.

    A segment that is the one before once more (a link layer that tried again, a mirrored packet) is passed over.

    Attributes:
        packet: the latest packet that brought a segment of the fragment last returned.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[Hashable, _Assembly] = OrderedDict()
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
        elif before.latest == data:
            self._open[key] = before
            return None
        elif before.whole is None:
            return "a transport segment without its first"
        elif before.due != sequence:
            return f"transport segment {sequence} where {before.due} was due"
        else:
            whole, packet = before.whole + body, max(packet, before.packet)
        if len(whole) > LARGEST:
            return "a fragment of too many segments"
        complete = bool(head & FIN)
        self._open[key] = _Assembly((sequence + 1) & 0x3F, None if complete else whole, packet, data)
        if len(self._open) > REMEMBERED:
            self._open.popitem(last=False)
        if complete:
            self.packet = packet
        return whole if complete else None
