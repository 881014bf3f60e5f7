"""The life of a small project in virtual time, as moments that each begin from what is on disk and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from recloser.app import Platform, ingest_file
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.retraining import RunOrder
from recloser.app.processes.controller import leading, maintain
from recloser.app.processes.cuts import FoundCut, write_cut
from recloser.core import LOAD, VirtualClock
from recloser.ledger import ActRecord, ReleaseRecord, RolloutRecord, RouteRecord
from recloser.rollout import CommandKind, Order
from recloser.serving import Cut
from recloser.testing.projects import COLUMNS, empty_project, load_file, small_grid
from recloser.testing.puppets import puppet_release
from recloser.triggers import api_trigger

FIRST_DAY = date(2020, 3, 22)
"""A week before the clocks are put forward."""
ISSUE = time(9, tzinfo=ZoneInfo("Europe/Amsterdam"))
HISTORY_DAYS = 120
LAST_DAY = 23
STUCK = (datetime(2020, 4, 12, 1, tzinfo=UTC), datetime(2020, 4, 13, 3, tzinfo=UTC))
"""The first feeder's measurement hangs."""
SETTINGS = """
[project]
name = "crash"
areas = ["F01", "F02"]
time_zone = "Europe/Amsterdam"
country = "NL"

[model]
trees = 20
leaves = 7
learning_rate = 0.2
max_rows = 5000
calibration_days = 14
allow_code = true

[staging]
holdout_days = 28
process = "own"

[triggers]
schedule = "never"
on_drift = false

[rollout]
shadow_days = 1
canary_steps = [["pilot", 1], [0.5, 1], [1.0, 1]]
cohorts = { pilot = ["F01"] }
probation_days = 2
promotion = "no_evidence_of_harm"
harmless_days = 1
lease_seconds = 200000

[rollout.approval]
before = ["traffic", "promotion"]
people = 2
roles = { lead = ["ann"], operator = ["bob"] }
required = ["lead"]

[registry]
kind = "folder"
"""
Act = Callable[[ControlLoop, datetime], None]


@dataclass(frozen=True, slots=True)
class Moment:
    """What a process does at an instant (aware UTC)."""

    name: str
    at: datetime
    act: Act


def make_project(folder: Path, parts: int = 1) -> None:
    """Make the project with its history, before its first model; in several parts each comes twice, in any order."""
    empty_project(folder)
    (folder / "recloser.toml").write_text(SETTINGS, encoding="utf-8")
    stuck = (pl.col("area") == "F01") & (pl.col("quantity") == LOAD) & pl.col("at").is_between(*STUCK)
    history = small_grid(HISTORY_DAYS).frame().with_columns(pl.when(stuck).then(40.0).otherwise("value").alias("value"))
    days = history["at"].dt.date().unique().sort()
    order = [*range(parts), *range(parts)] if parts > 1 else [0]
    random.Random(3).shuffle(order)
    for part in order:
        rows = history.filter(pl.col("at").dt.date().is_in(days[part::parts].implode()))
        ingest_file(folder, load_file(folder / "history.parquet", rows), COLUMNS)


def live(folder: Path, moment: Moment, fast: timedelta = timedelta(0)) -> None:
    """Do what the moment asks for, in a process that knows only the folder, and whose clock may be fast."""
    with Platform.open(folder, clock=VirtualClock(moment.at + fast)) as platform, leading(platform):
        moment.act(ControlLoop(platform, LoopOptions()), moment.at)


def moments() -> list[Moment]:
    """Return the whole life, in order: two models, two that go wrong as canaries, and a person who goes back."""
    story: list[tuple[float, str, Act]] = [
        (0, "first model", first_model),
        *asked(0),
        (1, "a retraining that was asked for", retrain),
        *[(day, "an issue", cycle) for day in range(2, LAST_DAY)],
        *asked(3),  # traffic for the second model
        *[(day + 0.2, "a look", advance) for day in (4, 5, 6)],
        *asked(7),  # its promotion
        (11.1, "the first puppet is submitted", submits("first")),
        *asked(14),
        (15.1, "the first puppet turns bad", turns_bad("first")),
        (16.1, "the second puppet is submitted", submits("second")),
        *asked(19),
        (20.1, "a gateway cuts the second puppet off", cuts_off),
        (20.2, "a look", advance),
        (21.1, "a person goes back to the first model", goes_back),
        (22.1, "the store is maintained", maintains),
    ]
    return sorted((Moment(name, instant(day), act) for day, name, act in story), key=lambda moment: moment.at)


