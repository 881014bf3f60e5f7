"""Days by block, what is normal, the false-alarm budget, stamps, the fleet, and whose fault a change is."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recloser.core import InvalidInput
from recloser.monitoring import Finding, Signal
from recloser.monitoring.detectors import (
    Change,
    ChannelDetector,
    DayErrors,
    Detector,
    EDetector,
    day_errors,
    discoveries,
    e_discoveries,
    errors_of_rows,
    pooled_days,
    seasonal_cusum,
    stepped,
)
from recloser.monitoring.detectors.budget import Resampling, drawn_years, tail_of, yearly_tops
from recloser.monitoring.detectors.history import believed
from recloser.monitoring.detectors.stamps import StampLimits, can_tell, stamp_matches, stamp_shift
from recloser.monitoring.questions import Witnesses, action_of, attribute, change_signals

FIRST = date(2018, 1, 1)
NOW = datetime(2020, 3, 10, 7, tzinfo=UTC)


def hours(count: int, seed: int, shape: np.ndarray | float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    error, rows = 0.0, []
    for _ in range(count):
        error = 0.5 * error + 0.87 * rng.normal()
        rows.append(0.02 * error + shape + 0.01 * rng.normal(size=24))
    return np.array(rows)


def days(count: int, seed: int, shape: np.ndarray | float = 0.0, start: date = FIRST) -> list[DayErrors]:
    return day_errors([start + timedelta(days=k) for k in range(count)], hours(count, seed, shape), frozenset())


def first_change(detector: ChannelDetector, lived: list[DayErrors]) -> Change | None:
    monitor = detector.fit(days(500, 1))
    for day in lived:
        monitor, change = monitor.step(day)
        if change is not None:
            return change
    return None


def test_rows_become_days_of_eight_blocks_in_local_time() -> None:
    at = [datetime(2020, 1, 6, 23, tzinfo=UTC) + timedelta(hours=k) for k in range(24)]
    error = [0.1 if k < 3 else 0.0 for k in range(24)]
    rows = pl.DataFrame(
        {"area": "A", "at": at, "truth_mw": [1.0 + e for e in error], "median_mw": 1.0, "scale_mw": 1.0}
    )
    (day,) = errors_of_rows(rows, "Europe/Amsterdam", frozenset({date(2020, 1, 8)}))["A"]
    assert day.day == date(2020, 1, 7)
    assert day.blocks == pytest.approx((0.1, *[0.0] * 7))
    assert (day.off, day.special) == (False, True)


def garbled(history: list[DayErrors], places: list[int], level: float) -> list[DayErrors]:
    """A feed that was garbage on some days."""
    bad = {k: replace(history[k], blocks=(level,) * 8, absolute=abs(level)) for k in places}
    return [bad.get(k, day) for k, day in enumerate(history)]


@pytest.mark.parametrize("detector", [ChannelDetector(), seasonal_cusum(), EDetector()], ids=lambda one: one.name)
def test_a_dozen_days_of_garbage_in_the_history_change_nothing(detector: Detector) -> None:
    """As in PJM, whose forecast was of a part of the area for twelve days: no change was found in the year after."""
    sound, places = days(500, 1), list(range(20, 32))
    without = detector.fit([day for k, day in enumerate(sound) if k not in places])
    assert detector.fit(garbled(sound, places, 0.9)).to_dict() == without.to_dict()
    assert detector.fit(garbled(sound, places, -0.9)).to_dict() == without.to_dict()


def test_what_is_usual_is_believed_however_large() -> None:
    sound = days(500, 1)
    assert believed(sound) == sound
    heat = garbled(sound, [200, 201, 202], 0.1)  # five deviations: an error, not a fault
    assert believed(heat) == heat
    often = garbled(sound, list(range(0, 500, 8)), 0.9)  # an eighth of the days: so the series is
    assert believed(often) == often
    still = [replace(day, blocks=(0.0,) * 8, absolute=0.0) for day in sound]
    assert believed([*still, *sound[:3]]) == [*still, *sound[:3]]
    hot = [replace(day, size=8.0, blocks=tuple(8.0 * block for block in day.blocks)) for day in sound[:20]]
    assert believed([*hot, *sound[20:]]) == [*hot, *sound[20:]]


def test_a_day_of_few_hours_is_left_out_and_shapes_are_checked() -> None:
    table = hours(2, 1)
    table[0, :14] = np.nan
    assert [d.day for d in day_errors([FIRST, FIRST + timedelta(days=1)], table, frozenset())] == [date(2018, 1, 2)]
    with pytest.raises(InvalidInput):
        day_errors([FIRST], table, frozenset())
    with pytest.raises(InvalidInput):
        DayErrors(FIRST, (0.0,) * 7, 0.0)


@pytest.mark.parametrize(
    ("shape", "channel"),
    [
        (np.full(24, -0.08), "level"),
        (np.where(np.arange(24) // 3 == 2, 0.06, -0.06 / 7), "shape"),
        # A fifth less of a load with nights and peaks: the shape in MW is another one too, and sooner past its limit.
        (-0.2 * (1.0 - 0.7 * np.cos((np.arange(24) - 3.0) * np.pi / 12.0)), "level"),
    ],
)
def test_each_kind_of_change_is_named_by_its_channel(shape: np.ndarray, channel: str) -> None:
    start = date(2020, 2, 1)
    change = first_change(ChannelDetector(), days(40, 3, 0.0, start) + days(60, 4, shape, start + timedelta(days=40)))
    assert change is not None
    assert change.channel == channel
    assert 0 <= (change.day - start).days - 40 <= 10


def test_wilder_errors_are_a_change_of_scale() -> None:
    start = date(2020, 2, 1)
    # Within each block the errors nearly cancel: neither level nor shape of the day changes.
    wild = hours(60, 5) + 0.06 * np.tile([1.0, -2.0, 1.0], 8)
    lived = day_errors([start + timedelta(days=k) for k in range(60)], wild, frozenset())
    change = first_change(ChannelDetector(), lived)
    assert change is not None
    assert change.channel == "scale"


def test_midday_that_erodes_slowly_is_found_within_the_year() -> None:
    sun = np.exp(-0.5 * ((np.arange(24) + 0.5 - 13.0) / 2.3) ** 2)
    start = date(2020, 1, 10)
    rows = hours(330, 6) - 0.007 * (np.arange(330) / 30.0)[:, None] * sun
    change = first_change(
        ChannelDetector(), day_errors([start + timedelta(days=k) for k in range(330)], rows, frozenset())
    )
    assert change is not None
    assert change.channel in {"slow", "shape"}


def test_a_holiday_alone_raises_nothing() -> None:
    start = date(2020, 2, 1)
    lived = days(30, 7, 0.0, start)
    odd = [DayErrors(start + timedelta(days=30 + k), (-0.6,) * 8, 0.6, True, True) for k in range(3)]
    assert first_change(ChannelDetector(), lived + odd) is None
    plain = [DayErrors(d.day, d.blocks, d.absolute) for d in odd]
    assert first_change(ChannelDetector(), lived + plain) is not None


@pytest.mark.parametrize("detector", [ChannelDetector(), seasonal_cusum()])
def test_quiet_years_mostly_keep_the_budget(detector: ChannelDetector) -> None:
    alarms = 0
    for seed in range(8):
        monitor = detector.fit(days(600, 20 + seed))
        for day in days(365, 40 + seed, start=date(2020, 1, 1)):
            monitor, change = monitor.step(day)
            alarms += change is not None
    assert alarms <= 14, "eight years at a budget of one a year: more than 14 has a chance of 2 %"


def test_the_tail_gives_limits_and_chances_that_agree() -> None:
    scores = np.array([d.blocks[0] for d in days(400, 8)])[:, None] / 0.02
    drawn, made = drawn_years(scores, Resampling(years=200))
    assert drawn.shape == made.shape == (200, 365, 1)
    tail = tail_of(yearly_tops(made, 1.0, 4.0))
    top = tail.limit(0.2)
    assert tail.chance(top) == pytest.approx(1 - np.exp(-0.2), abs=0.03)
    assert tail.limit(1.0) < top
    far = [tail.chance(tail.tops[-1] * k) for k in (1.0, 1.5, 2.0)]
    assert far[0] >= far[1] > far[2] > 0.0


def test_false_discovery_control_is_stricter_for_one_than_for_many() -> None:
    alone = {"A": 0.04, **{f"B{k}": 0.6 for k in range(9)}}
    assert discoveries(alone, 0.2) == ()
    together = {f"A{k}": 0.04 for k in range(5)} | {f"B{k}": 0.6 for k in range(5)}
    assert discoveries(together, 0.2) == tuple(f"A{k}" for k in range(5))
    assert discoveries({"A": float("nan"), "B": 0.001}, 0.2) == ("B",)
    assert e_discoveries({"A": 60.0, "B": 1.0}, 0.05) == ("A",)
    assert e_discoveries({"A": 30.0, "B": 1.0}, 0.05) == ()


def test_the_fleet_ignores_one_mad_feed() -> None:
    feeds = [days(30, seed) for seed in range(50, 55)]
    mad = [DayErrors(d.day, (9.0,) * 8, 9.0) for d in feeds[0]]
    pooled = pooled_days([*feeds, mad])
    assert len(pooled) == 30
    assert max(abs(b) for d in pooled for b in d.blocks) < 0.1
    assert pooled_days([feeds[0], [], [], []]) == []


CURVE = (
    100.0 + 20.0 * np.sin((np.arange(24) - 9.0) / 24 * 2 * np.pi) + 8.0 * np.sin((np.arange(24) - 3.0) / 12 * 2 * np.pi)
)


def stamped(count: int, hours_late: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    forecast = np.tile(CURVE, (count, 1))
    load = np.roll(forecast.ravel(), hours_late).reshape(count, 24)
    return load * (1.0 + 0.01 * np.random.default_rng(seed).standard_normal((count, 24))), forecast


@pytest.mark.parametrize("late", [1, -1])
def test_an_hour_s_error_of_the_stamps_shows_after_two_days(late: int) -> None:
    history = stamp_matches(*stamped(60, 0))
    assert stamp_shift(history, stamp_matches(*stamped(4, late, 2))[1:-1], StampLimits()) == late
    assert stamp_shift(history, stamp_matches(*stamped(5, 0, 3)), StampLimits()) == 0


def test_a_forecast_whose_usual_days_fit_as_well_an_hour_later_cannot_tell_of_stamps() -> None:
    sharp = stamp_matches(*stamped(60, 0))
    assert can_tell(sharp, StampLimits())
    load, forecast = stamped(60, 0)
    noisy = load + 15.0 * np.random.default_rng(8).standard_normal(load.shape)
    assert not can_tell(stamp_matches(noisy, forecast), StampLimits())
    assert not can_tell(sharp[:1], StampLimits(days=1, sharp=-2.0))
    assert not can_tell(np.full((60, 2, 4), np.nan), StampLimits())


def test_less_load_or_a_later_morning_is_no_error_of_the_stamps() -> None:
    history = stamp_matches(*stamped(60, 0))
    load, forecast = stamped(5, 0, 4)
    assert stamp_shift(history, stamp_matches(0.85 * load, forecast), StampLimits()) == 0
    morning = load.copy()
    morning[:, 6:10] = stamped(5, 1, 4)[0][:, 6:10]
    assert stamp_shift(history, stamp_matches(morning, forecast), StampLimits()) == 0
    assert stamp_shift(history, stamp_matches(load, forecast)[:1], StampLimits()) == 0
    with pytest.raises(InvalidInput):
        stamp_matches(load, forecast[:3])


def changed(direction: str = "below", channel: str = "level") -> Change:
    return Change(date(2020, 3, 9), date(2020, 3, 2), channel, direction, 1.2, -0.08)


def only(signals: tuple[Signal, ...]) -> Signal:
    assert len(signals) == 1
    return signals[0]


def test_a_fault_explains_a_change_of_its_feed() -> None:
    fault = Finding("shift", "load_mw", ("A",), NOW - timedelta(days=6), NOW, confidence="likely")
    found = attribute({"A": changed(channel="shape")}, [fault], Witnesses(areas=("A", "B")))
    assert [one.cause for one in found] == ["fault"]
    assert change_signals(found, NOW) == ()
    other = attribute({"B": changed(channel="shape")}, [fault], Witnesses(areas=("A", "B")))
    assert [one.cause for one in other] == ["unknown"]


def test_without_a_second_measurement_the_signal_says_so_and_only_asks_to_watch() -> None:
    signal = only(change_signals(attribute({"A": changed()}, [], Witnesses(areas=("A",))), NOW))
    assert (signal.signal_class, signal.evidence["cause"]) == ("concept_drift", "unknown")
    assert action_of(signal) == "watch"
    assert "may be the meter" in signal.reason


def test_a_meter_or_the_neighbours_make_it_a_drift() -> None:
    metered = only(change_signals(attribute({"A": changed()}, [], Witnesses(frozenset({"A"}), ("A",))), NOW))
    assert action_of(metered) == "retrain"
    areas = tuple("ABCDEF")
    alike = {area: changed() for area in "ABC"}
    shared = only(change_signals(attribute(alike, [], Witnesses(areas=areas)), NOW))
    assert shared.areas == ("A", "B", "C")
    assert action_of(shared) == "retrain"
    mixed = attribute({"A": changed(), "B": changed("above"), "C": changed()}, [], Witnesses(areas=areas))
    assert {one.cause for one in mixed} == {"unknown"}


@pytest.mark.parametrize(
    ("signal_class", "severity", "kind", "action"),
    [
        ("data_fault", "critical", "missing", "mask"),
        ("covariate_shift", "notice", "low", "watch"),
        ("degradation", "critical", "error", "fall_back"),
        ("degradation", "warning", "error", "retrain"),
        ("degradation", "notice", "coverage", "recalibrate"),
    ],
)
def test_every_class_has_its_own_action(signal_class: str, severity: str, kind: str, action: str) -> None:
    signal = Signal("s", NOW, signal_class, severity, (), NOW, "", {"kind": kind})  # type: ignore[arg-type]
    assert action_of(signal) == action


def test_limit_and_chance_undo_each_other_beyond_the_drawn_years() -> None:
    tail = tail_of(
        yearly_tops(*drawn_years(np.random.default_rng(3).normal(size=(400, 1)), Resampling())[:1], 1.0, 4.0)
    )
    for rate in (0.5, 0.05, 0.005, 0.0005):
        assert tail.chance(tail.limit(rate)) == pytest.approx(1.0 - np.exp(-rate), rel=0.02)


def test_many_series_a_little_odd_are_called_together_before_any_one_alone() -> None:
    detector = ChannelDetector(1.0 / 12)
    lived = {f"A{k:02d}": days(30, 100 + k, -0.03, date(2020, 3, 2)) for k in range(12)}
    fitted = {name: detector.fit(days(500, 200 + k)) for k, name in enumerate(lived)}

    def found(rate: float) -> dict[str, int]:
        monitors, first = dict(fitted), dict.fromkeys(lived, 30)
        for k in range(30):
            called = [name for name, day in first.items() if day < 30]
            monitors, changed = stepped(monitors, {name: own[k] for name, own in lived.items()}, rate, called)
            first |= {name: k for name in changed if first[name] == 30}
        return first

    alone, together = found(0.0), found(0.5)
    assert min(together.values()) <= min(alone.values())
    assert sum(together.values()) < sum(alone.values()) - len(lived)  # a day sooner on average, or more
