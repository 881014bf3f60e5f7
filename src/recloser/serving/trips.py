"""Owns when a challenger is cut off locally. Does not look at answers and never puts one back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta


def trips(failures: Sequence[datetime], now: datetime, window: timedelta, limit: int) -> bool:
    """Tell whether `limit` failures lie within `window` before `now`; pure."""
    return sum(now - window < failure for failure in failures) >= limit


class TripSwitch:
    """Counts a challenger's failed answers and stays tripped once tripped; lives as long as a route's epoch.

    Reading `tripped` takes no lock; only a failure does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: dict[str, list[datetime]] = {}
        self.tripped: frozenset[str] = frozenset()

    def note(self, release: str, failed: int, now: datetime, window: timedelta, limit: int) -> bool:
        """Add so many failures at `now`; return True if that trips the release, once."""
        with self._lock:
            if release in self.tripped:
                return False
            recent = [*self._failures.get(release, ()), *([now] * min(failed, limit))][-limit:]
            self._failures[release] = recent
            if not trips(recent, now, window, limit):
                return False
            self.tripped |= {release}
            return True

    def cut(self, release: str) -> bool:
        """Trip the release whatever it did here; return True if it was not tripped yet."""
        with self._lock:
            if release in self.tripped:
                return False
            self.tripped |= {release}
            return True
