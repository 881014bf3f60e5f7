"""Owns the only wall clock of the product."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """The machine's clock as aware UTC; never goes back within the process."""

    def __init__(self) -> None:
        self._latest = datetime.now(UTC)

    def now(self) -> datetime:
        """Return the present instant; a step back of the system clock is held at the latest value seen."""
        self._latest = max(self._latest, datetime.now(UTC))
        return self._latest
