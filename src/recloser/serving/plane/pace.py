"""Owns how fast a lane works while it has no rest, and how far behind that makes it. Measures nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

INTERVAL_S = 0.25
"""A lane that was never idle for so long does not just have a burst; work done longer ago hardly counts."""

BATCHES = 2
"""The first batch after a rest is small, and says nothing about how many requests the next one can take."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a lane has done since it was idle: since when (monotonic seconds), batches, requests and seconds."""

    since: float
    batches: int = 0
    requests: float = 0.0
    seconds: float = 0.0


class Pace:
    """Work done since a lane was last idle. Written by the lane's thread, read by any.

    A burst is no overload, and how much of it one batch swallows is not known before it has: so nothing is said before
    the lane has been busy for `INTERVAL_S` and has answered `BATCHES`.
    """

    def __init__(self) -> None:
        self._work: Work | None = None

    def begin(self, now: float) -> None:
        """Take in that there is something to do."""
        if self._work is None:
            self._work = Work(now)

    def note(self, requests: int, seconds: float) -> None:
        """Take in that so many requests were answered in so many seconds."""
        work = self._work
        if work is not None:
            keep = exp(-seconds / INTERVAL_S)
            done = (keep * work.requests + requests, keep * work.seconds + seconds)
            self._work = replace(work, batches=work.batches + 1, requests=done[0], seconds=done[1])

    def rest(self) -> None:
        """Take in that nothing is waiting."""
        self._work = None

    def behind_s(self, waiting: int, at_work: int, elapsed_s: float, now: float) -> float:
        """Return the seconds until all that has come is answered, 0 for a lane that has just begun to work.

        Args:
            waiting: requests that nobody has begun.
            at_work: requests in the batch at work.
            elapsed_s: how long that has been.
            now: monotonic seconds.
        """
        work = self._work
        if work is None or work.batches < BATCHES or now - work.since < INTERVAL_S:
            return 0.0
        each = work.seconds / work.requests
        return waiting * each + max(0.0, at_work * each - elapsed_s)
