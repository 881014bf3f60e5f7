"""The steps from data to a judged candidate, on a small project: good ones pass, bad ones are refused for a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recloser.app import Platform, explain_gate
from recloser.app.loop.router import LocalRouter
from recloser.core import LOAD, InvalidInput, VirtualClock, format_utc
from recloser.engines import RunOutcome, StepProgress
from recloser.features import Extra, FeatureSet
from recloser.ledger import PinRecord, ReleaseRecord, RouteRecord, VerdictRecord
from recloser.models import Model
from recloser.pipelines import Pipeline, Step, candidate_pipeline, split, union
from recloser.simulation import corrupt
from recloser.testing import small_grid, small_project

NOW = datetime(2020, 4, 30, tzinfo=UTC)
Run = Callable[..., RunOutcome]
Ran = tuple[Path, RunOutcome]


class Spoiler:
    """Makes a candidate bad: spoils its training rows."""

    def __init__(self, spoil: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        self._spoil = spoil

    def rows(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return spoilt rows."""
        return self._spoil(rows)

    def model(self, model: Model) -> Model:
        """Return the model as it is."""
        return model


SPOILERS = {
    "scrambled": Spoiler(corrupt),
    "shifted": Spoiler(lambda rows: corrupt(rows, "shifted")),
    "kilowatts": Spoiler(lambda rows: corrupt(rows, "scaled", share=0.3)),
}


def opened(folder: Path) -> Platform:
    return Platform.open(folder, clock=VirtualClock(NOW), saboteur=SPOILERS)


def test_a_good_candidate_passes_and_all_of_it_is_recorded(ran: Ran) -> None:
    folder, outcome = ran
    with opened(folder) as platform:
        assert (outcome.verdict, outcome.state) == ("pass", "done")
        assert outcome.candidate is not None
        release = platform.ledger.get(ReleaseRecord, outcome.candidate)
        assert release is not None
        assert (release.state, release.run) == ("accepted", "run-1")
        verdict = platform.ledger.get(VerdictRecord, f"verdict-{outcome.candidate}")
        assert verdict is not None
        assert [check["verdict"] for check in verdict.checks] == ["pass"] * len(verdict.checks)
        pins = platform.ledger.find(PinRecord, owner="run-1")
        snapshot = outcome.results["take_snapshot"]["snapshot"]
        assert [(pin.version, pin.digest) for pin in pins] == [(snapshot["version"], snapshot["digest"])]
        actions = [entry.action for entry in platform.ledger.entries()]
        assert "staging.pass" in actions
        assert actions.index("store.pin") < actions.index("staging.pass") < actions.index("run.done")
        alias = platform.registry.resolve("challenger")
        assert alias is not None
        assert alias.release == outcome.candidate
        loaded = platform.load(outcome.candidate)  # verified, and its golden rows answered as recorded
        assert loaded.held_out_from is not None
        assert platform.ledger.verify().ok


@pytest.mark.parametrize("how", SPOILERS)
def test_a_candidate_of_spoilt_rows_is_refused_and_the_reason_kept(how: str, project: Path, run: Run) -> None:
    with opened(project) as platform:
        outcome = run(platform, "run-bad", sabotage=how)
        assert outcome.verdict == "refuse"
        assert outcome.candidate is not None
        release = platform.ledger.get(ReleaseRecord, outcome.candidate)
        assert release is not None
        assert release.state == "refused"
        verdict = platform.ledger.get(VerdictRecord, f"verdict-{outcome.candidate}")
        assert verdict is not None
        assert verdict.verdict == "refuse"
        assert verdict.reason
        notes = [entry for entry in platform.ledger.entries() if entry.action == "staging.refuse"]
        assert [(note.subject, note.facts["reason"]) for note in notes] == [(outcome.candidate, verdict.reason)]
        assert notes[0].facts["evidence"] == verdict.evidence_digest
        assert platform.registry.resolve("challenger") is None
    told = explain_gate(project, outcome.candidate)
    assert (told["verdict"], told["reason"]) == ("refuse", verdict.reason)
    bad = [check for check in told["checks"] if check["verdict"] == "refuse"]
    assert bad
    assert all(check["reason"] for check in bad)
    assert told["reason"].startswith(bad[0]["name"])


