"""Owns the steps from labelled windows of phasors to a judged, registered detector. All plain functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from recloser.core import FloatArray, InvalidInput, digest_bytes, format_utc, parse_utc
from recloser.features.phasors import PHASOR_FEATURES
from recloser.models import DetectorPlan, Model, train_detector
from recloser.pipelines.candidate import attest, digest_folder, model_files, record_candidate, register, run_folder
from recloser.pipelines.detection.judging import DetectionEvidence, days_of, judged_detector
from recloser.pipelines.detection.recipe import (
    OWN,
    DetectionRecipe,
    inputs_of,
    rows_of,
    synthetic_windows,
    truth_of,
)
from recloser.pipelines.detection.scoring import LEAST_SD, day_differences, mean_losses, unit_losses
from recloser.pipelines.evaluation import feature_ranges
from recloser.pipelines.pipeline import Pipeline, Step, When
from recloser.pipelines.verdicts import record_verdict
from recloser.pipelines.workbench import Workbench
from recloser.registry import PackageFacts, build_package, make_golden, open_package
from recloser.registry.content.description import describe
from recloser.registry.content.schema import input_columns

TEST_SEED = 2
"""Systems of the hold-out: no run learns from them. Seeds of training are odd."""
ROWS_OF_GOLDEN = 2000


def detector_pipeline() -> Pipeline:
    """Return the steps from labelled windows to a judged, registered detector."""
    return Pipeline(
        "detector",
        (
            Step("collect_windows", collect_windows),
            Step("train", train, ("collect_windows",)),
            Step("evaluate", evaluate, ("collect_windows", "train")),
            Step("package", package, ("collect_windows", "train", "evaluate")),
            Step("judge", judge_candidate, ("evaluate", "package")),
            Step("attest", attest, ("package", "judge")),
            Step("register", register, ("package", "judge"), When("judge", "pass")),
        ),
    )


def recipe_of(bench: Workbench) -> DetectionRecipe:
    """Return what the run is made of.

    Raises:
        InvalidInput: the project has no table [events].
    """
    if bench.detection is None:
        raise InvalidInput("a detector is not trained here", expected="a table [events]", where="recloser.toml")
    return bench.detection


def collect_windows(bench: Workbench, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Fix what the run learns from and is judged on: simulated windows, and those that people of the project labelled.

    Own windows are split by day, so that no event is on both sides.
    """
    recipe, folder = recipe_of(bench), run_folder(bench, inputs)
    own = recipe.own()
    tested = pl.col("scene") % 3 == 0
    parts = {
        "training": (synthetic_windows(recipe, 2 * recipe.seed + 1, recipe.train_scenes), own.filter(~tested)),
        "holdout": (synthetic_windows(recipe, TEST_SEED, recipe.test_scenes), own.filter(tested)),
    }
    told: dict[str, Any] = {}
    for name, (simulated, labelled) in parts.items():
        path = folder / f"{name}.parquet"
        pl.concat([simulated, labelled]).write_parquet(path, compression="zstd")
        told[name] = {
            "simulated": simulated.height,
            "own": labelled.height,
            "digest": digest_bytes(path.read_bytes()),
        }
    return told


