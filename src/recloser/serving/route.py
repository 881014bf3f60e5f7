"""Owns the Route: who answers for which area, as one immutable record. Does not load models or answer anything."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from recloser.core import InvalidInput, format_utc, require_utc, stable_share

Arm = Literal["champion", "canary"]

NAIVE: tuple[str, ...] = ("seasonal_naive", "persistence")
"""Fallback models that read nothing but the recent load: the only rungs asked when an area's inputs are bad."""


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers; replaced as a whole, never changed.

    Attributes:
        epoch: rises with every decision of the rollout; the renewal of a lease keeps it.
        champion: release that answers by default, or None before the first one.
        canary: release that answers for the canary's areas and is scored on all of them.
        share: part of the areas the canary answers for, 0 to 1, chosen by a stable hash.
        cohort: areas the canary answers for whatever the share.
        shadow: release that is scored on every request and never answers.
        fallback: the ladder below the champion, first rung first.
        lease_until: aware UTC; from then on the champion answers for all areas. None: no lease is kept.

    Raises:
        InvalidInput: contradictory fields, a share outside 0..1 or a naive lease time.
    """

    epoch: int
    champion: str | None
    canary: str | None = None
    share: float = 0.0
    cohort: tuple[str, ...] = ()
    shadow: str | None = None
    fallback: tuple[str, ...] = NAIVE
    lease_until: datetime | None = None

    def __post_init__(self) -> None:
        if self.epoch < 0:
            raise InvalidInput("a negative route epoch", got=self.epoch, expected=">= 0", where="route.epoch")
        if not (math.isfinite(self.share) and 0.0 <= self.share <= 1.0):
            raise InvalidInput("a share outside its range", got=self.share, expected="0 to 1", where="route.share")
        if self.champion is None and self.canary is not None:
            raise InvalidInput("a canary without a champion", got=self.canary, where="route.canary")
        twice = [name for name, count in Counter(self.names()).items() if count > 1]
        if twice:
            raise InvalidInput("one model in two places of a route", got=twice, where="route")
        if self.lease_until is not None:
            object.__setattr__(self, "lease_until", require_utc(self.lease_until, "route.lease_until"))

    def names(self) -> tuple[str, ...]:
        """Return every model the route needs: champion, canary, shadow, then the ladder."""
        ends = (self.champion, self.canary, self.shadow, *self.fallback)
        return tuple(name for name in ends if name is not None)

    def challengers(self) -> tuple[str, ...]:
        """Return the releases that are scored beside the champion: canary, then shadow."""
        return tuple(name for name in (self.canary, self.shadow) if name is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return the route as JSON-ready data."""
        return {
            "epoch": self.epoch,
            "champion": self.champion,
            "canary": self.canary,
            "share": self.share,
            "cohort": list(self.cohort),
            "shadow": self.shadow,
            "fallback": list(self.fallback),
            "lease_until": None if self.lease_until is None else format_utc(self.lease_until),
        }


def chosen_for_canary(route: Route, area: str) -> bool:
    """Tell whether the area is the canary's by cohort or share, lease aside.

    The hash is salted with the canary's release: each rollout tries other areas first. A higher share only adds areas.
    """
    if route.canary is None:
        return False
    return area in route.cohort or _drawn(route.canary, area) < route.share


@lru_cache(maxsize=65_536)
def _drawn(canary: str, area: str) -> float:
    return stable_share(f"{canary}/{area}")


def lease_expired(route: Route, now: datetime) -> bool:
    """Tell whether the controller has been silent for longer than the lease."""
    return route.lease_until is not None and now >= route.lease_until


def arm_of(route: Route, area: str, now: datetime) -> Arm:
    """Return who is meant to answer for the area at `now` (aware UTC); pure and equal in every process."""
    return "canary" if chosen_for_canary(route, area) and not lease_expired(route, now) else "champion"