def test_the_same_run_on_the_same_data_is_the_same_package(ran: Ran, run: Run) -> None:
    folder, first = ran
    with opened(folder) as platform:
        assert run(platform, "run-1") == first
        other = run(platform, "run-2")
        assert other.candidate == first.candidate
        assert other.results["train"] == first.results["train"]
        assert len(list(platform.layout.packages.glob("rel-*"))) == 1


class Pulled(Exception):
    """The plug was pulled."""


@pytest.mark.parametrize("step", ["train", "evaluate", "judge"])
def test_an_interrupted_run_goes_on_with_what_it_had_seen(step: str, ran: Ran, run: Run) -> None:
    """New and corrected data between the interruption and the resumption changes nothing: the snapshot is fixed."""

    def pull(progress: StepProgress) -> None:
        if progress.name == step and progress.state == "running":
            raise Pulled

    folder, undisturbed = ran
    with opened(folder) as platform:
        with pytest.raises(Pulled):
            run(platform, "run-2", pull)
        panel = platform.store.read(as_of=NOW)
        late = panel.frame.filter(pl.col("quantity") == LOAD).with_columns(
            value=pl.col("value") * 1.5, available_at=pl.lit(NOW - timedelta(minutes=1)).dt.cast_time_unit("us")
        )
        platform.store.append(late, source="late")
        resumed = run(platform, "run-2")
        assert resumed.candidate == undisturbed.candidate
        assert resumed.verdict == "pass"
        done = [entry.subject for entry in platform.ledger.entries() if entry.action == "step.done"]
        assert sorted(name for name in done if name.startswith("run-2/")) == sorted(
            f"run-2/{s.name}" for s in candidate_pipeline().steps
        )


def test_what_is_held_out_is_not_in_the_training_rows(ran: Ran) -> None:
    project, outcome = ran
    with opened(project) as platform:
        folder = platform.layout.runs / "run-1"
        training, holdout = (pl.read_parquet(folder / f"{name}.parquet") for name in ("training", "holdout"))
        recipe = platform.workbench().recipe
        extent = platform.store.extent(LOAD)
        assert extent is not None
        first = extent[0] + platform.features.memory
        windows = split(platform.horizon, NOW, (recipe.history_days, recipe.holdout_days), first, None)
    assert not set(training["at"]) & set(holdout["at"])
    assert set(holdout["issued_at"]) == set(windows.holdout)
    assert set(training["issued_at"]) <= set(windows.training)
    assert outcome.results["train"]["held_out_from"] == format_utc(windows.holdout[0])


def test_a_package_tells_the_ranges_it_was_trained_on_and_the_router_hands_them_on(ran: Ran) -> None:
    project, outcome = ran
    assert outcome.candidate is not None
    with opened(project) as platform:
        training = pl.read_parquet(platform.layout.runs / "run-1" / "training.parquet")
        ranges = platform.load(outcome.candidate).package.facts.notes["feature_ranges"]
        assert set(ranges) <= set(platform.features.measured)
        assert "hour" not in ranges
        assert ranges["load_level_24h"] == [training["load_level_24h"].min(), training["load_level_24h"].max()]
        router = LocalRouter(platform)
        router.set_route(RouteRecord("route", 1, None, None, 0.0, [], outcome.candidate, [], None, "test", NOW))
        (seen,) = router.gateway.policy.seen.values()
        low, high = next((low, high) for name, low, high in seen if name == "load_level_24h")
        assert low < ranges["load_level_24h"][0] < ranges["load_level_24h"][1] < high


def test_excluded_areas_are_not_learned_from_but_still_judged(project: Path, run: Run) -> None:
    with opened(project) as platform:
        run(platform, "run-1", excluded=["F02"])
        folder = platform.layout.runs / "run-1"
        assert pl.read_parquet(folder / "training.parquet")["area"].unique().to_list() == ["F01"]
        assert sorted(pl.read_parquet(folder / "evaluation.parquet")["area"].unique()) == ["F01", "F02"]


def with_only(folder: Path, area: str, kept: pl.Expr) -> Path:
    """Make the project with only those samples of one area, F02 or a third; the others have all of their 120 days."""
    samples = small_grid(feeders=int(area[1:])).frame()
    return small_project(folder, frame=samples.filter((pl.col("area") != area) | kept))


def check_of(outcome: RunOutcome, name: str) -> dict[str, Any]:
    return next(check for check in outcome.results["judge"]["checks"] if check["name"] == name)


