"""Owns how a gateway's log tells what it does: the route that it follows, what its guard held back, whom it cut off."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from recloser.app.logs.told import told
from recloser.ledger import RouteRecord
from recloser.serving import Gateway

LOG = logging.getLogger(__name__)
WORDS = {
    "output": "answers that are no forecast",
    "late": "answers that came too late",
    "input": "rows that cannot be used",
    "trip": "trips",
    "unavailable": "answers that failed",
}


class GatewayTeller:
    """Tells changes of a gateway since it was looked at last, each kind of incident with its count."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._epoch: int | None = None
        self._held: dict[tuple[str, str], int] = {}
        self._tripped: frozenset[str] = frozenset()

    def follows(self, route: RouteRecord) -> None:
        """Tell a route that is followed from now on; the same one with a longer lease is not told again."""
        if route.epoch == self._epoch:
            return
        self._epoch = route.epoch
        parts = [f"champion {route.champion}" if route.champion else "no champion: the fallback ladder answers"]
        if route.canary:
            parts.append(f"canary {route.canary} for {100 * route.share:g} %" + _areas(route.cohort))
        if route.shadow:
            parts.append(f"shadow {route.shadow}")
        LOG.info(told(f"follows route epoch {route.epoch}: {', '.join(parts)}"))

    def look(self) -> None:
        """Tell what the guard held back and whom it cut off since the last look."""
        held = {
            (kind, release): count
            for (family, kind, release), count in self._gateway.counts().items()
            if family == "incidents"
        }
        for (kind, release), count in sorted(held.items()):
            new = count - self._held.get((kind, release), 0)
            if new > 0:
                whose = f" of {release}" if release else ""
                LOG.warning(
                    told(
                        f"the guard held back {new} {WORDS.get(kind, kind)}{whose}", "warning", release=release or None
                    )
                )
        self._held = held
        tripped = frozenset(self._gateway.tripped)
        for release in sorted(tripped - self._tripped):
            LOG.warning(told(f"{release} is cut off and gets no traffic here", "warning", release=release))
        self._tripped = tripped


def _areas(cohort: Iterable[str]) -> str:
    names = list(cohort)
    return f" and {len(names)} pilot areas" if names else ""
