"""A project of phasors from nothing: train, gate, live windows, canary, a bad detector that trips, a rollback.

Days in virtual time. What PMUs measure is simulated (recloser.simulation.phasors), and so is all training.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recloser.app import Platform, explain_rollout, project_status
from recloser.app.events.detector import Detector
from recloser.app.events.labels import label_event
from recloser.app.events.recipe import own_windows
from recloser.app.events.windows import WindowStore
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.retraining import RunOrder
from recloser.app.verbs import rollback_in
from recloser.cli.main import main
from recloser.core import VirtualClock
from recloser.features.phasors import PhasorBlock
from recloser.ledger import PairedDayRecord, RolloutRecord, RouteRecord, SignalRecord, VerdictRecord
from recloser.pipelines import waive
from recloser.simulation.phasors import GridEvent, PhasorPlan, drill
from recloser.simulation.phasors.stretch import PhasorStretch
from recloser.staging import Waiver

pytestmark = [pytest.mark.story, pytest.mark.slow]

DAY, TURN = timedelta(days=1), timedelta(hours=3)
SETTINGS = """
[registry]
kind = "folder"

[gateway.sla]           # a machine that is busy with other tests keeps no promise of speed
requests_per_second = 2.0
p50_ms = 60000.0
p99_ms = 60000.0
p999_ms = 60000.0
start_seconds = 600.0
"""
RATE, WINDOW_S = 30, 10


def told(*words: str) -> dict[str, Any]:
    """Run a verb with --json; return exit code and document."""
    out = io.StringIO()
    code = main([*words, "--json"], out)
    return {"code": code, **json.loads(out.getvalue())}


@dataclass(frozen=True)
class Turned:
    """Labels that are each another's: what is learned from them names every event wrongly."""

    kinds: tuple[str, ...]

    def rows(self, windows: pl.DataFrame) -> pl.DataFrame:
        turned = dict(zip(self.kinds, self.kinds[1:] + self.kinds[:1], strict=True))
        return windows.with_columns(pl.col("label").replace(turned))

    def model(self, model: Any) -> Any:
        return model


@dataclass
class Grid:
    """A simulated grid whose PMUs are looked at for some seconds every three hours."""

    stretch: PhasorStretch
    clock: VirtualClock
    detector: Detector
    index: int = 0
    seen: list[Any] = field(default_factory=list)

    def block(self, at: datetime, seconds: float) -> PhasorBlock:
        count = round(seconds * RATE)
        columns = [self.stretch.at(self.index + k) for k in range(count)]
        self.index += count
        voltage, angle, frequency = (np.stack(part) for part in zip(*columns, strict=True))
        end_ns = int(at.timestamp()) * 1_000_000_000
        at_ns = end_ns - (np.arange(count, 0, -1) * 1_000_000_000) // RATE
        return PhasorBlock(at_ns, float(RATE), 50.0, voltage, angle, frequency, np.zeros(voltage.shape, dtype=bool))

    def turn(self, event: GridEvent | None = None) -> None:
        """Look at four windows, and lay a drill over them; with an event, look at it second by second."""
        now = self.clock.now() + TURN
        self.clock.advance_to(now)
        block = self.block(now, 26.0)
        if event is not None:
            block = drill(block, event, 12.0, (5, int(now.timestamp()))).block
            ends = range(11, 27)
        else:
            ends = range(WINDOW_S, 26, 4)
        for end in ends:
            self.seen += self.detector.window(block.part((end - WINDOW_S) * RATE, end * RATE))
        if event is None and self.detector.drill_due(now):
            self.detector.practise(block.part(len(block) - 16 * RATE, len(block)), now)
        self.detector.flush()


