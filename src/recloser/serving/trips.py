"""Owns when a challenger is cut off locally, and why. Does not look at answers and never puts one back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Cut:
    """A challenger cut off.

    Attributes:
        release: whom.
        reason: why, one clause.
        at: since when (aware UTC).
        failures: what was wrong with the answers that led to it, oldest first; empty if another gateway found it.
    """

    release: str
    reason: str
    at: datetime
    failures: tuple[str, ...] = ()


def trips(failures: Sequence[datetime], now: datetime, window: timedelta, limit: int) -> bool:
    """Tell whether `limit` failures lie within `window` before `now`; pure."""
    return sum(now - window < failure for failure in failures) >= limit


class TripSwitch:
    """Counts a challenger's failed answers and stays tripped once tripped; lives as long as a route's epoch.

    Reading `tripped` takes no lock; only a failure does.

    Args:
        tell: told of each challenger that its own failures cut off here, before the answer that failed goes on.
    """

    def __init__(self, tell: Callable[[Cut], None] = lambda _cut: None) -> None:
        self._lock = threading.Lock()
        self._failures: dict[str, list[tuple[datetime, str]]] = {}
        self._tell = tell
        self.cuts: tuple[Cut, ...] = ()
        self.tripped: frozenset[str] = frozenset()

    def note(self, release: str, failures: Sequence[str], now: datetime, window: timedelta, limit: int) -> Cut | None:
        """Add failed answers at `now`, each with what was wrong; return the cut if that trips the release, once."""
        with self._lock:
            if release in self.tripped:
                return None
            recent = [*self._failures.get(release, ()), *((now, failure) for failure in failures)][-limit:]
            self._failures[release] = recent
            if not trips([at for at, _ in recent], now, window, limit):
                return None
            words = tuple(failure for _, failure in recent)
            reason = f"{limit} failed answers within {window}; the last: {words[-1]}"
            found = self._add(Cut(release, reason, now, words))
        self._tell(found)
        return found

    def cut(self, release: str, reason: str, now: datetime) -> bool:
        """Trip the release whatever it did here; return True if it was not tripped yet."""
        with self._lock:
            if release in self.tripped:
                return False
            self._add(Cut(release, reason, now))
            return True

    def _add(self, cut: Cut) -> Cut:
        self.cuts = (*self.cuts, cut)
        self.tripped |= {cut.release}
        return cut
