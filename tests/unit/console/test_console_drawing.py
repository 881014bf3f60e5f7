"""Drawings: everything inside its box, gaps not bridged, peaks kept, local days marked, texts escaped."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.console.drawing.plane import Plane, hours, runs, span_of, thinned, ticks
from recloser.console.drawing.trends import SMALL, small_trend
from recloser.console.markup import Markup, el, join

START = datetime(2020, 3, 28, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)
numbers = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=48)


@settings(max_examples=50, deadline=None)
@given(values=numbers, width=st.floats(0, 1e3))
def test_the_trend_stays_inside_its_box(values: list[float], width: float) -> None:
    band = [(START + k * HOUR, v - width, v, v + width) for k, v in enumerate(values)]
    drawing = small_trend(band, [(at, mid) for at, _, mid, _ in band], START + 5 * HOUR)
    pairs = [tuple(map(float, p.split(","))) for text in re.findall(r'points="([^"]*)"', drawing) for p in text.split()]
    assert len(pairs) == 4 * len(values)
    assert all(0 <= x <= SMALL[0] and 0 <= y <= SMALL[1] for x, y in pairs)


def test_a_gap_is_not_bridged_and_nothing_is_drawn_of_nothing() -> None:
    points = [(START + k * HOUR, float(k)) for k in (0, 1, 2, 7, 8)]
    assert [len(run) for run in runs(points, 1.5 * HOUR)] == [3, 2]
    assert "no trend" in small_trend([], [], START)


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5000), most=st.integers(4, 200))
def test_thinning_keeps_ends_of_the_range_and_the_order(values: list[float], most: int) -> None:
    points = [(START + k * timedelta(minutes=1), v) for k, v in enumerate(values)]
    kept = thinned(points, most)
    assert len(kept) <= most
    assert {min(values), max(values)} <= {v for _, v in kept}
    assert kept == sorted(kept)


@settings(max_examples=100, deadline=None)
@given(low=st.floats(-1e9, 1e9), span=st.floats(1e-6, 1e9))
def test_ticks_are_few_and_within(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert len(found) <= 7
    assert all(
        low - span * 1e-6 - abs(low) * 1e-12 <= tick <= low + span * (1 + 1e-6) + abs(low) * 1e-12 for tick in found
    )


def test_ranges_and_local_hours() -> None:
    assert span_of([]) == (0.0, 1.0)
    low, high = span_of([5.0, 5.0])
    assert low < 5.0 < high
    assert span_of([float("nan"), 1.0, 2.0], margin=0.0) == (1.0, 2.0)
    zone = ZoneInfo("Europe/Amsterdam")  # clocks go forward on 29 March: that day has 23 hours
    midnights = [at for at in hours(START, START + timedelta(days=2), zone, 6) if at.astimezone(zone).hour == 0]
    assert midnights == [START, START + 23 * HOUR, START + 47 * HOUR]


def test_places_are_kept_within() -> None:
    plane = Plane(START, START + HOUR, 0.0, 1.0, 10, 20, 100, 50)
    assert (plane.x(START - HOUR), plane.x(START + 9 * HOUR)) == (10, 110)
    assert (plane.y(-5.0), plane.y(5.0)) == (70, 20)
    assert Plane(START, START, 1.0, 1.0, 0, 0, 10, 10).y(1.0) == 5.0


def test_markup_escapes_texts_and_attributes_and_keeps_markup() -> None:
    assert (
        el("p", "<b>", class_='"x"', hidden=True, id=None, open=False)
        == '<p class="&quot;x&quot;" hidden>&lt;b&gt;</p>'
    )
    assert join(["a<", el("br"), None, 3, [Markup("<i>")]]) == "a&lt;<br>3<i>"
    assert el("span", data_at="x", aria_label="y") == '<span data-at="x" aria-label="y"></span>'


@pytest.mark.parametrize("name", ["meta", "input"])
def test_void_elements_have_no_end(name: str) -> None:
    assert el(name, id=1) == f'<{name} id="1">'
