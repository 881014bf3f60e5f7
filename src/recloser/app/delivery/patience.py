"""Owns how long to wait after what failed: longer each time, from one second to ten minutes. Tries nothing."""

from __future__ import annotations

from collections.abc import Callable

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 600.0


class Patience:
    """Remembers what failed, how often in a row, and when it is due again; of one process, and begins anew with it.

    Args:
        timer: seconds that only grow; see `timer_of`.
    """

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._waits: dict[str, tuple[int, float]] = {}

    def due(self, what: str) -> bool:
        """Return whether it may be tried now."""
        return what not in self._waits or self._timer() >= self._waits[what][1]

    def tries(self, what: str) -> int:
        """Return how often in a row it failed."""
        return self._waits.get(what, (0, 0.0))[0]

    def failed(self, what: str) -> int:
        """Note a failure now; return how often in a row it has failed by now."""
        tries = self.tries(what)
        self._waits[what] = (tries + 1, self._timer() + min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(tries, 10)))
        return tries + 1

    def worked(self, what: str) -> None:
        """Forget the failures of it, and of all that ends in '/<it>': who listens again is told all that waits."""
        self._waits = {
            name: wait for name, wait in self._waits.items() if name != what and not name.endswith(f"/{what}")
        }