@dataclass
class Project:
    """The project with what `up` would run, in virtual time."""

    folder: Path
    platform: Platform
    loop: ControlLoop
    grid: Grid

    @property
    def now(self) -> datetime:
        return self.platform.clock.now()

    def run(self, key: str, **extra: Any) -> Any:
        order = RunOrder(key, self.now, "api", "the story asks", extra)
        return self.loop.retraining.run(order, "ann")

    def days(self, most: int, until: frozenset[str]) -> list[str]:
        """Live at most so many days, until the newest rollout is in one of the states; return it after each turn."""
        states: list[str] = []
        while len(states) < 8 * most and not until & set(states):
            self.grid.turn()
            self.loop.advance()
            states.append(self.platform.ledger.find(RolloutRecord, order_by="started_at")[-1].state)
        return states

    @property
    def route(self) -> RouteRecord:
        found = self.platform.ledger.get(RouteRecord, "route")
        assert found is not None
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first run went through the gate, its package tried by a gateway of its own."""
    where = tmp_path_factory.mktemp("pmu") / "pmu"
    made = told("init", str(where), "--template", "pmu", "--time-zone", "UTC")
    assert made["code"] == 0
    path = where / "recloser.toml"
    small = {
        "train_scenes = 40": "train_scenes = 12\ntest_scenes = 15\nleast_covered = 0.0005",
        "drills_per_day = 12": "drills_per_day = 4",
    }
    text = path.read_text(encoding="utf-8")
    for old, new in small.items():
        assert old in text
        text = text.replace(old, new)
    text = text.replace("step_seconds = 1.0", "step_seconds = 2.0").replace("shadow_days = 2", "shadow_days = 1")
    text = text.replace("probation_days = 7", "probation_days = 2")
    text = text.replace("[rollout]", "[rollout]\nlease_seconds = 172800")  # the controller looks every three hours
    path.write_text(text + SETTINGS, encoding="utf-8")
    ran = told("run", "--project", str(where))
    assert ran["code"] == 0, ran
    names = {check["name"] for check in ran["checks"]}
    assert {"formats", "windows", "performance.recall", "safety.lost_pmus", "parity", "latency"} <= names
    assert any(name.startswith("trial") for name in names)
    return where


@pytest.fixture
def project(folder: Path) -> Iterator[Project]:
    clock = VirtualClock((datetime.now(UTC) + DAY).replace(hour=0, minute=0, second=0, microsecond=0))
    with Platform.open(folder, clock=clock) as platform:
        platform.saboteur = {"turned": Turned(platform.areas)}
        platform.untried = "a story in virtual time"
        loop = ControlLoop(platform, LoopOptions())
        loop.router.refresh(clock.now())
        loop.advance()
        windows = WindowStore(platform.layout.windows)
        detector = Detector(platform, loop.router.gateway, windows)
        stretch = PhasorStretch(PhasorPlan(11, 8, RATE, seconds=600.0))
        yield Project(folder, platform, loop, Grid(stretch, clock, detector))


def live_through_an_event(project: Project) -> int:
    """A quiet day, then an event that is told within seconds; a person says what it was. Return how many were told."""
    ledger = project.platform.ledger
    for _ in range(8):
        project.grid.turn()
    assert not [one for one in ledger.find(SignalRecord) if one.severity == "event"]
    project.grid.turn(GridEvent.ISLANDING)
    found = ledger.find(SignalRecord, signal_class="grid_event")
    assert "islanding" in {record.areas[0] for record in found}
    for record in found:
        assert (record.at - record.since) >= timedelta(seconds=2)
        label_event(ledger, record.key, "islanding", kinds=project.platform.areas, name="ann", now=project.now)
    labelled = own_windows(WindowStore(project.platform.layout.windows), ledger, float(WINDOW_S))
    assert (labelled["label"] == "islanding").sum() >= 3
    return len(found)


def promote_another(project: Project) -> str:
    """A second run passes the gate; shadow and canary bear it out."""
    outcome = project.run("run-second")
    assert outcome.verdict == "pass", outcome.results["judge"]["reason"]
    states = project.days(40, frozenset({"champion", "tripped", "rolled_back"}))
    assert list(dict.fromkeys(states)) == ["shadow", "canary", "probation", "champion"]
    assert project.route.champion == outcome.candidate
    days = project.platform.ledger.find(PairedDayRecord)
    assert {"islanding", "other as islanding", "no islanding"} <= set(days[-1].facts["areas"])
    return str(outcome.candidate)


def try_a_bad_one(project: Project, champion: str) -> None:
    """Labels were mixed up. The gate refuses it; somebody waives that all the same; the trial ends it."""
    ledger = project.platform.ledger
    bad = project.run("run-bad", sabotage="turned")
    assert bad.verdict == "refuse"
    assert "performance.recall" in {one["name"] for one in bad.results["judge"]["checks"] if one["verdict"] == "refuse"}
    judged = ledger.get(VerdictRecord, f"verdict-{bad.candidate}")
    assert judged is not None
    assert bad.candidate is not None
    for name in [check["name"] for check in judged.checks if check["verdict"] != "pass"]:
        waiver = Waiver(bad.candidate, name, "bob", "we know better", project.now, project.now + 60 * DAY)
        verdict = waive(ledger, waiver, project.now)
    assert verdict.verdict == "pass"
    project.loop.retraining.submit(bad.candidate, "waived")
    states = project.days(40, frozenset({"probation", "tripped", "rolled_back"}))
    assert "canary" in states
    assert states[-1] in {"tripped", "rolled_back"}
    assert (project.route.champion, project.route.canary) == (champion, None)
    why = explain_rollout(project.folder, bad.candidate)
    assert why["state"] == states[-1]
    assert why["sentences"]


def test_a_detector_lives_the_life_of_a_release(project: Project) -> None:
    first = project.route.champion
    assert first is not None
    facts = project.platform.load(first).package.facts
    assert facts.model_kind == "event_detector"
    assert facts.notes["data"].startswith("synthetic")
    told_events = live_through_an_event(project)
    second = promote_another(project)
    try_a_bad_one(project, second)
    back = rollback_in(project.loop, to=None, reason="the story ends where it began", actor="ann")
    assert back["to"] == first
    status = project_status(project.folder)
    assert status["route"]["champion"] == first
    assert status["detector"]["told"] == told_events
    assert project.platform.ledger.verify().ok
