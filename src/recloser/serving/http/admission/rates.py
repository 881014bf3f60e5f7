"""Owns one token bucket per caller. Knows no request; not thread safe, for one event loop."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable


class Rates:
    """Lets each caller do `per_second` things a second, and `burst` at once after a rest.

    Args:
        per_second: refill; 0 lets everything pass.
        burst: size of a bucket.
        timer: monotonic seconds.
        most: buckets kept; the caller silent for longest is forgotten first, which can only be in its favour.
    """

    def __init__(self, per_second: float, burst: int, timer: Callable[[], float], most: int = 10_000) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._timer = timer
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str) -> float:
        """Take one from the caller's bucket and return 0, or return the seconds until there is one."""
        if self._per_second <= 0:
            return 0.0
        now = self._timer()
        level, then = self._buckets.pop(caller, (self._burst, now))
        level = min(self._burst, level + (now - then) * self._per_second)
        enough = level >= 1.0
        self._buckets[caller] = (level - 1.0 if enough else level, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0 if enough else (1.0 - level) / self._per_second