def test_an_area_that_begins_later_counts_from_its_own_history_on(tmp_path: Path, run: Run) -> None:
    """Leap day, 29 February, is not in its history: it is made of newer days, for that area alone."""
    began = datetime(2020, 2, 10, tzinfo=UTC)
    with opened(with_only(tmp_path / "grid", "F02", pl.col("at") >= began)) as platform:
        outcome = run(platform, "run-1")
        since = began + platform.features.memory
        folder = platform.layout.runs / "run-1"
    assert (outcome.verdict, outcome.results["judge"]["reason"][:3]) == ("pass", "all")
    training = pl.read_parquet(folder / "training.parquet")
    issued = dict(training.group_by("area").agg(pl.col("issued_at").min()).iter_rows())
    assert issued["F01"] < since <= issued["F02"] < since + timedelta(days=2)
    assert training.filter(pl.col("area") == "F02")["load_lag_28d"].is_not_null().all()
    assert f"F02 counts from {since:%Y-%m-%d} on" in check_of(outcome, "data.completeness")["reason"]
    assert "leap day 2020-02-29" in check_of(outcome, "safety.days")["reason"]


def test_an_area_with_too_little_history_is_left_out_and_told(tmp_path: Path, run: Run) -> None:
    began = datetime(2020, 3, 25, tzinfo=UTC)
    with opened(with_only(tmp_path / "grid", "F03", pl.col("at") >= began)) as platform:
        outcome = run(platform, "run-1")
        folder = platform.layout.runs / "run-1"
    assert outcome.verdict == "pass"
    for name in ("training", "holdout", "evaluation"):
        assert pl.read_parquet(folder / f"{name}.parquet")["area"].unique().sort().to_list() == ["F01", "F02"]
    completeness = check_of(outcome, "data.completeness")
    assert "F03 is left out with 3 of 28 days to learn from" in completeness["reason"]
    assert completeness["numbers"]["left_out"] == {"F03": 3}


def test_a_gap_after_an_areas_first_load_is_refused_as_before(tmp_path: Path, run: Run) -> None:
    gap = pl.col("at").is_between(datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 3, 10, tzinfo=UTC))
    with opened(with_only(tmp_path / "grid", "F02", ~gap)) as platform:
        outcome = run(platform, "run-1")
    assert outcome.verdict == "refuse"
    refused = check_of(outcome, "data.completeness")
    assert (refused["verdict"], refused["numbers"]["worst"]["area"]) == ("refuse", "F02")


def nothing(_bench: Any, _inputs: Any) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((), "without steps"),
        ((Step("a", nothing), Step("a", nothing)), "same name"),
        ((Step("a", nothing, ("b",)), Step("b", nothing)), "earlier step"),
        ((Step("train", nothing), Step("b", nothing, ("trian",))), "earlier step"),
    ],
)
def test_a_pipeline_that_cannot_run_is_refused_when_it_is_written(steps: tuple[Step, ...], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Pipeline("p", steps)


@pytest.mark.parametrize(
    "name", ["", "class", "1st", "_a", "a_", "a__b", "take data", "a-b", "a.b", "Check", "prüfe", "a" * 64, "../x"]
)
def test_a_name_that_not_every_engine_takes_is_refused_when_it_is_written(name: str) -> None:
    with pytest.raises(InvalidInput, match="name of a step"):
        Step(name, nothing)
    with pytest.raises(InvalidInput, match="name of a pipeline"):
        Pipeline(name, (Step("a", nothing),))


def test_union_of_feature_sets_serves_both(amsterdam: FeatureSet) -> None:
    fewer = replace(amsterdam, features=amsterdam.features[:-3])
    assert union(amsterdam, None) is amsterdam
    both = union(fewer, amsterdam)
    assert set(both.names) == set(amsterdam.names)
    assert both.names[: len(fewer.names)] == fewer.names


def own(version: str) -> Extra:
    return Extra("mine", pl.col("temperature_c") * 2.0, known_ahead=True, version=version)


def test_union_of_own_columns_keeps_one_of_equal_ones_and_refuses_a_name_for_two_things(amsterdam: FeatureSet) -> None:
    mine, again, other = (replace(amsterdam, extra=(own(version),)) for version in "112")
    assert union(mine, again).names.count("mine") == 1
    assert union(amsterdam, mine).names[-1] == "mine"
    with pytest.raises(InvalidInput, match="mine"):
        union(mine, other)
