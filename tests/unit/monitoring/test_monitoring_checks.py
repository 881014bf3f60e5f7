"""Data checks on the simulated grid: every fault found and named in time, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recloser.core import LOAD, TEMPERATURE, Panel, Quality
from recloser.monitoring import CheckPlan, Finding, check_data, flag_revisions, reconcile, signal_of
from recloser.simulation import (
    Event,
    Fahrenheit,
    Gap,
    LevelDrift,
    Lockdown,
    Scaled,
    SimulatedGrid,
    Spikes,
    StampShift,
    Stuck,
    apply,
    low_actuals,
)

Cut = Callable[[pl.DataFrame, datetime], Panel]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2019, 3, 26, 14, tzinfo=UTC)
ONE, THREE = ("F07",), ("F02", "F11", "F20")
FOR_LONG = START + 20 * DAY


def found(frame: pl.DataFrame, event: Event, now: datetime, panel_at: Cut, plan: CheckPlan) -> list[Finding]:
    return check_data(panel_at(apply(frame, [event]), now), now, plan)


def named(findings: list[Finding]) -> set[tuple[str, str, tuple[str, ...]]]:
    return {(f.kind, f.quantity, f.areas) for f in findings}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Gap(ONE, START, FOR_LONG), "missing"),
        (Gap(THREE, START, FOR_LONG), "missing"),
        (Stuck(ONE, START, FOR_LONG), "stuck"),
        (Stuck(THREE, START, FOR_LONG), "stuck"),
        (Scaled(ONE, START, FOR_LONG), "unit"),
        (Scaled(THREE, START, FOR_LONG, factor=0.001), "unit"),
        (Spikes(ONE, START, START + HOUR / 2, share=1.0), "spike"),
    ],
    ids=lambda e: e if isinstance(e, str) else f"{len(e.label.areas)} areas",
)
def test_within_three_hours_and_by_name(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan, event: Event, kind: str
) -> None:
    findings = found(spring, event, START + 3 * HOUR, panel_at, plan)
    assert named(findings) == {(kind, LOAD, event.label.areas)}
    assert abs(findings[0].start - START) <= HOUR / 2
    assert findings[0].confidence == "exact"
    assert signal_of(findings[0], START).signal_class == "data_fault"


def around_zero(frame: pl.DataFrame) -> pl.DataFrame:
    """Let F07 cross zero twice a day, as feeders with much wind and sun do."""
    mine = (pl.col("area") == "F07") & (pl.col("quantity") == LOAD)
    level = pl.col("value").filter(mine).mean()
    return frame.with_columns(pl.when(mine).then(pl.col("value") - level).otherwise(pl.col("value")).alias("value"))


@pytest.mark.parametrize("hour", range(0, 24, 3))
@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_a_wrong_unit_of_a_feeder_that_crosses_zero(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan, hour: int, factor: float
) -> None:
    start = START.replace(hour=hour)
    frame = around_zero(spring)
    now = start + 4 * HOUR
    assert [f for f in check_data(panel_at(frame, now), now, plan) if f.kind == "unit"] == []
    findings = found(frame, Scaled(ONE, start, FOR_LONG, factor=factor), now, panel_at, plan)
    assert ("unit", LOAD, ONE) in named(findings)
    assert {f.evidence["factor"] for f in findings if f.kind == "unit"} == {factor}


def test_a_solar_park_at_night_and_a_feeder_switched_off_have_no_wrong_unit(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan
) -> None:
    mine = (pl.col("area") == "F07") & (pl.col("quantity") == LOAD)
    sun = (-((pl.col("at").dt.hour() - 12.0) ** 2) / 12.0).exp() * 5.0 + 0.001 * pl.col("value")
    off = pl.when(pl.col("at") < START).then(pl.col("value")).otherwise(1e-5 * pl.col("value"))
    for value in (sun, off):
        frame = spring.with_columns(pl.when(mine).then(value).otherwise(pl.col("value")).alias("value"))
        for hours in range(2, 40, 3):
            now = START + hours * HOUR
            assert [f for f in check_data(panel_at(frame, now), now, plan) if f.kind == "unit"] == []


@pytest.mark.parametrize("before", [6 * HOUR, DAY, 3 * DAY])
def test_a_feed_whose_history_is_masked_has_no_wrong_unit(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan, before: timedelta
) -> None:
    """What is known of it is too little to call it small; a fault that masks a month must not make a second one."""
    now = START + 3 * HOUR
    mine = (pl.col("area") == "F07") & (pl.col("quantity") == LOAD) & (pl.col("at") < now - before)
    flag = pl.lit(int(Quality.SHIFT_SUSPECT), pl.UInt32)
    frame = spring.with_columns(quality=pl.when(mine).then(flag).otherwise("quality").cast(spring.schema["quality"]))
    assert [f for f in check_data(panel_at(frame, now), now, plan) if f.kind == "unit"] == []


def test_two_equal_values_in_the_past_delay_a_stuck_one_by_a_single_sample(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan
) -> None:
    hourly = spring.filter(pl.col("at").dt.minute() == 0)
    mine = (pl.col("area") == "F07") & (pl.col("quantity") == LOAD)
    twice = pl.col("at").dt.truncate("1d") == START.replace(hour=0) - 9 * DAY
    frame = hourly.with_columns(
        pl.when(mine & twice & pl.col("at").dt.hour().is_in([13, 14]))
        .then(2.0)
        .otherwise(pl.col("value"))
        .alias("value")
    )
    now = START + 3 * HOUR + HOUR / 2
    panel = Panel(panel_at(apply(frame, [Stuck(ONE, START, FOR_LONG)]), now).frame, HOUR, now)
    assert named(check_data(panel, now, plan)) == {("stuck", LOAD, ONE)}


def test_a_unit_error_of_the_whole_fleet_is_one_finding(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan, grid: SimulatedGrid
) -> None:
    findings = found(spring, Scaled((), START, FOR_LONG), START + 3 * HOUR, panel_at, plan)
    assert named(findings) == {("unit", LOAD, grid.areas)}
    assert findings[0].evidence["factor"] == 1000.0


def test_fahrenheit_and_a_lost_weather_feed(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan, grid: SimulatedGrid
) -> None:
    issue = START.replace(hour=7) + DAY
    fahrenheit = found(spring, Fahrenheit((), START, FOR_LONG), issue, panel_at, plan)
    assert named(fahrenheit) == {("unit", TEMPERATURE, grid.areas)}
    lost = found(spring, Gap((), START, FOR_LONG, TEMPERATURE), issue, panel_at, plan)
    assert named(lost) == {("missing", TEMPERATURE, grid.areas)}


def test_an_area_that_never_spoke_is_missing(spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan) -> None:
    silent = spring.filter((pl.col("area") != "F07") | (pl.col("quantity") != LOAD))
    assert named(check_data(panel_at(silent, START), START, plan)) == {("missing", LOAD, ONE)}


@pytest.mark.parametrize("hours", [1, -1])
@pytest.mark.parametrize("areas", [("F06",), ()], ids=["one feeder", "the whole feed"])
def test_shifted_stamps_are_found_within_days(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan, grid: SimulatedGrid, hours: int, areas: tuple[str, ...]
) -> None:
    start = datetime(2019, 3, 12, 23, tzinfo=UTC)
    now = start.replace(hour=7) + 4 * DAY
    findings = found(spring, StampShift(areas, start, start + 20 * DAY, hours=hours), now, panel_at, plan)
    assert named(findings) == {("shift", LOAD, areas or grid.areas)}
    assert findings[0].evidence["hours"] == hours


def test_low_actuals_are_told_from_real_change_by_the_substation(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan
) -> None:
    now = START.replace(hour=7) + 7 * DAY
    lies = found(spring, low_actuals(("F13",), START), now, panel_at, plan)
    assert named(lies) == {("low", LOAD, ("F13",))}
    assert lies[0].evidence["change"] == pytest.approx(-0.15, abs=0.05)
    true = found(spring, LevelDrift(START, -0.15, ("F13",), onset=timedelta(0)), now, panel_at, plan)
    assert true == []


def test_without_redundancy_the_cause_is_unknown_and_nothing_is_masked(
    spring: pl.DataFrame, panel_at: Cut, grid: SimulatedGrid
) -> None:
    now = START.replace(hour=7) + 9 * DAY
    bare = CheckPlan(zone=grid.plan.zone, areas=grid.areas)
    panel = panel_at(apply(spring, [Scaled(("F13",), START, FOR_LONG, factor=0.6)]), now)
    findings = check_data(panel, now, bare)
    assert named(findings) == {("low", LOAD, ("F13",))}
    signal = signal_of(findings[0], now)
    assert (signal.signal_class, signal.evidence["cause"]) == ("covariate_shift", "unknown")
    quality = flag_revisions(panel, findings, now)["quality"].unique().to_list()
    assert quality == [int(Quality.QUESTIONABLE)]


@pytest.mark.parametrize("days", [5, 12, 20])
def test_a_lockdown_is_not_a_data_fault(spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan, days: int) -> None:
    start = datetime(2019, 3, 18, tzinfo=UTC)
    now = start + days * DAY + 7 * HOUR
    assert found(spring, Lockdown(start, depth=0.12), now, panel_at, plan) == []


def test_a_clean_year_of_24_feeders_has_no_finding(year: pl.DataFrame, panel_at: Cut, plan: CheckPlan) -> None:
    first = datetime(2019, 2, 15, 7, tzinfo=UTC)
    days = [first + 12 * k * DAY for k in range(29)]
    changes_of_clocks = [datetime(2019, 4, 2, 7, tzinfo=UTC), datetime(2019, 10, 29, 7, tzinfo=UTC)]
    for now in days + changes_of_clocks:
        assert check_data(panel_at(year, now), now, plan) == [], now


def test_flags_are_written_once_and_keep_the_fault_found(spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan) -> None:
    frame = apply(spring, [Stuck(ONE, START, FOR_LONG), Spikes(("F03",), START, START + HOUR / 2, share=1.0)])
    now = START + 6 * HOUR
    panel = panel_at(frame, now)
    findings = check_data(panel, now, plan)
    marked = flag_revisions(panel, findings, now)
    assert set(marked["source"]) == {"check:stuck", "check:spike"}
    assert marked["available_at"].unique().to_list() == [now]
    spiked = marked.filter(pl.col("area") == "F03")
    assert spiked.select("at", "quality").rows() == [(START, int(Quality.SPIKE))]
    both = pl.concat([frame, marked]).sort("area", "quantity", "at", "available_at")
    later = panel_at(both, now)
    again = check_data(later, now, plan)
    assert named(again) == named(findings)
    assert flag_revisions(later, again, now).is_empty()
    kept = later.wide().filter((pl.col("area") == "F07") & (pl.col("at") >= START))[LOAD]
    assert kept.null_count() == len(kept)


def test_the_findings_of_an_instant_do_not_know_the_future(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan
) -> None:
    now = START + 5 * HOUR
    whole = Panel(apply(spring, [Stuck(ONE, START, FOR_LONG)]), timedelta(minutes=30), datetime(2019, 6, 1, tzinfo=UTC))
    at_the_time = check_data(whole.at_time(now), now, plan)
    assert at_the_time == check_data(panel_at(whole.frame, now), now, plan)


def test_night_constant_and_quantised_feeders_are_not_stuck(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan
) -> None:
    night = pl.col("at").dt.hour().is_in([22, 23, 0, 1, 2, 3, 4])
    mine = (pl.col("area") == "F07") & (pl.col("quantity") == LOAD)
    constant = spring.with_columns(pl.when(mine & night).then(2.5).otherwise(pl.col("value")).alias("value"))
    rounded = spring.with_columns(
        pl.when(mine).then((pl.col("value") * 2).round() / 2).otherwise(pl.col("value")).alias("value")
    )
    now = START.replace(hour=6)
    for frame in (constant, rounded):
        assert [f for f in check_data(panel_at(frame, now), now, plan) if f.kind == "stuck"] == []


def test_one_fault_is_opened_once_followed_and_closed(spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan) -> None:
    frame = apply(spring, [Gap(ONE, START, START + 3 * DAY)])
    now, open_findings, history = START, [], []
    for _ in range(8):
        now += 12 * HOUR
        step = reconcile(open_findings, check_data(panel_at(frame, now), now, plan))
        history.append((len(step.opened), len(step.lasting), len(step.closed)))
        open_findings = [*step.lasting, *(f for f in step.opened if f.active)]
    assert history[:7] == [(1, 0, 0), *[(0, 1, 0)] * 5, (0, 0, 1)]
    assert open_findings == []


def flagged(frame: pl.DataFrame, panel: Panel, findings: list[Finding], now: datetime) -> pl.DataFrame:
    """Return the samples with the flags that a check writes into the store."""
    both = pl.concat([frame, flag_revisions(panel, findings, now)])
    return both.sort("area", "quantity", "at", "available_at")


def test_a_spike_is_found_while_a_flagged_unit_fault_lies_in_the_window(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan
) -> None:
    over = START + 3 * DAY
    spike = START + 10 * DAY
    hourly = spring.filter(pl.col("at").dt.minute() == 0)
    frame = apply(hourly, [Scaled(ONE, START, over), Spikes(ONE, spike, spike + HOUR, share=1.0, factor=2.2)])
    known = Panel(panel_at(frame, over).frame, HOUR, over)
    frame = flagged(frame, known, check_data(known, over, plan), over)
    now = spike + 4 * HOUR
    findings = check_data(Panel(panel_at(frame, now).frame, HOUR, now), now, plan)
    assert [(f.kind, f.samples) for f in findings] == [("spike", (("F07", spike),))]


@pytest.mark.parametrize("days", [1, 2, 3, 4, 5, 8, 12])
def test_a_fault_that_is_over_and_flagged_moves_no_level(
    spring: pl.DataFrame, panel_at: Cut, grid: SimulatedGrid, days: int
) -> None:
    """Days in kW stay in the window: neither their feeders nor the neighbours have left their level."""
    bare = CheckPlan(zone=grid.plan.zone, areas=grid.areas)
    over = START.replace(hour=22) + 6 * DAY
    frame = apply(spring, [Scaled(grid.areas[:10], START, over)])
    heard = over + HOUR  # by then the last sample has come
    panel = panel_at(frame, heard)
    frame = flagged(frame, panel, check_data(panel, heard, bare), heard)
    now = over + days * DAY + 7 * HOUR
    findings = check_data(panel_at(frame, now), now, bare)
    assert [f for f in findings if f.kind != "unit"] == []
    assert [f.active for f in findings] == ([False] if days == 1 else [])


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (StampShift(("F06",), START, FOR_LONG, hours=-1), "shift"),
        (low_actuals(("F13",), START), "low"),
        (Stuck(ONE, START, FOR_LONG), "stuck"),
        (Scaled(ONE, START, FOR_LONG), "unit"),
    ],
    ids=lambda e: e if isinstance(e, str) else "",
)
@pytest.mark.parametrize("asleep", [1, 2, 3, 4])
def test_a_flagged_fault_that_goes_on_stays_told_from_its_start_whoever_slept(
    spring: pl.DataFrame, panel_at: Cut, plan: CheckPlan, event: Event, kind: str, asleep: int
) -> None:
    frame, open_findings, counts = apply(spring, [event]), [], []
    morning = START.replace(hour=7)
    for day in [*(k / 2 for k in range(2, 25)), 12 + asleep, 13 + asleep]:
        now = morning + day * DAY
        panel = panel_at(frame, now)
        seen = check_data(panel, now, plan)
        frame = flagged(frame, panel, seen, now)
        step = reconcile(open_findings, seen)
        open_findings = [*step.lasting, *(f for f in step.opened if f.active)]
        counts.append((len(step.opened), len(step.closed)))
    assert sum(opened for opened, _ in counts) == 1
    assert sum(closed for _, closed in counts) == 0
    assert [f.kind for f in open_findings] == [kind]
    assert abs(open_findings[0].start - START) < DAY
