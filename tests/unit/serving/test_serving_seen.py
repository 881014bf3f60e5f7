"""Inputs beyond what a challenger was trained on, and answers that no model could make safe."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.serving import GuardPolicy, Route, ranges_of
from recloser.serving.batch import batch_of
from recloser.serving.seen import unseen

SEEN = {"rel-2": ranges_of({"swing": [-1.0, 1.0], "lag": [0.0, 4.0]})}
DIRECT = {"canary": Route(1, "rel-1", "rel-2", 1.0), "shadow": Route(1, "rel-1", shadow="rel-2")}


class Lever:
    """Goes through the roof where `lag` is large, as no row of the training told it not to."""

    release = "rel-2"

    def __init__(self) -> None:
        self.rows = 0

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        self.rows += len(rows)
        level = rows["scale_mw"].to_numpy() * (1.0 + rows["lag"].to_numpy() / 4.0)
        return np.stack([level - 40.0, level, level + 40.0], axis=1)


def rows(kit: SimpleNamespace, **columns: float) -> pl.DataFrame:
    """Return sound rows of four areas, those of area b with other numbers."""
    hit = pl.col("area") == "b"
    changed = [pl.when(hit).then(number).otherwise(pl.col(name)).alias(name) for name, number in columns.items()]
    return kit.frame(n=2).with_columns(changed)


@pytest.mark.parametrize("arm", ["canary", "shadow"])
@pytest.mark.parametrize(
    "odd", [{"lag": 1e6}, {"lag": -2.5}, {"swing": 2.5}, {"scale_mw": 2999.0, "lag": 9.0}, {"scale_mw": 50_000.0}]
)
def test_odd_rows_trip_nobody_and_are_no_evidence(kit: SimpleNamespace, arm: str, odd: dict[str, float]) -> None:
    lever = Lever()
    gate = kit.gateway({"rel-2": lever}, DIRECT[arm], GuardPolicy(seen=SEEN, trip_after=3))
    answers = [gate.answer(rows(kit, **odd), kit.ISSUED, kit.NOW) for _ in range(8)]
    assert not gate.tripped
    for answer in answers:
        assert not [found for found in answer.incidents if found.release == "rel-2"]
        assert set(answer.divergence["rel-2"]) == {"a", "c", "d"}
        by_area = {served.area: served for served in answer.served}
        assert "b" in answer.unavailable or by_area["b"].served_by == "champion"
        assert "b" in answer.unavailable or "rel-2" not in by_area["b"].answers
        assert {by_area[area].served_by for area in "acd"} == {arm if arm == "canary" else "champion"}
    assert lever.rows == 8 * 6


def test_the_same_rows_trip_a_challenger_whose_ranges_nobody_knows(kit: SimpleNamespace) -> None:
    gate = kit.gateway({"rel-2": Lever()}, DIRECT["canary"], GuardPolicy(trip_after=3))
    for _ in range(3):
        gate.answer(rows(kit, lag=8.0), kit.ISSUED, kit.NOW)
    assert gate.tripped == {"rel-2"}


@pytest.mark.parametrize(("scale_mw", "tripped"), [(2_990.0, False), (1_000.0, True)])
def test_what_the_champion_cannot_answer_safely_either_lies_in_the_inputs(
    *, kit: SimpleNamespace, scale_mw: float, tripped: bool
) -> None:
    """A level near the peak takes both beyond what the asset can carry; a usual one only the challenger."""
    gate = kit.gateway({"rel-2": kit.Faulty("rel-2", "x1000")}, DIRECT["canary"], GuardPolicy(trip_after=3))
    for _ in range(4):
        gate.answer(rows(kit, scale_mw=scale_mw, swing=1.0).filter(pl.col("area") == "b"), kit.ISSUED, kit.NOW)
    assert bool(gate.tripped) is tripped


def test_ranges_that_cannot_be_meant_are_left_out() -> None:
    facts = {"a": [0.0, 4.0], "b": [1.0, 1.0], "c": [2.0, float("nan")], "d": None, "e": ["x", 1.0], "f": [0, 1, 2]}
    assert ranges_of(facts) == (("a", -2.0, 6.0),)
    assert ranges_of(None) == ()


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=True, width=64)), min_size=4, max_size=4))
def test_a_group_is_odd_if_a_number_of_it_is(kit: SimpleNamespace, cells: list[float | None]) -> None:
    areas = ("a", "b")
    frame = kit.frame(areas, n=2).with_columns(lag=pl.Series(cells, dtype=pl.Float64))
    odd = unseen(batch_of(frame, kit.ISSUED), SEEN["rel-2"], dict.fromkeys(areas, kit.LIMITS))
    wild = [cell is not None and not np.isnan(cell) and not -2.0 <= cell <= 6.0 for cell in cells]
    assert odd == {index for index in (0, 1) if any(wild[2 * index : 2 * index + 2])}
