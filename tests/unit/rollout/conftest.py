"""Builders for rollout tests: a day series, a rollout in any state, a ledger, a router that is a real class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.core import Unavailable
from recloser.ledger import Ledger, ReleaseRecord, RouteRecord
from recloser.rollout import Evidence, PairedDay, Rollout, RolloutPlan, RolloutState

T0 = datetime(2020, 3, 2, 9, 0, tzinfo=UTC)


class Build:
    """Builders with the shortest names that read well in a test."""

    t0 = T0

    @staticmethod
    def days(
        differences: list[float], start: date = date(2020, 3, 3), closed: datetime | None = None
    ) -> tuple[Any, ...]:
        return tuple(
            PairedDay(
                start + timedelta(days=i),
                difference,
                24,
                closed or datetime.combine(start + timedelta(days=i + 2), datetime.min.time(), tzinfo=UTC),
            )
            for i, difference in enumerate(differences)
        )

    @staticmethod
    def rollout(state: RolloutState, plan: RolloutPlan | None = None, **extra: Any) -> Rollout:
        values: dict[str, Any] = {
            "key": "rollout-1",
            "release": "rel-new",
            "champion": "rel-old",
            "state": state,
            "since": T0,
            "started_at": T0,
            "plan": plan or RolloutPlan(),
            "scale": 0.2,
            "tried_at": None if state is RolloutState.QUEUED else T0,
            "promoted_at": T0 if state in {RolloutState.PROBATION, RolloutState.CHAMPION} else None,
        }
        values.update(extra)
        return Rollout(**values)

    @staticmethod
    def release(name: str, state: str = "accepted") -> ReleaseRecord:
        return ReleaseRecord(name, "d", "p", "run-1", T0, state, None, {})


@dataclass
class PlainRouter:
    """A router in memory that can be unreachable and can lose its memory, as a restarted gateway does."""

    route: RouteRecord | None = None
    down: bool = False
    broken: set[str] = field(default_factory=set)
    told: list[RouteRecord] = field(default_factory=list)

    def set_route(self, route: RouteRecord) -> None:
        if self.down:
            raise Unavailable("the gateway does not answer")
        if self.route is None or route.epoch >= self.route.epoch:
            self.route = route
            self.told.append(route)

    def current(self) -> RouteRecord | None:
        if self.down:
            raise Unavailable("the gateway does not answer")
        return self.route

    def verify(self, release: str) -> str:
        return "golden rows differ" if release in self.broken else ""

    def settled(self, epoch: int) -> bool:
        return self.route is not None and self.route.epoch == epoch


class PlainSource:
    """Evidence as the test sets it."""

    def __init__(self) -> None:
        self.by_release: dict[str, Evidence] = {}

    def gather(self, rollout: Rollout, now: datetime) -> Evidence:
        del now
        return self.by_release.get(rollout.release, Evidence())


@pytest.fixture(scope="session")
def builders() -> type[Build]:
    return Build


@pytest.fixture
def build(builders: type[Build]) -> type[Build]:
    return builders


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as opened:
        yield opened


@pytest.fixture
def router() -> PlainRouter:
    return PlainRouter()


@pytest.fixture
def source() -> PlainSource:
    return PlainSource()
