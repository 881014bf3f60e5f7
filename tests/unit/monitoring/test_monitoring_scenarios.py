"""Each fault, each drift and each pair at once on a simulated grid: what is said is of the right class and place."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import holidays
import numpy as np
import polars as pl
import pytest

from recloser.core import LOAD, TEMPERATURE, Panel
from recloser.monitoring import CheckPlan, DailyLoad, Finding, Signal, check_data, fit_reference, signal_of
from recloser.monitoring.detectors import BLOCKS, Change, ChannelDetector, DayErrors, Monitor
from recloser.monitoring.detectors.day import is_special
from recloser.monitoring.questions import Witnesses, action_of, attribute, change_signals
from recloser.monitoring.reference import deviations
from recloser.simulation import (
    Event,
    Fahrenheit,
    Gap,
    GridPlan,
    LevelDrift,
    Lockdown,
    MiddayErosion,
    Scaled,
    SimulatedGrid,
    Spikes,
    StampShift,
    Stuck,
    apply,
    low_actuals,
)

DAY = timedelta(days=1)
ZONE = "Europe/Amsterdam"
OFF = frozenset(holidays.country_holidays("NL", years=range(2018, 2023)))
ONSET = datetime(2020, 9, 8, 4, tzinfo=UTC)  # a Tuesday of ordinary weather, no holiday near
END = ONSET + 30 * DAY
FIRST, SECOND = "F05", "F09"  # feeders of two substations: of two faults of one feed only the louder would show
FAULT_DAYS, DRIFT_DAYS = 13, 25


@dataclass(frozen=True, slots=True)
class Case:
    """An event at a feeder (or everywhere) and what must be said of it: kind of finding, and within how many days."""

    make: Callable[[str], Event]
    said: str
    days: float


FAULTS = {
    "gap": Case(lambda area: Gap((area,), ONSET, END), "missing", 1),
    "stuck": Case(lambda area: Stuck((area,), ONSET, END), "stuck", 1),
    "kilowatts": Case(lambda area: Scaled((area,), ONSET, END), "unit", 1),
    "gigawatts": Case(lambda area: Scaled((area,), ONSET, END, factor=0.001), "unit", 1),
    "late stamps": Case(lambda area: StampShift((area,), ONSET, END, hours=1), "shift", 7),
    "low for weeks": Case(lambda area: low_actuals((area,), ONSET), "low", 11),
    "spikes": Case(lambda area: Spikes((area,), ONSET, ONSET + DAY, share=0.05, factor=4.0), "spike", 1.5),
    "dead channel": Case(lambda area: Scaled((area,), ONSET, END, factor=0.0), "stuck", 1),
    "degrees Fahrenheit": Case(lambda _: Fahrenheit((), ONSET, END), "unit", 1),
    "weather stands still": Case(lambda _: Stuck((), ONSET, END, quantity=TEMPERATURE), "stuck", 3),
    "no weather": Case(lambda _: Gap((), ONSET, END, quantity=TEMPERATURE), "missing", 1),
    "senseless weather": Case(lambda _: Scaled((), ONSET, END, quantity=TEMPERATURE, factor=-40.0), "out_of_range", 1),
}
WEATHER = ("degrees Fahrenheit", "weather stands still", "no weather", "senseless weather")
DRIFTS = {
    "lockdown": Case(lambda _: Lockdown(ONSET, depth=0.12, onset=7 * DAY), "drift", 24),
    "less load": Case(lambda _: LevelDrift(ONSET, -0.15, onset=3 * DAY), "drift", 24),
    "more load": Case(lambda _: LevelDrift(ONSET, 0.15, onset=3 * DAY), "drift", 24),
    "solar panels": Case(lambda _: MiddayErosion(ONSET, per_month=0.40), "drift", 24),
    "a customer's leave": Case(lambda area: LevelDrift(ONSET, -0.25, (area,), onset=3 * DAY), "drift", 24),
}
LOCAL = ("a customer's leave",)
EVERYTHING = {**FAULTS, **DRIFTS}


def _sensible(pair: tuple[str, str]) -> bool:
    """Return False for two faults of the one weather feed, and for drifts that undo each other."""
    opposite = "more load" in pair and any(name in DRIFTS and name != "more load" for name in pair)
    return not opposite and not (pair[0] in WEATHER and pair[1] in WEATHER)


PAIRS = [pair for pair in itertools.combinations(EVERYTHING, 2) if _sensible(pair)]


@dataclass(frozen=True, slots=True)
class World:
    """A clean grid with monitors that have learnt from its first years."""

    grid: SimulatedGrid
    frame: pl.DataFrame
    monitors: dict[str, Monitor]
    expected: Callable[[list[date], np.ndarray], np.ndarray]
    scale: dict[str, float]


def _blocks(frame: pl.DataFrame, areas: tuple[str, ...], days: list[date]) -> np.ndarray:
    """Return means of three-hour blocks, shape (n_areas * 8, n_days)."""
    local = pl.col("at").dt.convert_time_zone(ZONE)
    rows = (
        frame.filter(pl.col("quantity") == LOAD)
        .group_by("area", day=local.dt.date(), block=local.dt.hour() // 3)
        .agg(pl.col("value").mean())
        .filter(pl.col("day").is_in(days))
    )
    result = np.full((len(areas), len(days), BLOCKS), np.nan)
    place = {area: k for k, area in enumerate(areas)}
    row = np.array([place[area] for area in rows["area"]])
    column = (rows["day"].to_physical() - (days[0] - date(1970, 1, 1)).days).to_numpy()
    result[row, column, rows["block"].to_numpy()] = rows["value"].to_numpy()
    return np.swapaxes(result, 1, 2).reshape(-1, len(days))


def _warmth(frame: pl.DataFrame, days: list[date]) -> np.ndarray:
    local = pl.col("at").dt.convert_time_zone(ZONE).dt.date()
    rows = frame.filter(pl.col("quantity") == TEMPERATURE).group_by(day=local).agg(pl.col("value").mean())
    known = dict(rows.iter_rows())
    return np.array([known.get(day, np.nan) for day in days], dtype=float)


@pytest.fixture(scope="module")
def world() -> World:
    plan = GridPlan(seed=4, feeders=12, substations=3, days=680, resolution=timedelta(hours=1))
    grid = SimulatedGrid(plan)
    frame = grid.frame()
    first = plan.start.date() + DAY
    days = [first + k * DAY for k in range((ONSET.date() - first).days - 30)]
    load, warm = _blocks(frame, grid.areas, days), _warmth(frame, days)
    names = tuple(f"{area}/{block}" for area in grid.areas for block in range(BLOCKS))
    reference = fit_reference(DailyLoad(tuple(days), names, load, warm), OFF)
    scale = {area: float(np.nanmean(np.abs(load[8 * k : 8 * k + 8]))) for k, area in enumerate(grid.areas)}

    def expected(asked: list[date], temperature: np.ndarray) -> np.ndarray:
        zero = DailyLoad(tuple(asked), names, np.zeros((len(names), len(asked))), temperature)
        return -deviations(reference, zero, OFF) * np.array(reference.scale_mw)[:, None]

    held = np.full(load.shape, np.nan)
    for chunk in np.array_split(np.arange(len(days)), 8):
        near = np.zeros(len(days), dtype=bool)
        near[max(0, chunk[0] - 7) : chunk[-1] + 8] = True
        other = fit_reference(DailyLoad(tuple(days), names, np.where(near, np.nan, load), warm), OFF)
        held[:, chunk] = (
            deviations(other, DailyLoad(tuple(days), names, load, warm), OFF) * np.array(other.scale_mw)[:, None]
        )[:, chunk]
    monitors = {
        area: ChannelDetector(0.5).fit(_days(days, held[8 * k : 8 * k + 8].T / scale[area]))
        for k, area in enumerate(grid.areas)
    }
    fresh = World(grid, frame, monitors, expected, scale)
    for k in range(-20, 0):  # what all scenarios have in common
        _changes(fresh, monitors, frame, ((ONSET + k * DAY).date() - DAY, []))
    return fresh


def _days(days: list[date], blocks: np.ndarray) -> list[DayErrors]:
    return [
        DayErrors(
            day, tuple(row), float(np.nanmean(np.abs(row))), day.weekday() >= 5 or day in OFF, is_special(day, OFF)
        )
        for day, row in zip(days, blocks, strict=True)
        if np.isfinite(row).sum() >= 4
    ]


@dataclass(frozen=True, slots=True)
class Told:
    """What was said: (days after the onset, kind, areas) of findings, and the signals of changes with their day."""

    findings: list[tuple[float, str, tuple[str, ...]]]
    signals: list[tuple[float, Signal]]
    faults: list[Signal]


def lived(world: World, events: list[Event], until: int = DRIFT_DAYS) -> Told:
    """Let the checks look every morning from the onset on, and the monitors see what they leave."""
    near = pl.col("at").is_between(ONSET - 60 * DAY, ONSET + (until + 4) * DAY)
    frame = apply(world.frame.filter(near), events)
    plan = CheckPlan(zone=ZONE, areas=world.grid.areas, groups=world.grid.topology)
    covered = frozenset(area for group in world.grid.topology.values() for area in group)
    witnesses = Witnesses(covered, world.grid.areas)
    monitors, newest, seen = dict(world.monitors), {}, []
    told = Told([], [], [])
    for k in range(until):
        now = ONSET + k * DAY + timedelta(hours=7)
        known = frame.filter((pl.col("at") >= now - 36 * DAY) & (pl.col("available_at") <= now))
        findings = [f for f in check_data(Panel(known, timedelta(hours=1), now), now, plan) if f.end > ONSET]
        seen += findings
        for finding in findings:
            if finding.confidence != "unknown":
                told.findings.append(((now - ONSET) / DAY, finding.kind, finding.areas))
                told.faults.append(signal_of(finding, now))
        newest |= _changes(world, monitors, frame, (now.date() - DAY, seen))
        recent = {a: c for a, c in newest.items() if c.day > now.date() - 15 * DAY and c.day >= ONSET.date()}
        told.signals.extend(((now - ONSET) / DAY, s) for s in change_signals(attribute(recent, seen, witnesses), now))
    return told


def _changes(
    world: World, monitors: dict[str, Monitor], frame: pl.DataFrame, what: tuple[date, list[Finding]]
) -> dict[str, Change]:
    """Show yesterday to the monitors, without what the checks found at fault."""
    day, findings = what
    days = [day - k * DAY for k in range(8, -1, -1)]
    near = frame.filter(
        pl.col("at").is_between(
            ONSET.replace(hour=0) + (days[0] - ONSET.date()) * 1 - DAY, ONSET + (day - ONSET.date()) + 2 * DAY
        )
    )
    for f in findings:
        spoilt = (pl.col("quantity") == f.quantity) & pl.col("area").is_in(f.areas) & (pl.col("at") >= f.start)
        near = near.filter(~(spoilt & (pl.col("at") < (f.end if not f.active else f.end + 2 * DAY))))
    load, warm = _blocks(near, world.grid.areas, days), _warmth(near, days)
    away = load - world.expected(days, warm)
    changes = {}
    for k, area in enumerate(world.grid.areas):
        for seen in _days([day], away[8 * k : 8 * k + 8, -1:].T / world.scale[area]):
            monitors[area], change = monitors[area].step(seen)
            if change is not None:
                changes[area] = change
    return changes


def found(told: Told, name: str, area: str) -> bool:
    """Return whether the fault was told in time, and where it is."""
    case = FAULTS[name]
    return any(kind == case.said and area in areas and when <= case.days for when, kind, areas in told.findings)


def retrains(told: Told) -> list[Signal]:
    return [signal for _, signal in told.signals if action_of(signal) == "retrain"]


def answered(told: Told, name: str, area: str) -> bool:
    """Return whether the drift asks for a run on its areas in time."""
    asked = [(when, signal) for when, signal in told.signals if action_of(signal) == "retrain"]
    if name in LOCAL:
        asked = [(when, signal) for when, signal in asked if area in signal.areas]
    return any(when <= DRIFTS[name].days for when, _ in asked)


def named(told: Told, area: str) -> bool:
    """Return whether any change of the area was told."""
    return any(area in signal.areas for _, signal in told.signals)


def test_an_ordinary_month_asks_for_nothing(world: World) -> None:
    told = lived(world, [])
    assert told.findings == []
    assert retrains(told) == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_masked_and_nothing_is_retrained_on_it(world: World, name: str) -> None:
    told = lived(world, [FAULTS[name].make(FIRST)])
    assert found(told, name, FIRST), told.findings
    assert {action_of(signal) for signal in told.faults} == {"mask"}
    assert retrains(told) == []


@pytest.mark.parametrize("name", DRIFTS)
def test_a_drift_is_retrained_on_and_not_called_a_fault(world: World, name: str) -> None:
    told = lived(world, [DRIFTS[name].make(SECOND)])
    assert told.findings == []
    assert answered(told, name, SECOND), told.signals


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_two_at_once_are_told_apart(world: World, pair: tuple[str, str]) -> None:
    places = dict(zip(pair, (FIRST, SECOND), strict=True))
    drifts = [name for name in pair if name in DRIFTS]
    events = [EVERYTHING[name].make(area) for name, area in places.items()]
    told = lived(world, events, DRIFT_DAYS if drifts else FAULT_DAYS)
    for name in pair:
        if name in FAULTS:
            assert found(told, name, places[name]), (name, told.findings)
    if len(drifts) == 2:
        assert told.findings == []
    if not drifts:
        assert retrains(told) == []
    elif not any(name in WEATHER for name in pair):  # without weather the reference expects nothing: no verdict
        for name in drifts:
            # One more at a single feeder, on top of a drift of all, may be told by its shape, which no meter knows.
            everywhere = len(drifts) == 2 and name in LOCAL
            assert named(told, places[name]) if everywhere else answered(told, name, places[name]), told.signals


def test_a_feed_that_keeps_winter_time_is_shifted(
    spring: pl.DataFrame, plan: CheckPlan, panel_at: Callable[[pl.DataFrame, datetime], Panel]
) -> None:
    # Its local stamps, read as summer time, are an hour too early; an hour too late would be to follow the sun.
    change = datetime(2019, 3, 31, 1, tzinfo=UTC)
    frame = apply(spring, [StampShift(("F07",), change, change + 30 * DAY, hours=-1)])
    said = {}
    for k in range(1, 8):
        now = change + k * DAY + timedelta(hours=5)
        for finding in check_data(panel_at(frame, now), now, plan):
            said.setdefault((finding.kind, finding.areas), k)
    assert set(said) == {("shift", ("F07",))}
    assert min(said.values()) <= 6
