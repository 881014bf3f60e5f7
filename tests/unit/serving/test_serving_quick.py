"""The quick checks for a few rows never pass what the full guard holds back; arrays and frames get equal answers."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.serving import AssetLimits, GuardPolicy, guard
from recloser.serving.batch import batch_from_arrays, joinable, joined

NAMES = ("scale_mw", "load_level_24h", "data_age_h", "lead_h", "f1", "f2", "f3")
ODD = st.sampled_from([float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e308, 1.0, 1000.0, 40.0, 100.0])
CELLS = st.one_of(ODD, st.floats(0.5, 2.0))
LIMITS = {
    "a": AssetLimits(-500.0, 3000.0, 400.0, timedelta(minutes=30)),
    "b": AssetLimits(0.0, 90.0, 1.0, timedelta(1)),
}
POLICIES = [
    GuardPolicy(),
    GuardPolicy(required=("f1",), max_missing_share=0.0),
    GuardPolicy(required=("f1", "absent"), stale_after_h=None),
    GuardPolicy(max_missing_share=1.0, level_column="none", age_column="f2"),
]


def batch(areas: list[str], cells: list[list[float]], minutes: list[int] | None = None):
    table = np.array(cells)
    numbers = {name: table[:, k] for k, name in enumerate(NAMES)}
    at_us = None if minutes is None else np.array(minutes, dtype=np.int64) * 60_000_000
    return batch_from_arrays(areas, numbers, at_us)[0]


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "x"]), st.lists(CELLS, min_size=7, max_size=7)), min_size=1, max_size=4
    ),
    st.sampled_from(POLICIES),
)
def test_quick_inputs_agree_with_the_full_check(rows: list[tuple[str, list[float]]], policy: GuardPolicy) -> None:
    few = batch([area for area, _ in rows], [cells for _, cells in rows])
    quick = guard.inputs_sound(few, LIMITS, policy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "FEW", 0)
        full = guard.input_faults(few, LIMITS, policy)
    assert not (quick and full)
    assert guard.input_faults(few, LIMITS, policy) == full


@given(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=4),
    st.lists(st.lists(st.one_of(ODD, st.floats(-600, 3100)), min_size=3, max_size=3), min_size=4, max_size=4),
    st.lists(st.integers(0, 200), min_size=4, max_size=4),
    st.sampled_from(["sorted", "as given"]),
)
def test_quick_answers_agree_with_the_full_check(
    areas: list[str], answers: list[list[float]], minutes: list[int], order: str
) -> None:
    few = batch(areas, [[1.0] * 7] * len(areas), minutes[: len(areas)])
    mw = np.array([sorted(row) if order == "sorted" else row for row in answers[: len(areas)]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "FEW", 0)
        full = guard.answer_faults(mw, few, LIMITS)
    assert guard.answer_sound(mw, few, LIMITS) == (not full)
    assert guard.answer_faults(mw, few, LIMITS) == full


@given(
    st.lists(st.one_of(ODD, st.floats(-1e4, 1e4)), min_size=3, max_size=3),
    st.lists(st.one_of(ODD, st.floats(-1e4, 1e4)), min_size=3, max_size=3),
    st.one_of(ODD, st.floats(0.1, 1e4)),
)
def test_the_distance_of_one_row_is_that_of_many(one: list[float], other: list[float], scale: float) -> None:
    single = batch(["a"], [[scale, *[1.0] * 6]])
    double = batch(["a", "b"], [[scale, *[1.0] * 6]] * 2)
    (quick,) = guard.distances(np.array([one]), np.array([other]), single)
    full = guard.distances(np.array([one, one]), np.array([other, other]), double)
    np.testing.assert_array_equal([quick, quick], full)


@given(st.lists(st.lists(st.sampled_from("abx"), min_size=1, max_size=5), min_size=1, max_size=5), st.data())
def test_joined_batches_keep_their_rows_and_their_groups(requests: list[list[str]], data: st.DataObject) -> None:
    parts = []
    for areas in requests:
        cells = data.draw(st.lists(st.lists(CELLS, min_size=7, max_size=7), min_size=len(areas), max_size=len(areas)))
        parts.append(batch(areas, cells, list(range(len(areas)))))
    assert all(joinable(parts[0], part) for part in parts)
    whole, group = joined(parts), 0
    for part in parts:
        for index, area in enumerate(part.areas):
            assert whole.areas[group] == area
            np.testing.assert_array_equal(whole.table[whole.rows_of(group)], part.table[part.rows_of(index)])
            np.testing.assert_array_equal(whole.at_us[whole.rows_of(group)], part.at_us[part.rows_of(index)])
            assert list(whole.rows.areas[whole.rows_of(group)]) == [area] * int(part.lengths()[index])
            group += 1
    assert group == len(whole.areas)
    picked = sorted(data.draw(st.sets(st.integers(0, group - 1), min_size=1)))
    taken = whole.take(picked)
    assert taken.areas == tuple(whole.areas[index] for index in picked)
    for place, index in enumerate(picked):
        np.testing.assert_array_equal(taken.table[taken.rows_of(place)], whole.table[whole.rows_of(index)])


def test_arrays_and_frame_of_one_request_get_equal_answers(kit: SimpleNamespace) -> None:
    frame = kit.frame()
    names = ("scale_mw", "swing", "load_level_24h", "lag", "row")
    numbers = {name: frame[name].to_numpy() for name in names}
    arrays, order = batch_from_arrays(frame["area"].to_list(), numbers, frame["at"].to_physical().to_numpy())
    assert order.tolist() == list(range(len(frame)))
    by_frame = kit.gateway({"rel-2": kit.Faulty("rel-2", "nan", ["b"])}).answer(frame, kit.ISSUED, kit.NOW)
    scoring = kit.gateway({"rel-2": kit.Faulty("rel-2", "nan", ["b"])}).score(arrays, kit.NOW)
    assert [served.release for served in by_frame.served] == list(scoring.release)
    for served, answers in zip(by_frame.served, scoring.answers, strict=True):
        assert served.answers.keys() == answers.keys()
        for name, mw in answers.items():
            assert mw.tobytes() == served.answers[name].tobytes()
