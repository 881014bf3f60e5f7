"""Owns how long to wait after what failed: longer each time, from one second to ten minutes. Tries nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=10)


class Patience:
    """Remembers what failed, how often in a row, and when it is due again; of one process, and begins anew with it."""

    def __init__(self) -> None:
        self._waits: dict[str, tuple[int, datetime]] = {}

    def due(self, what: str, now: datetime) -> bool:
        """Return whether it may be tried at `now` (aware UTC)."""
        return now >= self._waits.get(what, (0, now))[1]

    def tries(self, what: str) -> int:
        """Return how often in a row it failed."""
        return self._waits.get(what, (0, None))[0]

    def failed(self, what: str, now: datetime) -> int:
        """Note a failure at `now` (aware UTC); return how often in a row it has failed by now."""
        tries = self.tries(what)
        self._waits[what] = (tries + 1, now + min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(tries, 10)))
        return tries + 1

    def worked(self, what: str) -> None:
        """Forget the failures of it, and of all that ends in '/<it>': who listens again is told all that waits."""
        self._waits = {
            name: wait for name, wait in self._waits.items() if name != what and not name.endswith(f"/{what}")
        }
