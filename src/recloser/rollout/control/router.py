"""Owns the seams to the gateways: who brings them a route, and who verifies a release. Implements neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from recloser.ledger import RouteRecord

Verify = Callable[[str], str]
"""Re-verifies a release's package: returns an empty text, or why it must not serve; raises Unavailable at most."""


class Router(Protocol):
    """Brings the desired route to the gateways.

    Guarantees: `set_route` is idempotent and ignores a route of an older epoch; the same epoch with a longer lease
    renews the lease. A gateway whose lease has run out sends all traffic to the champion by itself. Thread safe.
    Methods raise Unavailable when the gateways cannot be reached; the controller repeats at its next tick.
    """

    def set_route(self, route: RouteRecord) -> None:
        """Make every gateway follow `route`."""
        ...

    def current(self) -> RouteRecord | None:
        """Return the route the gateways were last told, None before the first."""
        ...

    def verify(self, release: str) -> str:
        """Load `release` if needed and try it (golden rows); return an empty text, or why it is not ready."""
        ...

    def settled(self, epoch: int) -> bool:
        """Return whether every gateway reports this epoch."""
        ...


def same_route(told: RouteRecord | None, wanted: RouteRecord) -> bool:
    """Return whether the gateways were told this route, lease included."""
    return told is not None and (told.epoch, told.lease_until) == (wanted.epoch, wanted.lease_until)


def named(route: RouteRecord | None, release: str) -> bool:
    """Return whether the route needs the release: it answers, is tried, or is kept loaded."""
    return route is not None and release in {route.champion, route.canary, route.shadow}
