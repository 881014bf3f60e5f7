"""Owns what was said last about each point of a link, so that it can be called stale. Decides not when."""

from __future__ import annotations

from recloser.connectors.points import BlockHead, PointReading, ReadingBlock, Readings, parts_of


class LatestReadings:
    """The latest reading of each point, of blocks only their last time until it is asked for."""

    def __init__(self) -> None:
        self._single: dict[str, PointReading] = {}
        self._blocks: dict[BlockHead, ReadingBlock] = {}

    def note(self, readings: Readings) -> int | None:
        """Take note of readings, and return when the last of them came, ns since 1970 UTC; None for none."""
        last_ns = None
        for part in parts_of(readings):
            if isinstance(part, ReadingBlock):
                self._blocks.pop(part.head, None)  # what is said later stands behind
                self._blocks[part.head] = part.rows(-1)
                last_ns = int(part.receive_ns[-1])
            else:
                self._unfold()
                self._single.update((reading.point, reading) for reading in part)
                last_ns = part[-1].receive_ns
        return last_ns

    def gone_stale(self, now_ns: int, origin: str) -> list[PointReading]:
        """Return all of them as what is not known to hold any more from `now_ns` on."""
        self._unfold()
        return [last.gone_stale(now_ns, origin) for last in self._single.values()]

    def forget(self) -> None:
        """Know nothing any more."""
        self._single.clear()
        self._blocks.clear()

    def _unfold(self) -> None:
        for block in self._blocks.values():
            self._single.update((reading.point, reading) for reading in block)
        self._blocks.clear()
