"""No unsafe number ever leaves, whatever the models say."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recloser.core import InvalidInput
from recloser.serving import NAIVE, Answer, Gateway, GuardPolicy, Route

AREAS = ("a", "b", "c")
N = 4
anything = st.floats(allow_nan=True, allow_infinity=True, width=64)
sane = st.floats(900.0, 1100.0)
arrays = hnp.arrays(np.float64, (len(AREAS) * N, 3), elements=st.one_of(sane, anything), fill=sane)
sorted_or_not = st.tuples(arrays, st.booleans()).map(lambda pair: np.sort(pair[0], axis=1) if pair[1] else pair[0])


def assert_safe(kit: SimpleNamespace, answer: Answer, areas: tuple[str, ...]) -> None:
    for served in answer.served:
        mw = served.handed_out()
        assert mw.shape == (len(served.targets), 3)
        assert np.isfinite(mw).all()
        assert (np.diff(mw, axis=1) >= 0).all()
        assert (mw >= kit.LIMITS.minimum_mw).all()
        assert (mw <= kit.LIMITS.maximum_mw).all()
        assert (np.abs(np.diff(mw[:, 1])) <= kit.LIMITS.ramp_mw * 1.001).all()
        assert all(np.isfinite(other).all() for other in served.answers.values())
    answered = [served.area for served in answer.served]
    assert sorted([*answered, *answer.unavailable]) == sorted(areas)
    unavailable = [incident.area for incident in answer.incidents if incident.kind == "unavailable"]
    assert sorted(unavailable) == sorted(answer.unavailable)


@settings(max_examples=100, deadline=None)
@given(champion=sorted_or_not, canary=sorted_or_not, fallback=sorted_or_not, share=st.sampled_from([0.0, 0.5, 1.0]))
def test_no_unsafe_number_leaves_for_any_arrays(
    kit: SimpleNamespace, champion: np.ndarray, canary: np.ndarray, fallback: np.ndarray, share: float
) -> None:
    models = {
        "rel-1": kit.Given("rel-1", champion),
        "rel-2": kit.Given("rel-2", canary),
        "seasonal_naive": kit.Given("seasonal_naive", fallback),
    }
    gateway = kit.gateway(models, Route(1, "rel-1", "rel-2", share), areas=AREAS)
    answer = gateway.answer(kit.frame(AREAS, N), kit.ISSUED, kit.NOW)
    assert_safe(kit, answer, AREAS)
    assert not answer.unavailable
    for served in answer.served:
        assert served.served_by in {"champion", "canary", "fallback:seasonal_naive", "fallback:persistence"}
        if served.served_by == "canary":
            distance = np.abs(served.handed_out() - served.answers["rel-1"]).max() / 1000.0
            assert distance <= 0.5
            assert answer.divergence["rel-2"][served.area] == pytest.approx(distance)


FAULTS = ("exception", "exit", "memory", "panic", "shape", "short", "flat", "none", "text", "ragged", "complex")
FAULTS += ("nan", "inf", "x1000", "sign", "cross", "huge", "ramp", "far", "frozen", "mutate")


@settings(max_examples=60, deadline=None)
@given(
    faults=st.lists(st.sampled_from(FAULTS), min_size=5, max_size=5),
    hit=st.lists(st.sets(st.sampled_from(AREAS)), min_size=5, max_size=5),
)
def test_any_mix_of_faulty_models_is_safe(kit: SimpleNamespace, faults: list[str], hit: list[set[str]]) -> None:
    names = ("rel-1", "rel-2", "rel-0", *NAIVE)
    models = {
        name: kit.Faulty(name, fault, sorted(areas)) for name, fault, areas in zip(names, faults, hit, strict=True)
    }
    gateway = kit.gateway(models, areas=AREAS)
    for minute in range(3):
        answer = gateway.answer(kit.frame(AREAS, 6), kit.ISSUED, kit.NOW + timedelta(minutes=minute))
        assert_safe(kit, answer, AREAS)


@pytest.mark.parametrize("fault", [*FAULTS[:19]])
def test_one_area_of_one_model_hurts_nobody_else(kit: SimpleNamespace, fault: str) -> None:
    gateway = kit.gateway({"rel-2": kit.Faulty("rel-2", fault, ["b"])})
    answer = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    assert [served.served_by for served in answer.served] == ["canary", "champion", "canary", "canary"]
    blamed = [(i.kind, i.area, i.release, i.tier) for i in answer.incidents]
    assert blamed == [("output", "b", "rel-2", "T0")]
    assert answer.served[1].reason.startswith("canary rel-2: ")
    assert [min(served.answers) for served in answer.served] == ["rel-1"] * 4
    assert not gateway.tripped


def test_evidence_keeps_refused_but_finite_answers(kit: SimpleNamespace) -> None:
    policy = GuardPolicy(trip_after=100)
    loud = kit.gateway({"rel-2": kit.Faulty("rel-2", "x1000")}, policy=policy)
    served = loud.answer(kit.frame(), kit.ISSUED, kit.NOW).served[0]
    assert served.release == "rel-1"
    assert served.answers["rel-2"].min() > 100_000
    mute = kit.gateway({"rel-2": kit.Faulty("rel-2", "nan")}, policy=policy)
    assert set(mute.answer(kit.frame(), kit.ISSUED, kit.NOW).served[0].answers) == {"rel-1"}


class Held:
    """Hands out the very array it keeps."""

    def __init__(self, release: str, mw: np.ndarray) -> None:
        self.release = release
        self.mw = mw

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        assert len(rows) == len(self.mw)
        return self.mw


def test_answers_are_private_copies(kit: SimpleNamespace) -> None:
    model = Held("rel-1", np.tile([1000.0, 1001.0, 1002.0], (24, 1)))
    served = kit.gateway({"rel-1": model}, Route(1, "rel-1")).answer(kit.frame(), kit.ISSUED, kit.NOW).served[0]
    model.mw[:] = np.nan
    assert np.isfinite(served.handed_out()).all()
    with pytest.raises(ValueError, match="read-only"):
        served.handed_out()[0, 0] = 1.0


@pytest.mark.parametrize("thief", ["rel-1", "rel-2"])
def test_a_model_that_changes_its_rows_changes_nobody_elses(kit: SimpleNamespace, thief: str) -> None:
    rows = kit.frame()
    models = {thief: kit.Faulty(thief, "mutate"), "rel-0": kit.Faulty("rel-0", "nan", ["stolen"])}
    gateway = kit.gateway(models, Route(1, "rel-1", "rel-2", 1.0, shadow="rel-0"))
    assert gateway.answer(rows, kit.ISSUED, kit.NOW).incidents == []
    assert rows.equals(kit.frame())


def test_a_ramp_lies_within_an_area_never_between_two(kit: SimpleNamespace) -> None:
    later = kit.frame(("b",), scale_mw=2000.0).with_columns(pl.col("at").dt.offset_by("3h"))
    gateway = kit.gateway(areas=("a", "b"))
    answer = gateway.answer(pl.concat([kit.frame(("a",)), later]), kit.ISSUED, kit.NOW)
    assert {served.served_by for served in answer.served} == {"canary"}
    assert answer.incidents == []


def test_a_ramp_may_be_larger_over_a_gap(kit: SimpleNamespace) -> None:
    gap = kit.frame(("a",)).with_columns(pl.Series("scale_mw", [1000.0] * 3 + [1700.0] * 3))
    gateway = kit.gateway(areas=("a",), policy=GuardPolicy(divergence_default=None))
    refused = gateway.answer(gap, kit.ISSUED, kit.NOW)
    assert "ramp" in refused.unavailable["a"].explain()
    spread = gap.with_columns(pl.when(pl.col("scale_mw") > 1500).then(pl.col("at").dt.offset_by("30m")).otherwise("at"))
    allowed = gateway.answer(spread, kit.ISSUED, kit.NOW)
    assert allowed.served[0].served_by == "canary"


def spoil(frame: pl.DataFrame, area: str, **columns: float | None) -> pl.DataFrame:
    hit = pl.col("area") == area
    return frame.with_columns(
        [
            pl.when(hit).then(pl.lit(value, pl.Float64)).otherwise(pl.col(name)).alias(name)
            for name, value in columns.items()
        ]
    )


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"lag": float("nan"), "swing": None, "load_level_24h": float("nan")}, "too many missing features"),
        ({"lag": float("inf")}, "an infinite feature"),
        ({"lag": None}, "lag is missing"),
        ({"scale_mw": 1_000_000.0}, "unit suspect"),
        ({"scale_mw": 1.0}, "unit suspect"),
        ({"load_level_24h": 1000.0}, "unit suspect"),
        ({"data_age_h": 100.0}, "stale data"),
        ({"data_age_h": None}, "stale data"),
    ],
)
def test_bad_input_is_not_the_models_fault(kit: SimpleNamespace, columns: dict[str, float | None], reason: str) -> None:
    champion, canary = kit.Steady("rel-1"), kit.Steady("rel-2")
    gateway = kit.gateway({"rel-1": champion, "rel-2": canary}, policy=GuardPolicy(required=("lag",)))
    good = kit.frame().with_columns(pl.lit(1.0).alias("data_age_h"))
    answer = gateway.answer(spoil(good, "b", **columns), kit.ISSUED, kit.NOW)
    kinds = [
        (incident.kind, incident.area, incident.release) for incident in answer.incidents if incident.kind == "input"
    ]
    assert kinds == [("input", "b", None)]
    assert reason in answer.incidents[0].reason
    assert not gateway.tripped
    by_area = {served.area: served for served in answer.served}
    assert {area: by_area[area].served_by for area in "acd"} == dict.fromkeys("acd", "canary")
    if columns.get("scale_mw") is None:
        assert by_area["b"].served_by == "fallback:seasonal_naive"
        assert set(by_area["b"].answers) == {"seasonal_naive"}
        assert by_area["b"].reason.startswith("input: ")
    elif columns["scale_mw"] == 1_000_000.0:
        assert "b" in answer.unavailable
    assert "b" not in answer.divergence["rel-2"]


def test_an_unknown_area_or_no_level_gets_an_explicit_no(kit: SimpleNamespace) -> None:
    gateway = kit.gateway(areas=("a", "b"))
    answer = gateway.answer(spoil(kit.frame(("a", "b", "x")), "b", scale_mw=None), kit.ISSUED, kit.NOW)
    assert [served.area for served in answer.served] == ["a", "b"]
    assert [served.served_by for served in answer.served] == ["canary", "fallback:seasonal_naive"]
    assert "unknown area" in answer.unavailable["x"].explain()
    assert [i.area for i in answer.incidents if i.kind == "input"] == ["b", "x"]


def test_limits_per_release_for_the_distance_to_the_champion(kit: SimpleNamespace) -> None:
    near = GuardPolicy(divergence={"rel-2": 0.004})
    gateway = kit.gateway(policy=near)
    answer = gateway.answer(kit.frame(), kit.ISSUED, kit.NOW)
    assert gateway.tripped == {"rel-2"}
    assert {served.served_by for served in answer.served} == {"champion"}
    assert answer.divergence["rel-2"] == pytest.approx(dict.fromkeys("abcd", 0.005))
    wide = kit.gateway({"rel-2": kit.Faulty("rel-2", "far")}, policy=GuardPolicy(divergence_default=None))
    assert {s.served_by for s in wide.answer(kit.frame(), kit.ISSUED, kit.NOW).served} == {"canary"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"trip_after": 0},
        {"unit_factor": 1.0},
        {"max_missing_share": 2.0},
        {"divergence": {"rel-2": float("nan")}},
        {"divergence_default": -1.0},
        {"stale_after_h": -1.0},
        {"trip_window": timedelta(0)},
    ],
)
def test_thresholds_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        GuardPolicy(**wrong)


@pytest.mark.parametrize("broken", ["area", "at", "scale_mw", "shuffled", "twice", "issue", "null"])
def test_a_frame_that_is_not_one_issue_is_refused(kit: SimpleNamespace, broken: str) -> None:
    frame = kit.frame()
    frames = {
        "shuffled": frame.reverse().sample(fraction=1.0, shuffle=True, seed=1),
        "twice": pl.concat([frame.head(1), frame]),
        "issue": frame.with_columns(pl.col("issued_at").dt.offset_by("1d")),
        "null": frame.with_columns(pl.lit(None, pl.String).alias("area")),
    }
    gateway: Gateway = kit.gateway()
    with pytest.raises(InvalidInput):
        gateway.answer(frames.get(broken, frame.drop(broken, strict=False)), kit.ISSUED, kit.NOW)
    with pytest.raises(InvalidInput):
        gateway.answer(frame, kit.ISSUED, kit.NOW.replace(tzinfo=None))
    assert gateway.answer(frame.clear(), kit.ISSUED, kit.NOW).served == []
