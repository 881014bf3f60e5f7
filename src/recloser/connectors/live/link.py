"""Owns what is said about a link: its state, its counters, when to try again, and where readings go. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from recloser.connectors.points import Readings
from recloser.core import InvalidInput


class LinkState(Enum):
    """Whether a device can be heard."""

    CONNECTING = "connecting"
    UP = "up"
    DOWN = "down"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """A change of a link: data for the store and the pages, not a line in a log.

    Attributes:
        source: the device, as the project names it.
        state: from now on.
        at_ns: nanoseconds since 1970 UTC by our clock.
        reason: why, for people.
    """

    source: str
    state: LinkState
    at_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """The heartbeat of a link.

    Attributes:
        state: now; since_ns: from when.
        connects: times the link came up; failures: times it could not, or went down.
        readings: accepted since the start; last_ns: time of the latest, None for none.
        reason: of the latest change.
    """

    state: LinkState = LinkState.CONNECTING
    since_ns: int = 0
    connects: int = 0
    failures: int = 0
    readings: int = 0
    last_ns: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next try: `first_s`, then doubled, at most `most_s`."""

    first_s: float = 1.0
    most_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.most_s:
            raise InvalidInput(
                "an unusable backoff", got=f"{self.first_s} .. {self.most_s} s", expected="0 < first <= most"
            )

    def delay_s(self, failures: int) -> float:
        """Return the wait after so many failures in a row, at least one."""
        return min(self.first_s * 2.0 ** min(failures - 1, 60), self.most_s)


class LinkOutput(Protocol):
    """Where a link's readings and changes go. Called from the link's event loop, one call at a time.

    `accept` and `tell_gap` return once it is durable and raise Unavailable if it cannot be: the link then goes down and
    the device is not told that its data arrived. A `Spool` has both.
    """

    def accept(self, readings: Readings) -> int:
        """Make readings durable."""
        ...

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        """Record that readings of a source are missing between two times."""
        ...

    def tell_link(self, event: LinkEvent) -> None:
        """Publish a change of the link."""
        ...
