"""Owns how fast a lane works while it has no rest, and how far behind that makes it. Measures nothing itself."""

from __future__ import annotations

from math import exp

INTERVAL_S = 0.25
"""A lane that was never idle for so long does not just have a burst; work done longer ago hardly counts."""


class Pace:
    """Work done since a lane was last idle. Written by the lane's thread, read by any.

    A burst is no overload, and how much of it one batch swallows is not known before it has: so nothing is said before
    the lane has been busy for `INTERVAL_S`.
    """

    def __init__(self) -> None:
        self._done: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def note(self, requests: int, seconds: float) -> None:
        """Take in that so many requests were answered in so many seconds."""
        busy, answered, took = self._done
        keep = exp(-seconds / INTERVAL_S)
        self._done = (busy + seconds, keep * answered + requests, keep * took + seconds)

    def rest(self) -> None:
        """Take in that nothing is waiting."""
        self._done = (0.0, 0.0, 0.0)

    def behind_s(self, ahead: int) -> float:
        """Return the seconds that so many requests will take, 0 for a lane that has just begun to work."""
        busy, answered, took = self._done
        return ahead * took / answered if busy >= INTERVAL_S and answered > 0 else 0.0