def train(bench: Workbench, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Train a detector and save it in the run's folder."""
    recipe, folder = recipe_of(bench), run_folder(bench, inputs)
    windows = pl.read_parquet(folder / "training.parquet")
    sabotage = bench.saboteur.get(str(inputs["parameters"].get("sabotage", "")))
    learned = windows if sabotage is None else sabotage.rows(windows)
    plan = DetectorPlan(threads=bench.plan.threads, seed=bench.plan.seed)
    labels = learned["label"].to_list()
    model: Model = train_detector(inputs_of(learned), labels, PHASOR_FEATURES, recipe.kinds, plan)
    if sabotage is not None:
        model = sabotage.model(model)
    model.save(folder / "model")
    return {"model": digest_folder(folder / "model"), "kind": model.kind, "windows": len(labels)}


def evaluate(bench: Workbench, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Let candidate and champion answer the hold-out; keep the answers for the gate."""
    recipe, folder = recipe_of(bench), run_folder(bench, inputs)
    windows = pl.read_parquet(folder / "holdout.parquet")
    rows, champion = rows_of(windows, recipe.kinds), bench.champion()
    shape = (windows.height, len(recipe.kinds))
    answers = {"candidate": bench.load(folder / "model").predict(rows).reshape(shape)}
    if champion is not None:
        answers["champion"] = champion.predict(rows).reshape(shape)
    path = folder / "answers.npz"
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **answers)
    truth = truth_of(windows, recipe.kinds)
    reference = answers.get("champion", answers["candidate"])
    scales: dict[str, Any] = {"event_loss": unit_losses(mean_losses(truth, reference, recipe.kinds), recipe.kinds)}
    if champion is not None:
        found = day_differences(truth, (answers["candidate"], reference), days_of(windows), recipe.kinds)
        scales["paired_sd"] = max(float(found.std(ddof=1)), LEAST_SD)
    return {
        "champion": None if champion is None else champion.release,
        "metrics": _metrics(truth, answers["candidate"], recipe),
        "scales": scales,
        "answers": digest_bytes(path.read_bytes()),
    }


def _metrics(truth: FloatArray, answers: FloatArray, recipe: DetectionRecipe) -> dict[str, float | int | None]:
    losses = mean_losses(truth, answers, recipe.kinds)
    result: dict[str, float | int | None] = {"brier": float(np.nanmean(np.square(answers - truth)))}
    for column, kind in enumerate(recipe.kinds):
        there = truth[:, column] == 1.0
        found = answers[there, column] >= recipe.need.threshold
        result[f"recall_{kind}"] = float(found.mean()) if there.any() else None
    return result | {f"loss_{name.replace(' ', '_')}": loss for name, loss in losses.items()}


def package(bench: Workbench, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Build the signed, content-addressed package of the detector; it says that simulated windows are simulated."""
    recipe, folder = recipe_of(bench), run_folder(bench, inputs)
    collected, evaluated = inputs["collect_windows"], inputs["evaluate"]
    model, windows = bench.load(folder / "model"), pl.read_parquet(folder / "training.parquet")
    rows = rows_of(windows, recipe.kinds)
    facts = PackageFacts(
        model_kind=inputs["train"]["kind"],
        quantiles=model.quantiles,
        feature_set=bench.features.to_dict(),
        training_window=_learned_from(windows, parse_utc(inputs["parameters"]["as_of"])),
        snapshots=({"table": "windows", **{name: collected[name] for name in ("training", "holdout")}},),
        metrics=evaluated["metrics"],
        environment=bench.environment,
        commit=bench.commit,
        scales=evaluated["scales"],
        notes={
            "champion_at_test": evaluated["champion"],
            "data": _said_of(collected),
            "kinds": list(recipe.kinds),
            "window_s": recipe.window_s,
            "step_s": recipe.step_s,
            "feature_ranges": feature_ranges(windows, PHASOR_FEATURES),
        },
    )
    golden = make_golden(rows.gather_every(max(1, rows.height // ROWS_OF_GOLDEN)), PHASOR_FEATURES, model.predict)
    columns = input_columns(rows, bench.features)
    documents = describe(facts, columns, list(recipe.kinds), model_files(folder / "model"), bench.surroundings())
    built = build_package(bench.packages, folder / "model", facts, bench.signer, golden, documents)
    return {"release": built.release, "digest": built.digest, "path": str(built.path.relative_to(bench.packages))}


def _learned_from(windows: pl.DataFrame, as_of: datetime) -> tuple[datetime, datetime]:
    """Return the first and last instant of the own windows; simulated ones are of no time, then the run's is told."""
    times: Any = windows.filter(pl.col("origin") == OWN)["at"]
    return (as_of, as_of) if times.is_empty() else (times.min(), times.max())


def _said_of(collected: Mapping[str, Any]) -> str:
    own, simulated = (int(collected["training"][name]) for name in ("own", "simulated"))
    told = f"synthetic: {simulated} windows of simulated scenes"
    return f"{told}, and {own} own windows that people labelled" if own else f"{told}, none of a real grid"


def judge_candidate(bench: Workbench, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Judge the package that would be deployed; verdict and evidence go to the ledger, refusals too."""
    recipe, folder, built = recipe_of(bench), run_folder(bench, inputs), inputs["package"]
    opened, run = open_package(bench.packages / built["path"], bench.trusted), str(inputs["parameters"]["run"])
    if bench.trial is not None:  # its process asks the ledger which package the release is
        record_candidate(bench, opened, run)
    with np.load(folder / "answers.npz") as answers:
        candidate = answers["candidate"]
        champion = answers.get("champion")
    training, holdout = (pl.read_parquet(folder / f"{name}.parquet") for name in ("training", "holdout"))
    evidence = DetectionEvidence(opened, training, holdout, candidate, champion, folder)
    verdict = judged_detector(bench, recipe, evidence)
    now = bench.clock.now()
    record_verdict(bench.ledger, opened, run, verdict, now)
    checks = verdict.to_dict()["checks"]
    return {
        "candidate": opened.release,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "checks": checks,
        "judged_at": format_utc(now),
    }
