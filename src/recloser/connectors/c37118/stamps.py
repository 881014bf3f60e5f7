"""Owns what the time stamps of one stream say about its frames: which are missing, which come late. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.points import Missed

SECOND_NS = 1_000_000_000
LONGEST_NS = 3_600 * SECOND_NS  # a longer step is a clock that was set, not a loss


class StampWatch:
    """Follows the stamps of one stream, which stand on the grid of its rate."""

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
        step = SECOND_NS / rate if rate > 0 else -float(rate) * SECOND_NS
        stamps = t_ns if self._latest is None else np.concatenate(([self._latest], t_ns))
        highest = np.maximum.accumulate(stamps)
        steps = stamps[1:] - highest[:-1]
        self.late += int((steps <= 0).sum())
        self._latest = int(highest[-1])
        lost: list[Missed] = []
        for place in np.flatnonzero((steps > 1.5 * step) & (steps <= LONGEST_NS)):
            start, end = int(highest[place]), int(stamps[place + 1])
            count = round((end - start) / step) - 1
            self.missing += count
            lost.append(Missed(start + round(step), end, f"{count} frames are missing"))
        return lost
