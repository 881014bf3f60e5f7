"""Owns what a drift detector is: learn from a series' own history, then one step a day. Implements none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from recloser.monitoring.detectors.day import DayErrors

LEAST_DAYS = 56


@dataclass(frozen=True, slots=True)
class Change:
    """A detector says that a series has changed.

    Attributes:
        day: local day that raised it.
        since: likely onset.
        channel: what changed: 'level', 'scale', 'shape', 'slow', or a plug-in's own word.
        direction: 'above', 'below' or '' where the channel has none.
        score: evidence over the detector's own limit, at least 1, or less where a fleet called it (`declared`); NaN
            where the detector knows no such number.
        change: size of the change in shares of the scale, NaN where the detector knows none.
    """

    day: date
    since: date
    channel: str
    direction: str
    score: float
    change: float


class Monitor(Protocol):
    """A detector on one series between two days. Immutable, and JSON in between.

    Guarantees (`tests/contract/test_detector_contract.py`):
    - `step` is pure: equal inputs give equal outputs, the monitor itself stays as it was.
    - A day at or before the last one counted changes nothing and raises nothing.
    - A NaN block is not evidence; neither is a day that is left out.
    - After a Change it has started afresh: it takes new evidence to raise another one.
    """

    def step(self, day: DayErrors) -> tuple[Monitor, Change | None]:
        """Count one day; return the next monitor and a Change if this day raised one."""
        ...

    @property
    def surprise(self) -> float:
        """Return the share of quiet years that ever get as far as this, in (0, 1]; NaN where it is not known."""
        ...

    def declared(self) -> tuple[Monitor, Change | None]:
        """Call the change that the evidence so far points to and start afresh, as if a limit had been passed today.

        For a fleet that has judged many series together; None, and the monitor as it was, without any evidence.
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        ...


class Detector(Protocol):
    """Makes monitors that find a lasting change in one series' daily errors. Immutable, safe between threads."""

    @property
    def name(self) -> str:
        """Return a short unique name, as written in records."""
        ...

    def fit(self, history: Sequence[DayErrors]) -> Monitor:
        """Return a monitor that has learnt from days believed free of drift, oldest first.

        Raises:
            InvalidInput: fewer than 56 days.
        """
        ...

    def load(self, data: Mapping[str, Any]) -> Monitor:
        """Return the monitor whose `to_dict` gave the data; it answers as that one would.

        Raises:
            InvalidInput: the data are not those of such a monitor.
        """
        ...
