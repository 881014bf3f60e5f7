"""Owns when there is too much to do: requests under way, how far behind the models and how late the event loop are.

For one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from recloser.serving.http.admission.limits import TrafficLimits
from recloser.serving.http.admission.scopes import Priority

BEAT_S = 0.05
SHARES = {Priority.FORECAST: 1.0, Priority.ROUTED: 0.8, Priority.OTHER: 0.5}
PATIENCE = {Priority.FORECAST: float("inf"), Priority.ROUTED: 1.0, Priority.OTHER: 0.5}


class Load:
    """Counts requests under way and measures the event loop's lateness by a beat every 50 ms.

    The loop is late by about the time that a request waits in its connection before anybody looks at it. The models
    work in threads: how long a request waits for them does not show in the loop, and is asked for.

    Args:
        limits: what is too much.
        timer: monotonic seconds.
        behind_s: seconds that a new request would wait for the models.
    """

    def __init__(
        self, limits: TrafficLimits, timer: Callable[[], float], behind_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._behind_s = behind_s
        self._room = {priority: max(1, int(limits.concurrent * share)) for priority, share in SHARES.items()}
        self._latest = {priority: limits.overload_ms / 1000.0 * share for priority, share in PATIENCE.items()}
        self._timer = timer
        self._due: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous_s = 0.0
        self.late_s = 0.0
        self.under_way = 0

    def beat(self) -> None:
        """Begin to measure; called within the running loop, more than once is fine."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._due, self._previous_s, self.late_s = loop, None, 0.0, 0.0
        if self._due is None:
            self._plan(loop)

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = self._timer() + BEAT_S
        loop.call_later(BEAT_S, self._measure)

    def _measure(self) -> None:
        assert self._due is not None
        assert self._loop is not None
        self.note_late(self._timer() - self._due)
        if self.under_way or self.late_s > 0.001:
            self._plan(self._loop)
        else:
            self._due = None  # nothing to do: the next request begins to measure again

    def note_late(self, seconds: float) -> None:
        """Take a measurement in: a rise counts if two in a row say so, a fall by half a beat."""
        self.late_s = max(min(seconds, self._previous_s), 0.5 * self.late_s)
        self._previous_s = seconds

    def too_much(self, priority: Priority) -> tuple[str, float]:
        """Return why a request of that priority must be turned away now, and for how many seconds.

        The text is empty if it need not be.
        """
        patience_s = self._latest[priority]
        if self.under_way >= self._room[priority]:
            return f"{self.under_way} requests are under way", self._behind_s()
        if self.late_s > patience_s:
            return f"requests wait {1000 * self.late_s:.0f} ms before they are read", self.late_s
        behind_s = self._behind_s()
        if behind_s > patience_s:
            return f"requests wait {1000 * behind_s:.0f} ms for the models", behind_s
        return "", 0.0
