"""A detector of grid events lives the life of a release: package, gate, shadow, canary, trip and rollback.

The training data are synthetic (recloser.simulation.phasors). The package, the gateway with its guard, the rollout
controller and the ledger are those of forecasters, unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recloser.core import VirtualClock
from recloser.features.phasors import PHASOR_FEATURES, phasor_features, window_ends
from recloser.ledger import Ledger, PairedDayRecord, ReleaseRecord, RolloutRecord, RouteRecord
from recloser.models import DetectorPlan, EventDetector, load_model, train_detector
from recloser.monitoring import EventWatch, watched
from recloser.registry import (
    EnvironmentLock,
    Package,
    PackageFacts,
    build_package,
    check_golden,
    create_key,
    make_golden,
    open_package,
)
from recloser.rollout import (
    AreaDay,
    CanaryStep,
    DayRule,
    Evidence,
    PairedDay,
    Promotion,
    Rollout,
    RolloutController,
    RolloutPlan,
    Settings,
    brier_loss,
    close_day,
)
from recloser.serving import AssetLimits, Gateway, GuardPolicy, Route
from recloser.simulation.phasors import GridEvent, PhasorPlan, Scene, scene
from recloser.staging import (
    DetectionHoldOut,
    DetectionNeed,
    GatePolicy,
    check_detection,
    check_parity,
    judge,
)

pytestmark = pytest.mark.slow

WINDOW_S, STEP_S = 10.0, 2.0
CLASSES = tuple(event.value for event in GridEvent if event is not GridEvent.NONE)
T0 = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LASTING = {GridEvent.OSCILLATION, GridEvent.ISLANDING, GridEvent.BAD_DATA}


@dataclass(frozen=True)
class Windows:
    """Windows of many scenes: features, what they show, and of which scene they are."""

    inputs: np.ndarray
    labels: list[str]
    number: np.ndarray

    def truth(self) -> np.ndarray:
        return np.array([[float(label == kind) for kind in CLASSES] for label in self.labels])


def label_of(one: Scene, end_s: float) -> str | None:
    """Return what a window that ends then shows; None where it is too early or too late to say."""
    since = end_s - one.begins_s
    if since <= 0.0:
        return "none"
    if since < 0.5 or (since > WINDOW_S and one.event not in LASTING):
        return None
    return one.event.value


def windows(numbers: range, seed: int) -> Windows:
    inputs, labels, which = [], [], []
    for number in numbers:
        for event in GridEvent:
            plan = PhasorPlan(seed, pmus=4 + number % 9, rate_hz=(25, 30, 50)[number % 3])
            one = scene(plan, event, number)
            for end in window_ends(one.block, WINDOW_S, STEP_S):
                label = label_of(one, end / plan.rate_hz)
                if label is not None:
                    inputs.append(phasor_features(one.block.part(end - round(WINDOW_S * plan.rate_hz), end)))
                    labels.append(label)
                    which.append(number)
    return Windows(np.array(inputs), labels, np.array(which))


@pytest.fixture(scope="module")
def training() -> Windows:
    return windows(range(45), seed=1)


@pytest.fixture(scope="module")
def unseen() -> Windows:
    return windows(range(20), seed=2)


@pytest.fixture(scope="module")
def detectors(training: Windows) -> dict[str, EventDetector]:
    """The champion has learned from a third of the scenes, the better one from all; the bad one had labels mixed up."""
    few = training.number < 12
    part = [label for label, kept in zip(training.labels, few, strict=True) if kept]
    turned = {**dict(zip(CLASSES, CLASSES[1:] + CLASSES[:1], strict=True)), "none": "none"}
    mixed = [turned[label] for label in training.labels]
    plan = DetectorPlan(trees=60)
    return {
        "champion": train_detector(training.inputs[few], part, PHASOR_FEATURES, CLASSES, plan),
        "better": train_detector(training.inputs, training.labels, PHASOR_FEATURES, CLASSES, plan),
        "bad": train_detector(training.inputs, mixed, PHASOR_FEATURES, CLASSES, plan),
    }


def rows_of(inputs: np.ndarray) -> pl.DataFrame:
    """Return one row per class of each window, as the gateway gets them."""
    n = len(inputs)
    columns = {name: np.repeat(inputs[:, index], len(CLASSES)) for index, name in enumerate(PHASOR_FEATURES)}
    at = [T0 + timedelta(seconds=second) for second in range(n) for _ in CLASSES]
    frame = pl.DataFrame({"area": list(CLASSES) * n, "at": at, "scale_mw": [1.0] * (n * len(CLASSES)), **columns})
    return frame.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC"))).sort("area", "at")


@dataclass(frozen=True)
class Loaded:
    """A release as the gateway holds it."""

    package: Package
    model: EventDetector

    @property
    def release(self) -> str:
        return self.package.release

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        return self.model.predict(rows)


@pytest.fixture(scope="module")
def releases(detectors, unseen, tmp_path_factory) -> dict[str, Loaded]:
    """Signed packages, built, opened again and verified."""
    folder = tmp_path_factory.mktemp("detectors")
    signer = create_key(folder / "keys" / "signing.pem")
    loaded = {}
    for name, detector in detectors.items():
        saved = folder / name
        detector.save(saved)
        facts = PackageFacts(
            detector.kind,
            detector.quantiles,
            {"names": list(PHASOR_FEATURES), "window_s": WINDOW_S},
            (T0 - 30 * DAY, T0),
            (),
            {},
            EnvironmentLock("CPython", "test", {}),
            notes={"data": "synthetic"},
        )
        golden = make_golden(rows_of(unseen.inputs[::40]), PHASOR_FEATURES, detector.predict, count=24)
        built = build_package(folder / "packages", saved, facts, signer, golden)
        package = open_package(folder / "packages" / built.release, [signer.public_key])
        model = load_model(package.path / "model")
        assert isinstance(model, EventDetector)
        loaded[name] = Loaded(package, model)
    return loaded


def verdict(releases: dict[str, Loaded], unseen: Windows, name: str, champion: str | None):
    inputs = unseen.inputs.astype(np.float32)
    day = np.datetime64("2024-01-01") + unseen.number.astype("timedelta64[D]")
    of = {key: releases[key].model.all_classes(inputs) for key in {name, champion} - {None}}
    theirs = None if champion is None else of[champion]
    holdout = DetectionHoldOut(CLASSES, day, STEP_S, unseen.truth(), of[name], theirs)
    checks = [
        *check_detection(holdout, DetectionNeed(recall=0.6, false_per_hour=120.0), GatePolicy()),
        check_parity(check_golden(releases[name].package, releases[name].predict)),
    ]
    return judge(checks, required=("performance.recall", "performance.false_alarms", "performance.champion", "parity"))


def test_the_gate_accepts_good_detectors_and_refuses_one_with_mixed_up_labels(releases, unseen):
    assert verdict(releases, unseen, "champion", None).verdict == "pass"
    better = verdict(releases, unseen, "better", "champion")
    assert better.verdict == "pass", better.reason
    bad = verdict(releases, unseen, "bad", "champion")
    assert bad.verdict == "refuse"
    assert "performance.recall" in bad.reason
    assert "performance.champion" in bad.reason


def test_events_are_found_within_seconds_and_told_once(releases):
    found, wrong, delays = 0, 0, []
    plan = PhasorPlan(seed=7, pmus=12)
    for event in GridEvent:
        for number in range(6):
            one, watch, told = scene(plan, event, number), EventWatch(), []
            for end in window_ends(one.block, WINDOW_S, 1.0):
                answer = releases["better"].model.all_classes(
                    phasor_features(one.block.part(end - round(WINDOW_S * plan.rate_hz), end))[None].astype(np.float32)
                )
                at = T0 + timedelta(seconds=end / plan.rate_hz)
                watch, news = watched(watch, at, dict(zip(CLASSES, answer[0].tolist(), strict=True)))
                told += [seen for seen in news if seen.over_at is None]
            right = [seen for seen in told if seen.kind == event.value]
            wrong += len(told) - len(right)
            if right:
                found += 1
                delays.append((right[0].found_at - T0).total_seconds() - one.begins_s)
    assert found >= 24, "of 30 events"
    assert wrong <= 4, "in 24 minutes"
    assert np.median(delays) <= 5.0
    assert min(delays) > 0.0, "nothing is found before it begins"


class Labelled:
    """Evidence by what people confirmed the day after: the Brier loss of both models on that day's windows."""

    def __init__(self, releases: dict[str, Loaded], unseen: Windows, incidents: dict[str, int]) -> None:
        self._loaded = {one.release: one for one in releases.values()}
        self._unseen, self._incidents = unseen, incidents

    def gather(self, rollout: Rollout, now: datetime) -> Evidence:
        days: list[PairedDay] = []
        if rollout.champion is not None and rollout.tried_at is not None:
            first = rollout.tried_at.date()
            for offset in range((now.date() - first).days):
                closed = self._day(rollout, first + offset * DAY, offset % 20, now)
                days += [] if closed is None else [closed]
        bad = self._incidents.get(rollout.release, 0)
        return Evidence(incidents={rollout.release: bad} if bad else {}, days=tuple(days))

    def _day(self, rollout: Rollout, day, number: int, now: datetime) -> PairedDay | None:
        rows = self._unseen.number == number
        inputs = self._unseen.inputs[rows].astype(np.float32)
        truth = self._unseen.truth()[rows]
        mine, theirs = (
            self._loaded[name].model.all_classes(inputs) for name in (rollout.release, str(rollout.champion))
        )
        areas = [
            AreaDay(kind, 0.05, truth[:, k], mine[:, k : k + 1], theirs[:, k : k + 1]) for k, kind in enumerate(CLASSES)
        ]
        return close_day(day, areas, brier_loss, DayRule(0.5, now), now)


