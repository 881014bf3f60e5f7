"""Frames of a simulated PMU stand on one grid: each due frame has a time of its own, whatever the rate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recloser.simulation.devices.pmu.server import SECOND_NS, following, stamp_of

INSTANTS = st.integers(0, 2_000_000_000 * SECOND_NS)
RATES = st.integers(1, 120)


@given(INSTANTS, RATES)
def test_the_next_frame_has_the_next_time(at_ns: int, rate: int) -> None:
    due = following(at_ns, rate)
    assert stamp_of(at_ns, rate) <= at_ns < due <= at_ns + SECOND_NS // rate + 1
    assert stamp_of(due - 1, rate) == stamp_of(at_ns, rate)
    assert 0 <= due - stamp_of(due, rate) <= 1
    assert stamp_of(due, rate) - stamp_of(at_ns, rate) in {SECOND_NS // rate, -(-SECOND_NS // rate)}


@given(INSTANTS, RATES)
def test_a_second_has_as_many_frames_as_the_rate_and_begins_with_one(at_ns: int, rate: int) -> None:
    at = begin = at_ns - at_ns % SECOND_NS
    stamps = set()
    while at < begin + SECOND_NS:
        stamps.add(stamp_of(at, rate))
        at = following(at, rate)
    assert len(stamps) == rate
    assert (min(stamps), at) == (begin, begin + SECOND_NS)