def instant(day: float) -> datetime:
    """Return the issue of a day of the story (whole number), or so much of a day later, aware UTC."""
    whole = int(day)
    issue = datetime.combine(FIRST_DAY + timedelta(days=whole), ISSUE).astimezone(UTC)
    return issue + timedelta(days=day - whole)


def asked(day: float) -> list[tuple[float, str, Act]]:
    """Two people approve what waits for it that day, and the controller looks."""
    people = [(day + 0.1, "ann approves", approves("ann")), (day + 0.15, "bob approves", approves("bob"))]
    return [*people, (day + 0.2, "a look", advance)]


def store_digest(folder: Path) -> str:
    """Return what the store holds, every revision as it would be read at the end, in one word."""
    with Platform.open(folder, clock=VirtualClock(instant(0))) as platform:
        panel = platform.store.read(list(platform.areas), as_of=instant(LAST_DAY + 1))
    return str(panel.frame.sort(pl.all()).hash_rows(seed=1).sum())


def cycle(loop: ControlLoop, now: datetime) -> None:
    loop.cycle(now)


def advance(loop: ControlLoop, _: datetime) -> None:
    loop.advance()


def maintains(loop: ControlLoop, _: datetime) -> None:
    maintain(loop.platform)


def first_model(loop: ControlLoop, now: datetime) -> None:
    if loop.platform.ledger.get(RouteRecord, "route") is None:
        key = loop.retraining.run_key(now, "first")
        loop.retraining.run(RunOrder(key, now, "api", "the first model", {"history_days": 60}))
    loop.cycle(now)


def retrain(loop: ControlLoop, now: datetime) -> None:
    loop.retraining.requests = [(api_trigger("cat", "more data", loop.platform.clock.now()), {})]
    loop.cycle(now)


def approves(name: str) -> Act:
    """Let a person approve what waits for it, who looks before whether it was done already."""

    def act(loop: ControlLoop, _: datetime) -> None:
        ledger = loop.platform.ledger
        for waiting in ledger.find(RolloutRecord, state="awaiting_approval"):
            case = waiting.evidence["memory"]["case"]
            if not ledger.find(ActRecord, rollout=waiting.key, name=name, evidence_digest=case, kind="approve"):
                role = {"ann": "lead", "bob": "operator"}[name]
                order = Order(CommandKind.RESUME, name, "looks good", role, waiting.key)
                loop.controller.approve(order, case="", lasts=timedelta(hours=72))

    return act


def submits(word: str) -> Act:
    """Let a person hand in a release of their own making, who looks before what is there already."""

    def act(loop: ControlLoop, now: datetime) -> None:
        ledger, strings = loop.platform.ledger, loop.platform.layout.root / word
        strings.write_text("honest", encoding="utf-8")
        known = ledger.find(ReleaseRecord, run="puppet", created_at=now)
        release = known[0].key if known else puppet_release(loop.platform, strings)
        if not ledger.find(RolloutRecord, release=release):
            loop.retraining.submit(release, "handed in")
        loop.advance()

    return act


def turns_bad(word: str) -> Act:
    def act(loop: ControlLoop, _: datetime) -> None:
        (loop.platform.layout.root / word).write_text("nan", encoding="utf-8")

    return act


def cuts_off(loop: ControlLoop, now: datetime) -> None:
    """Do what a gateway does whose guard has cut the canary off."""
    route = loop.platform.ledger.get(RouteRecord, "route")
    assert route is not None
    assert route.canary is not None
    cut = Cut(route.canary, "3 failed answers", now, ("F01: not finite",) * 3)
    write_cut(loop.platform.layout.state, FoundCut(route.epoch, "1", cut))


def goes_back(loop: ControlLoop, _: datetime) -> None:
    """Let a person roll back, who looks before who serves."""
    ledger = loop.platform.ledger
    (first,) = ledger.find(ReleaseRecord, order_by="created_at", limit=1)
    route = ledger.get(RouteRecord, "route")
    assert route is not None
    if route.champion != first.key:
        loop.controller.rollback(reason="I trust the old one more", actor="ann", to=first.key)
    loop.mirror()
