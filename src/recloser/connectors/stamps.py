"""Owns what the time stamps of one stream say about its frames: which are missing, which come late. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.points import Missed

SECOND_NS = 1_000_000_000
LONGEST_NS = 3_600 * SECOND_NS  # a longer step is a clock that was set, not a loss


OFF_GRID, WIDE = 0.1, 5.5  # of a step; steps that a gap has at least where stamps stand off the grid


class StampWatch:
    """Follows the stamps of one stream, which stand on the grid of its rate.

    Where they do not (a device that stamps as it sends) only a wide step is a gap: a narrow one is its jitter.
    """

    def __init__(self) -> None:
        self._latest: int | None = None
        self.missing = self.late = 0

    def look(self, t_ns: NDArray[np.int64], rate: int) -> list[Missed]:
        """Return the runs of frames that are missing before or among these.

        Args:
            t_ns: (n,) stamps in the order of arrival, ns since 1970 UTC.
            rate: frames a second; negative: seconds a frame; 0: nothing is known to be missing.
        """
        if not rate or not len(t_ns):
            return []
        if self._latest is not None and int(t_ns.max()) < self._latest - LONGEST_NS:
            self._latest = None  # the clock was set back, or one stamp was far ahead: what follows is not late
        step = SECOND_NS / rate if rate > 0 else -float(rate) * SECOND_NS
        stamps = t_ns if self._latest is None else np.concatenate(([self._latest], t_ns))
        highest = np.maximum.accumulate(stamps)
        steps = stamps[1:] - highest[:-1]
        self.late += int((steps <= 0).sum())
        self._latest = int(highest[-1])
        lost: list[Missed] = []
        away = np.abs(stamps / step - np.round(stamps / step)) > OFF_GRID
        least = np.where(away[1:] | away[:-1], WIDE, 1.5) * step
        for place in np.flatnonzero((steps > least) & (steps <= LONGEST_NS)):
            start, end = int(highest[place]), int(stamps[place + 1])
            count = round((end - start) / step) - 1
            self.missing += count
            lost.append(Missed(start + round(step), end, f"{count} frames are missing"))
        return lost
