"""Owns the Router whose releases run under KServe: the embedded gateway's, with pods that are started first.

Traffic is split by the gateways in front, by area and by lease, so that none of it depends on the cluster's control
plane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from recloser.core import Refused, Unavailable
from recloser.ledger import RouteRecord
from recloser.serving.kserve.keeper import ServiceKeeper


class Embedded(Protocol):
    """The router of the gateways in front; the four methods of a rollout's router."""

    def set_route(self, route: RouteRecord) -> None:
        """Make every gateway follow `route`."""
        ...

    def current(self) -> RouteRecord | None:
        """Return the route the gateways were last told."""
        ...

    def verify(self, release: str) -> str:
        """Try a release; return an empty text, or why it is not ready."""
        ...

    def settled(self, epoch: int) -> bool:
        """Return whether every gateway reports this epoch."""
        ...


class KServeRouter:
    """Starts what a route needs as InferenceServices, and lets the gateways in front split the traffic.

    A release that answers is fit, whatever the API server says or does not say; only to start one is it needed. So
    neither a promotion's rollback nor a renewed lease waits for it.

    Args:
        embedded: tells the gateways, and asks a release its golden rows where it runs.
        keeper: of the InferenceServices.
        needs: returns the releases of a route with the digests of their packages.
        digest: returns the digest of a release's package.
        found: told where a release is that got ready, before it is asked.
    """

    def __init__(
        self,
        embedded: Embedded,
        keeper: ServiceKeeper,
        needs: Callable[[RouteRecord], Mapping[str, str]],
        digest: Callable[[str], str],
        found: Callable[[str, str], None],
    ) -> None:
        self._embedded, self._keeper, self._needs = embedded, keeper, needs
        self._digest, self._found = digest, found

    def set_route(self, route: RouteRecord) -> None:
        """Say what is needed, then make every gateway follow; a route of an older epoch is ignored.

        Raises:
            Refused: a release of the route does not verify.
            Unavailable: one cannot be asked now; repeat.
        """
        known = self._embedded.current()
        if known is None or route.epoch >= known.epoch:
            needed = self._needs(route)
            self._keeper.want(needed)
            for release in needed:
                with suppress(Refused, Unavailable):
                    self._found(release, self._keeper.address(release))
        self._embedded.set_route(route)

    def current(self) -> RouteRecord | None:
        """Return the route the gateways were last told, None before the first."""
        return self._embedded.current()

    def verify(self, release: str) -> str:
        """Start the release if needed and ask it its golden rows; return an empty text, or why it is not fit.

        Raises:
            Unavailable: it is starting, or cannot be reached for the moment.
        """
        digest = self._digest(release)
        if not digest:
            return self._embedded.verify(release)
        self._keeper.ask(release, digest)
        why: Refused | Unavailable | None = None
        try:
            self._found(release, self._keeper.address(release))
        except (Refused, Unavailable) as error:
            why = error
        try:
            return self._embedded.verify(release)
        except Unavailable as silent:
            if isinstance(why, Refused):
                return why.explain()
            raise (why or silent) from None

    def settled(self, epoch: int) -> bool:
        """Return whether every gateway reports this epoch."""
        return self._embedded.settled(epoch)
