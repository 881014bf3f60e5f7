"""From probabilities to events: begin, deadband, end; repeated and missing windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import nan

import pytest

from recloser.core import InvalidInput
from recloser.monitoring import EventRule, EventWatch, watched

T0 = datetime(2020, 1, 1, tzinfo=UTC)


def run(numbers, rule=None):
    watch, told = EventWatch(rule or EventRule(begin=2)), []
    for second, number in enumerate(numbers):
        watch, news = watched(watch, T0 + timedelta(seconds=second), {"oscillation": number})
        told += [(second, event.over_at is None) for event in news]
    return watch, told


def test_an_event_needs_windows_in_a_row():
    assert run([0.9, 0.1, 0.9, 0.1])[1] == []
    watch, told = run([0.1, 0.9, 0.8, 0.7])
    assert told == [(2, True)]
    event = watch.going_on[0]
    assert (event.first_at, event.found_at) == (T0 + timedelta(seconds=1), T0 + timedelta(seconds=2))
    assert event.probability == 0.8


def test_three_windows_in_a_row_begin_an_event_by_default():
    assert run([0.9, 0.9, 0.1, 0.9, 0.9, 0.9], EventRule())[1] == [(5, True)]


def test_it_ends_below_half_the_threshold_for_a_while_only():
    flicker = [0.9, 0.9, 0.3, 0.4, 0.3, 0.4, 0.3, 0.4, 0.3, 0.4]
    assert run(flicker)[1] == [(1, True)], "between a quarter and the half it goes on"
    assert run([0.9, 0.9, *([0.1] * 5)])[1] == [(1, True), (6, False)]
    assert run([0.9, 0.9, *([0.1] * 4), 0.9, 0.1])[1] == [(1, True)]


def test_no_number_neither_begins_nor_ends():
    assert run([0.9, nan, 0.9])[1] == [(2, True)]
    assert run([0.9, 0.9, *([nan] * 10)])[1] == [(1, True)]


def test_a_repeated_window_counts_once():
    watch = EventWatch()
    for _ in range(3):
        watch, news = watched(watch, T0, {"islanding": 0.9})
        assert news == ()


def test_a_rule_that_says_nothing_is_refused():
    for wrong in ({"threshold": 1.0}, {"begin": 0}, {"end": 0}):
        with pytest.raises(InvalidInput, match="says nothing"):
            EventRule(**wrong)
