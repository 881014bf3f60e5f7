"""Builders for rollout tests: a day series, a rollout in any state, a ledger, a router that is a real class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recloser.core import Served, Unavailable, VirtualClock, forecast_id
from recloser.ledger import Ledger, ReleaseRecord, RolloutRecord, RouteRecord
from recloser.rollout import (
    CanaryStep,
    Evidence,
    PairedDay,
    Promotion,
    Rollout,
    RolloutController,
    RolloutPlan,
    RolloutState,
    Settings,
    record_of,
)

T0 = datetime(2020, 3, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
PLAN = RolloutPlan(
    shadow_days=2,
    steps=(CanaryStep(0.2, 2), CanaryStep(0.5, 2)),
    probation_days=4,
    deadline_days=30,
    promotion=Promotion.NO_EVIDENCE_OF_HARM,
    harmless_days=4,
)
SETTINGS = Settings(resolution=HOUR, lease=2 * DAY)


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


class Bench:
    """A controller with what it stands on, and days that pass."""

    plan = PLAN
    settings = SETTINGS

    def __init__(self, ledger, router, source, build):
        self.ledger, self.router, self.source, self.build = ledger, router, source, build
        self.clock = VirtualClock(build.t0)
        self.tampered: set[str] = set()
        self.controller = self.another()

    def another(self, router=None):
        def verify(release: str) -> str:
            return "signature does not match" if release in self.tampered else ""

        return RolloutController(self.ledger, router or self.router, self.clock, verify, SETTINGS)

    def accept(self, name: str):
        with self.ledger.change("staging", self.clock.now()) as change:
            change.add(self.build.release(name))
            change.note("release.accept", name)
        return self.controller.submit(name, PLAN, scale=0.1, reason="passed staging")

    def pass_days(self, count: int, release: str, difference: float = -0.05, **evidence):
        states = []
        for _ in range(count):
            self.clock.advance_to(self.clock.now() + DAY)
            days = self.source.by_release.get(release, Evidence()).days
            day = (self.clock.now() - DAY).date()
            fresh = self.build.days([difference], start=day, closed=self.clock.now())
            self.source.by_release[release] = Evidence(days=(*days, *fresh), **evidence)
            self.controller.tick(self.source)
            states.append(self.state(release))
        return states

    def state(self, release: str) -> str:
        return self.ledger.find(RolloutRecord, release=release, order_by="started_at")[-1].state

    def route(self):
        return self.ledger.get(RouteRecord, "route")

    def serve(self, release: str, area: str = "a", other: str = "rel-1"):
        now = self.clock.now()
        rows = np.full((24, 3), 5.0)
        forecast = Served(
            forecast_id(area, now, now, release),
            area,
            now,
            now,
            tuple(now + timedelta(hours=15 + i) for i in range(24)),
            (0.1, 0.5, 0.9),
            release,
            "canary",
            answers={release: rows * 1000, other: rows, "seasonal_naive": rows + 1},
        )
        with self.ledger.change("gateway", now) as change:
            change.add(record_of(forecast))
            change.note("forecast", area)
        return forecast


@pytest.fixture
def bench(ledger, router, source, build):
    return Bench(ledger, router, source, build)


@pytest.fixture
def canary(bench):
    """A bench with champion rel-1 and rel-2 in its first canary step."""
    bench.accept("rel-1")
    bench.controller.tick(bench.source)
    bench.accept("rel-2")
    bench.controller.tick(bench.source)
    bench.pass_days(2, "rel-2")
    assert bench.state("rel-2") == "canary"
    return bench
