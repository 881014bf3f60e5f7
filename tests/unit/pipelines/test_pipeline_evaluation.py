"""The comparison on the hold-out: kept without loss, and its scales computed by hand on two areas and two days."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recloser.core.scores import JointScale
from recloser.features import FeatureSet
from recloser.monitoring.shapes.fleet import Usual, odd_issue
from recloser.monitoring.shapes.issue import issue_shape
from recloser.pipelines import Evaluation, days_off
from recloser.pipelines.evaluation import metrics, scales

START = datetime(2020, 3, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def rows(loads: list[float | None], scale: list[float], areas: tuple[str, ...] = ("a", "b")) -> pl.DataFrame:
    """One target per area and issue, areas inside issues."""
    count = len(loads) // len(areas)
    issues = [START + k * DAY for k in range(count) for _ in areas]
    return pl.DataFrame(
        {
            "area": list(areas) * count,
            "issued_at": issues,
            "at": [issue + timedelta(hours=15) for issue in issues],
            "load_mw": loads,
            "scale_mw": scale,
        },
        schema_overrides={"load_mw": pl.Float64},
    )


def band(medians: list[float], half: float = 1.0) -> np.ndarray:
    middle = np.asarray(medians)
    return np.stack([middle - half, middle, middle + half], axis=1)


@settings(max_examples=30, deadline=None)
@given(
    numbers=hnp.arrays(np.float64, (6, 3), elements=st.floats(-1e6, 1e6) | st.just(math.nan)),
    champion=st.booleans(),
    incumbent=st.booleans(),
)
def test_to_frame_and_back_loses_nothing(numbers: np.ndarray, *, champion: bool, incumbent: bool) -> None:
    frame = rows([1.0, None, 3.0, 4.0, 5.0, None], [10.0] * 6)
    if incumbent:
        frame = frame.with_columns(incumbent_mw=pl.lit(2.0))
    answers = {"candidate": numbers, "seasonal_naive": numbers[::-1].copy()}
    if champion:
        answers["champion"] = numbers + 1.0
    back = Evaluation.from_frame(Evaluation(frame, answers).to_frame())
    assert back.rows.equals(frame)
    assert set(back.answers) == set(answers)
    for name, answer in answers.items():
        np.testing.assert_array_equal(back.answers[name], answer)
    np.testing.assert_array_equal(back.truth, [1.0, math.nan, 3.0, 4.0, 5.0, math.nan])


def test_scales_by_hand() -> None:
    """Area a: 10 MW level, b: 100. Day 1: champion right in a, 3 off in b; day 2: 1 off in a, right in b."""
    evaluation = Evaluation(
        rows([10.0, 100.0, 10.0, 100.0], [10.0, 100.0, 10.0, 100.0]),
        {
            "candidate": band([10.0, 100.0, 10.0, 104.0]),
            "champion": band([10.0, 103.0, 11.0, 100.0]),
            "seasonal_naive": band([12.0, 100.0, 8.0, 110.0]),
        },
    )
    # CRPS over (.1 .5 .9) = 2/3 of the pinball sum, band +-1. Truth in the middle: .1 + 0 + .1.
    right = 2 / 3 * 0.2
    # Truth 1 below the median (on q10): 0 + .5 + .1 * 2; 3 below: .9 * 2 + .5 * 3 + .1 * 4; 4 below: 2.7 + 2 + .5.
    one, three, four = 2 / 3 * 0.7, 2 / 3 * 3.7, 2 / 3 * 5.2
    found = scales(evaluation)
    loss = {"a": (right + one) / 2, "b": (three + right) / 2}
    assert found["area_loss_mw"] == pytest.approx(loss)
    first = (0.0 + (right - three) / loss["b"]) / 2
    second = ((right - one) / loss["a"] + (four - right) / loss["b"]) / 2
    assert found["paired_sd"] == pytest.approx(abs(first - second) / math.sqrt(2))
    # Residual (truth - median) / scale, pooled: day 1 zero; day 2 (0 - .04) / 2.
    assert found["residual"]["mean"] == pytest.approx(-0.01)
    assert found["residual"]["sd"] == pytest.approx(0.02 / math.sqrt(2))
    assert found["residual"]["n"] == 2
    assert found["promised"] == pytest.approx({"absolute": 0.04 / 4, "naive": (0.2 + 0 + 0.2 + 0.1) / 4})
    # Gaps |candidate - champion| / scale: a 0, .1; b .03, .04; the areas' median per step .015 and .07.
    assert 0.015 <= found["step_divergence"] <= 0.07 + 1e-12
    assert found["area_divergence"] == pytest.approx(0.1)
    # Level: day 1 median of 0 and -.03; day 2 median of -.1 and +.04; polars takes the nearest of the two days.
    assert found["level_divergence"] == pytest.approx(0.03)


def test_scales_of_whole_days_hold_the_joint_scale_and_what_shapes_are_usual() -> None:
    rng = np.random.default_rng(6)
    start = datetime(2020, 3, 1, tzinfo=UTC)
    frame = pl.DataFrame(
        [
            {"area": area, "issued_at": start + timedelta(days=day), "at": start + timedelta(days=day + 1, hours=hour)}
            for area in ("a", "b")
            for day in range(20)
            for hour in range(24)
        ]
    ).with_columns(load_mw=pl.lit(10.0) + pl.col("at").dt.hour() / 10.0, scale_mw=pl.lit(10.0))
    truth = frame["load_mw"].to_numpy()
    medians = {who: truth + sd * rng.standard_normal(truth.size) for who, sd in (("candidate", 0.1), ("champion", 0.1))}
    answers = {who: median[:, None] + np.array([-0.1, 0.0, 0.1]) for who, median in medians.items()}
    evaluation = Evaluation(frame, {**answers, "seasonal_naive": answers["champion"]})
    found = scales(evaluation)
    joint, usual = JointScale(**found["paired_joint"]), Usual.from_dict(found["issue_shape"])
    assert joint.sd > 0
    assert usual.pool["level"][0] == 40
    assert 0 < usual.fleet[0] <= usual.areas["a"][0] < 0.02
    day = (frame["area"] == "b").to_numpy() & (frame["issued_at"] == start).to_numpy()
    late = issue_shape(np.roll(medians["candidate"][day], 3) / 10.0, medians["champion"][day] / 10.0, 1)
    assert {odd.cause for odd in odd_issue({"b": late}, usual)} >= {"lag"}
    holed = frame.with_columns(load_mw=pl.when(pl.col("at").dt.day() == 4).then(None).otherwise(pl.col("load_mw")))
    assert scales(Evaluation(holed, evaluation.answers))["paired_joint"] is not None


def test_without_a_champion_the_candidate_is_its_own_measure() -> None:
    evaluation = Evaluation(
        rows([10.0, 100.0], [10.0, 100.0]),
        {"candidate": band([10.0, 100.0]), "seasonal_naive": band([11.0, 90.0])},
    )
    found = scales(evaluation)
    assert found["paired_sd"] is None
    assert "step_divergence" not in found
    assert found["area_loss_mw"] == pytest.approx({"a": 2 / 3 * 0.2, "b": 2 / 3 * 0.2})


def test_unknown_truth_counts_nowhere() -> None:
    known = Evaluation(rows([10.0, 100.0], [10.0, 100.0]), {"candidate": band([9.0, 100.0])})
    padded = Evaluation(rows([10.0, 100.0, None, None], [10.0, 100.0] * 2), {"candidate": band([9.0, 100.0, 1.0, 1.0])})
    assert metrics(known) == metrics(padded)
    assert metrics(known)["n"] == 2


def test_metrics_name_everybody_and_the_incumbent_where_there_is_one() -> None:
    frame = rows([10.0, 100.0], [10.0, 100.0]).with_columns(incumbent_mw=pl.Series([11.0, 90.0]))
    answers = {"candidate": band([10.0, 100.0]), "champion": band([9.0, 100.0]), "seasonal_naive": band([10.0, 80.0])}
    table = metrics(Evaluation(frame, answers))
    assert table["mape"] == 0.0
    assert table["coverage80"] == 100.0
    assert table["champion_mape"] == pytest.approx(5.0)
    assert table["seasonal_naive_mape"] == pytest.approx(10.0)
    assert table["incumbent_mape"] == pytest.approx(10.0)
    assert "incumbent_rcrps" not in table  # a point forecast has no band
    assert not any(name.startswith("incumbent") for name in metrics(Evaluation(frame.drop("incumbent_mw"), answers)))


def test_days_off_follow_the_region(amsterdam: FeatureSet) -> None:
    from datetime import date

    off = days_off(amsterdam, [2020])
    assert date(2020, 4, 27) in off  # King's Day
    assert date(2020, 4, 28) not in off
