"""Waits grow with each failure in a row, and end by a measure of their own."""

from __future__ import annotations

from recloser.app.delivery.patience import Patience


def test_waits_grow_to_ten_minutes_and_begin_anew_with_what_worked() -> None:
    seconds = [5.0]
    patience = Patience(lambda: seconds[0])
    assert patience.due("desk")
    for tries in range(1, 13):
        assert patience.failed("desk") == tries
        assert not patience.due("desk")
        seconds[0] += min(600.0, 2.0 ** (tries - 1))
        assert patience.due("desk")
    patience.failed("notice/desk")
    patience.worked("desk")
    assert patience.due("notice/desk")
    assert patience.tries("desk") == 0
