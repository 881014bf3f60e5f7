"""Quality steps mark what is doubtful and say why; repeats are known again; means are what a stopwatch would give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.connectors.cleaning import Cleaned, Cleaner, CleaningRules, Kind, Trace, interval_means
from recloser.connectors.points import Point, PointQuality, PointReading
from recloser.core import Quality

S = 1_000_000_000
T0 = 1_700_000_000 * S
POINT = Point("1:1", "P", "MW", low=0.0, high=100.0, rate_per_s=5.0, stuck_after_s=60.0)


def reading(second: float, number: float | None, lag_s: float = 0.2, **more: object) -> PointReading:
    at = T0 + int(second * S)
    return replace(PointReading("rtu", "P", at, at + int(lag_s * S), number, "MW"), **more)


def cleaned(readings: list[PointReading], rules: CleaningRules | None = None) -> list[Cleaned]:
    cleaner = Cleaner({"P": POINT}, rules)
    return [cleaner.clean(one) for one in readings]


def marks(readings: list[PointReading], rules: CleaningRules | None = None) -> list[PointQuality]:
    return [one.reading.quality for one in cleaned(readings, rules)]


def test_beyond_limits_and_why_with_the_number_as_it_came() -> None:
    found = cleaned([reading(0, 20.0), reading(1, 120.0)])[1]
    assert found.reading.quality & PointQuality.OUT_OF_LIMITS
    assert found.reading.number == 120.0
    assert "outside 0.0 .. 100.0 MW" in found.reason


def test_a_spike_is_marked_and_a_new_level_is_believed_once_it_stays() -> None:
    spike = marks([reading(0, 20.0), reading(1, 60.0), reading(2, 21.0)])
    assert [bool(mark & PointQuality.JUMP) for mark in spike] == [False, True, False]
    level = marks([reading(0, 20.0), *(reading(second, 60.0 + second) for second in range(1, 6))])
    assert [bool(mark & PointQuality.JUMP) for mark in level] == [False, True, True, False, False, False]


def test_a_frozen_number_is_marked_from_the_limit_on_until_it_moves() -> None:
    found = marks([*(reading(10 * step, 20.0) for step in range(9)), reading(90, 20.5)])
    assert [bool(mark & PointQuality.UNCHANGED) for mark in found] == [False] * 6 + [True] * 3 + [False]


def test_a_factor_of_a_thousand() -> None:
    free = Cleaner({"P": replace(POINT, low=None, high=None, rate_per_s=None)})
    usual = [free.clean(reading(step, 20.0 + step / 10)).reading.quality for step in range(20)]
    assert usual == [PointQuality.GOOD] * 20
    found = free.clean(reading(21, 20_300.0))
    assert found.reading.quality == PointQuality.UNIT_SUSPECT
    assert "thousand" in found.reason
    assert free.clean(reading(22, 40.0)).reading.quality == PointQuality.GOOD


def test_a_recording_that_is_played_again_and_again_is_marked_until_the_plant_is_seen() -> None:
    rng = np.random.default_rng(4)
    free = Cleaner({"P": replace(POINT, low=None, high=None, rate_per_s=None, stuck_after_s=None)})
    live = [20.0 + float(x) for x in rng.normal(size=60)]
    played = live[-15:] * 8
    found = [free.clean(reading(second, number)) for second, number in enumerate([*live, *played, *live[:9]])]
    marked = [bool(one.reading.quality & PointQuality.CYCLING) for one in found]
    first = marked.index(True)
    assert 60 + 30 <= first <= 60 + 50
    assert all(marked[first : 60 + len(played)])
    assert not any(marked[60 + len(played) + 3 :])
    assert "15 numbers" in found[first].reason


@pytest.mark.parametrize("levels", [2, 5, 12])
def test_coarse_numbers_and_states_are_no_recordings(levels: int) -> None:
    rng = np.random.default_rng(5)
    free = Cleaner({"P": replace(POINT, low=None, high=None, rate_per_s=None, stuck_after_s=None)})
    numbers = [10.0 + float(x) for x in rng.integers(0, levels, 20_000)] + [1.0, 0.0] * 50 + [3.0] * 100
    found = [free.clean(reading(second, number)).reading.quality for second, number in enumerate(numbers)]
    assert not any(quality & PointQuality.CYCLING for quality in found)


@pytest.mark.parametrize(("lag_s", "word"), [(3600.0, "behind"), (-7200.0, "ahead")])
def test_a_clock_shifted_by_whole_hours_is_found_and_the_arrival_counts(lag_s: float, word: str) -> None:
    found = cleaned([reading(step, 20.0 + step / 10, lag_s + 0.1 * step) for step in range(8)])
    assert word in found[-1].reason
    assert found[-1].reading.quality & PointQuality.CLOCK_SUSPECT
    assert found[-1].at_ns == found[-1].reading.receive_ns
    assert found[-1].reading.source_ns == T0 + 7 * S


def test_events_that_were_kept_during_an_outage_are_no_shifted_clock() -> None:
    back = T0 + 7200 * S
    kept = [reading(600.0 * step, 20.0 + step / 100, receive_ns=back) for step in range(12)]
    assert [one.at_ns for one in cleaned(kept)] == [one.source_ns for one in kept]


def test_what_is_sent_again_is_not_counted_again() -> None:
    first = [reading(0, 20.0), reading(1, 21.0), reading(2, 22.0)]
    cleaner = Cleaner({"P": POINT})
    assert [cleaner.clean(one).kind for one in first] == [Kind.READING] * 3
    again = [replace(one, receive_ns=one.receive_ns + 60 * S) for one in first]
    found = [cleaner.clean(one) for one in again]
    assert [one.kind for one in found] == [Kind.REPEATED, Kind.REPEATED, Kind.CONFIRMED]
    assert found[2].at_ns == again[2].receive_ns
    unstamped = replace(first[0], source_ns=None)
    assert [cleaner.clean(unstamped).kind for _ in range(2)] == [Kind.READING] * 2


def test_memory_is_restored_from_what_was_stored() -> None:
    before = Cleaner({"P": POINT})
    stored = [before.clean(reading(10 * step, 20.0)).reading for step in range(5)]
    after = Cleaner({"P": POINT})
    after.recall(stored)
    assert after.clean(stored[-1]).kind is Kind.CONFIRMED
    assert after.clean(reading(80, 20.0)) == before.clean(reading(80, 20.0))


def trace(rows: list[tuple[float, float, int]], hold_s: float = 1e9) -> Trace:
    at, number, quality = zip(*rows, strict=True)
    return Trace(
        np.array([T0 + int(second * S) for second in at], dtype=np.int64),
        np.array(number, dtype=np.float64),
        np.array(quality, dtype=np.int64),
        hold_s,
    )


def test_means_weigh_by_the_time_that_a_value_held() -> None:
    found = interval_means(trace([(-5, 10.0, 0), (30, 20.0, 0), (60, 40.0, 0)]), T0, 60 * S, 2)
    assert found.mean.tolist() == [15.0, 40.0]
    assert found.quality.tolist() == [0, 0]


def test_what_may_not_be_used_ends_what_held_before() -> None:
    stale = int(PointQuality.STALE)
    rows = [(0, 10.0, 0), (15, 10.0, stale), (45, 30.0, int(PointQuality.SUBSTITUTED)), (60, 5.0, stale)]
    found = interval_means(trace(rows), T0, 60 * S, 2)
    assert found.mean[0] == pytest.approx(20.0)
    assert found.covered.tolist() == [0.5, 0.0]
    assert Quality(int(found.quality[0])) == Quality.SUBSTITUTED | Quality.ESTIMATED
    assert np.isnan(found.mean[1])
    assert Quality(int(found.quality[1])) == Quality.MISSING | Quality.STUCK


def test_a_point_that_must_refresh_holds_only_so_long() -> None:
    found = interval_means(trace([(0, 10.0, 0)], hold_s=90.0), T0, 60 * S, 3)
    assert found.covered.tolist() == [1.0, 0.5, 0.0]
    assert Quality(int(found.quality[2])) & Quality.MISSING


def test_nothing_at_all_is_missing() -> None:
    empty = Trace(np.array([], dtype=np.int64), np.array([]), np.array([], dtype=np.int64), 1.0)
    assert interval_means(empty, T0, S, 3).quality.tolist() == [int(Quality.MISSING)] * 3


@given(
    rows=st.lists(
        st.tuples(st.integers(-50, 130), st.floats(-100, 100), st.sampled_from([0, int(PointQuality.INVALID)])),
        min_size=1,
        max_size=12,
        unique_by=lambda row: row[0],
    ),
    hold=st.sampled_from([7.0, 1e9]),
)
def test_means_are_those_of_every_single_second(rows: list[tuple[int, float, int]], hold: float) -> None:
    rows.sort()
    found = interval_means(trace([(float(s), n, q) for s, n, q in rows], hold), T0, 30 * S, 4, 0.1)
    for place in range(4):
        values = []
        for second in range(place * 30, place * 30 + 30):
            before = [row for row in rows if row[0] <= second]
            if before and not before[-1][2] and second < before[-1][0] + hold:
                values.append(before[-1][1])
        assert found.covered[place] == pytest.approx(len(values) / 30)
        if len(values) >= 4:
            assert found.mean[place] == pytest.approx(sum(values) / len(values), abs=1e-9)