class GatewayRouter:
    """Carries the ledger's route to a gateway in this process."""

    def __init__(self, loaded: dict[str, Loaded]) -> None:
        self._loaded = {one.release: one for one in loaded.values()}
        self.gateway: Gateway | None = None
        self._told: RouteRecord | None = None

    def set_route(self, route: RouteRecord) -> None:
        names = {name for name in (route.champion, route.canary, route.shadow) if name is not None}
        held = {name: self._loaded[name] for name in names}
        plain = Route(
            route.epoch,
            route.champion,
            route.canary,
            route.share,
            frozenset(route.cohort),
            route.shadow,
            fallback=(),
            lease_until=route.lease_until,
        )
        if self.gateway is None:
            limits = {kind: AssetLimits(-0.01, 1.01, 2.0, timedelta(seconds=1)) for kind in CLASSES}
            self.gateway = Gateway(held, plain, limits, GuardPolicy(), (0.5,))
        else:
            self.gateway.swap(plain, held)
        self._told = route

    def current(self) -> RouteRecord | None:
        return self._told

    def verify(self, release: str) -> str:
        return "" if release in self._loaded else "not loaded"

    def settled(self, epoch: int) -> bool:
        return self._told is not None and self._told.epoch == epoch


PLAN = RolloutPlan(
    shadow_days=2,
    steps=(CanaryStep(0.5, 3),),
    probation_days=3,
    deadline_days=40,
    harmless_days=7,
    promotion=Promotion.NO_EVIDENCE_OF_HARM,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as opened:
        yield opened


def test_a_canary_of_a_detector_is_promoted_on_evidence_and_a_bad_one_is_rolled_back(releases, unseen, ledger):
    clock, router, incidents = VirtualClock(T0), GatewayRouter(releases), {}
    controller = RolloutController(
        ledger, router, clock, lambda _release: "", Settings(resolution=timedelta(hours=1), lease=2 * DAY)
    )
    source = Labelled(releases, unseen, incidents)

    def submit(name: str) -> str:
        one = releases[name]
        with ledger.change("staging", clock.now()) as change:
            digest = one.package.release
            change.add(ReleaseRecord(one.release, digest, digest, "run", clock.now(), "accepted", None, {}))
            change.note("release.accept", one.release)
        controller.submit(one.release, PLAN, scale=0.5, reason="passed the gate")
        return one.release

    def state(release: str) -> str:
        return ledger.find(RolloutRecord, release=release, order_by="started_at")[-1].state

    def live(release: str, days: int) -> list[str]:
        states = []
        for _ in range(days):
            clock.advance_to(clock.now() + DAY)
            controller.tick(source)
            states.append(state(release))
            answer = router.gateway.answer(rows_of(unseen.inputs[:40]), clock.now(), clock.now())
            assert not answer.unavailable
            numbers = np.concatenate([served.answers[served.release] for served in answer.served])
            assert ((numbers >= 0.0) & (numbers <= 1.0)).all()
        return states

    first = submit("champion")
    controller.tick(source)
    assert ledger.get(RouteRecord, "route").champion == first
    second = submit("better")
    lived = live(second, 30)
    assert [s for s in ("shadow", "canary", "probation", "champion") if s in lived] == [
        "shadow",
        "canary",
        "probation",
        "champion",
    ]
    assert ledger.get(RouteRecord, "route").champion == second
    assert ledger.find(PairedDayRecord)

    third = submit("bad")
    lived = live(third, 40)
    assert lived[-1] in {"tripped", "rolled_back"}
    assert "champion" not in lived
    route = ledger.get(RouteRecord, "route")
    assert (route.champion, route.canary) == (second, None)
    rows = rows_of(unseen.inputs[:40])
    served = router.gateway.answer(rows, clock.now(), clock.now()).served
    assert {one.release for one in served} == {second}
    assert ledger.verify().ok
