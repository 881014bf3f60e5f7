"""Owns putting frames of several streams together by time stamp, as a phasor data concentrator does. Pure; no socket.

Source: IEEE C37.244-2013, clause 5.2 (alignment, waiting times); the terms lag and lead time are openPDC's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from recloser.core import InvalidInput

SECOND_NS = 1_000_000_000
T = TypeVar("T")
Fate = Literal["used", "late", "ahead", "repeated"]


@dataclass(frozen=True, slots=True)
class Waits:
    """How long one waits.

    Attributes:
        lag_s: for the frames of an instant, from the instant on.
        lead_s: an instant may be ahead of our clock by this.
        relative: the lag runs from the first frame of an instant on, for clocks that are not ours.
    """

    lag_s: float = 1.0
    lead_s: float = 1.0
    relative: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.lag_s <= 3_600 and 0 <= self.lead_s <= 3_600):
            raise InvalidInput(
                "unusable waits", got=f"lag {self.lag_s} s, lead {self.lead_s} s", expected="0 .. 3600 s"
            )


@dataclass(frozen=True, slots=True)
class Aligned(Generic[T]):
    """What all streams say about one instant.

    Attributes:
        t_ns: the instant on the grid, ns since 1970 UTC.
        items: in the order of the streams; None for those that are missing.
    """

    t_ns: int
    items: tuple[T | None, ...]

    @property
    def complete(self) -> bool:
        """Return whether every stream has told."""
        return None not in self.items


@dataclass(frozen=True, slots=True)
class StreamTally:
    """Frames of one stream by what became of them."""

    used: int = 0
    missing: int = 0
    late: int = 0
    ahead: int = 0
    repeated: int = 0


class Concentrator(Generic[T]):
    """Aligns frames; instants leave in their order, when they are complete or have waited long enough.

    A stream is waited for from its first frame on, and until it is told to be away.

    Args:
        streams: how many.
        rate: instants a second; frames are put to the nearest.
        waits: how long one waits.
    """

    def __init__(self, streams: int, rate: int, waits: Waits | None = None) -> None:
        if streams < 1 or rate < 1:
            raise InvalidInput(
                "an unusable concentrator", got=f"{streams} streams, {rate} a second", expected="at least 1"
            )
        self._streams, self._rate, self._waits = streams, rate, waits or Waits()
        self._waiting: dict[int, list[T | None]] = {}
        self._since_ns: dict[int, int] = {}
        self._released: int | None = None
        self._present = [False] * streams
        self._counts = [Counter[str]() for _ in range(streams)]
        self.instants = self.complete = 0

    def add(self, stream: int, t_ns: int, item: T, now_ns: int) -> Fate:
        """Take a frame; return what becomes of it. Only one that is used will be part of its instant."""
        counts = self._counts[stream]
        slot = (t_ns * self._rate + SECOND_NS // 2) // SECOND_NS
        if self._released is not None and slot <= self._released:
            counts["late"] += 1
            return "late"
        if t_ns > now_ns + self._waits.lead_s * SECOND_NS:
            counts["ahead"] += 1
            return "ahead"
        row = self._waiting.setdefault(slot, [None] * self._streams)
        if row[stream] is not None:
            counts["repeated"] += 1
            return "repeated"
        row[stream] = item
        self._since_ns.setdefault(slot, now_ns)
        self._present[stream] = True
        counts["used"] += 1
        return "used"

    def away(self, stream: int) -> None:
        """Wait for a stream no more, until it speaks again."""
        self._present[stream] = False

    def due(self, now_ns: int) -> list[Aligned[T]]:
        """Return the instants that may leave now, in their order; one that waits holds up those after it."""
        out: list[Aligned[T]] = []
        lag_ns = int(self._waits.lag_s * SECOND_NS)
        expired = [slot for slot in self._waiting if now_ns - self._start(slot) >= lag_ns]
        until = max(expired, default=None)
        for slot in sorted(self._waiting):
            row = self._waiting[slot]
            whole = all(item is not None for item, here in zip(row, self._present, strict=True) if here)
            if not whole and (until is None or slot > until):
                break
            out.append(self._release(slot, row))
        return out

    def tallies(self) -> Sequence[StreamTally]:
        """Return what became of the frames of each stream."""
        return [StreamTally(**counts) for counts in self._counts]

    def _start(self, slot: int) -> int:
        return self._since_ns[slot] if self._waits.relative else self._instant(slot)

    def _instant(self, slot: int) -> int:
        return slot * SECOND_NS // self._rate

    def _release(self, slot: int, row: list[T | None]) -> Aligned[T]:
        del self._waiting[slot], self._since_ns[slot]
        self._released = slot
        self.instants += 1
        self.complete += None not in row
        for item, here, counts in zip(row, self._present, self._counts, strict=True):
            counts["missing"] += here and item is None
        return Aligned(self._instant(slot), tuple(row))
