"""How far behind a lane says it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recloser.serving.plane.pace import BATCHES, INTERVAL_S, Pace


def at_work(*batches: tuple[int, float]) -> tuple[Pace, float]:
    """Return a pace after batches of so many requests and seconds, without a rest between, and the time then."""
    pace, now = Pace(), 5.0
    pace.begin(now)
    for requests, seconds in batches:
        pace.note(requests, seconds)
        now += seconds
    return pace, now


def test_a_burst_is_no_overload() -> None:
    pace, now = at_work((1, 0.05), (40, 0.05))
    assert pace.behind_s(10_000, 0, 0.0, now) == 0.0
    slow, now = at_work((1, 0.4))  # the next one may take a thousand in the same time
    assert slow.behind_s(1000, 0, 0.0, now) == 0.0


def test_work_that_takes_no_longer_for_more_requests_is_soon_known_to() -> None:
    pace, now = at_work((1, 0.05), *[(100, 0.05)] * 8)
    assert pace.behind_s(100, 0, 0.0, now) < 0.08


def test_a_rest_forgets() -> None:
    pace, now = at_work(*[(10, 0.1)] * 4)
    assert round(pace.behind_s(30, 10, 0.04, now), 6) == 0.36
    pace.rest()
    assert pace.behind_s(30, 10, 0.04, now) == 0.0
    pace.note(10, 0.1)  # of a thread that was left behind
    assert pace.behind_s(30, 10, 0.04, now + 9.0) == 0.0


def test_one_pause_among_quick_batches_is_no_overload() -> None:
    pace, now = at_work(*[(5, 0.002)] * 400, (5, 0.3), *[(5, 0.002)] * 5)
    assert pace.behind_s(50, 0, 0.0, now) < 0.4


@given(
    st.lists(st.tuples(st.integers(1, 300), st.floats(1e-4, 2.0)), min_size=BATCHES, max_size=30), st.integers(0, 99)
)
def test_a_steady_price_of_a_request_is_found(batches: list[tuple[int, float]], waiting: int) -> None:
    price = batches[0][1] / 100
    pace, now = at_work(*[(requests, requests * price) for requests, _ in batches])
    busy = now - 5.0 >= INTERVAL_S
    expected = waiting * price if busy else 0.0
    assert abs(pace.behind_s(waiting, 0, 0.0, now) - expected) <= 1e-9 * max(1.0, expected)
