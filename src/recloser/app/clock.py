"""Owns the only wall clock of the product, and the measure of waits that no step of it can stretch."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from recloser.core import Clock


class SystemClock:
    """The machine's clock as aware UTC; never goes back within the process."""

    def __init__(self) -> None:
        self._latest = datetime.now(UTC)

    def now(self) -> datetime:
        """Return the present instant; a step back of the system clock is held at the latest value seen."""
        self._latest = max(self._latest, datetime.now(UTC))
        return self._latest


def timer_of(clock: Clock) -> Callable[[], float]:
    """Return what measures waits under a clock, in seconds: monotonic beside the machine's, else the clock itself.

    A machine's clock that was set back a day is held for a day; nobody must wait that long for it.
    """
    return time.monotonic if isinstance(clock, SystemClock) else lambda: clock.now().timestamp()
