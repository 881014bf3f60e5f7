"""Owns the standard pipeline: snapshot, train, evaluate, package, judge, attest, register. All plain functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recloser.core import LOAD, FloatArray, Panel, format_utc, parse_utc
from recloser.core.digests import digest_bytes
from recloser.features import FeatureSet, attach_truth
from recloser.ledger import PinRecord, ReleaseRecord
from recloser.models import Model, Persistence, SeasonalNaive, split_rows
from recloser.monitoring import daily_errors, pool
from recloser.pipelines.choosing import Choice, choose, last_regime, offered
from recloser.pipelines.evaluation import Evaluation, days_off, feature_ranges, metrics, scales
from recloser.pipelines.judging import Evidence, judged
from recloser.pipelines.pipeline import Pipeline, Step, When
from recloser.pipelines.proving import attest_verdict
from recloser.pipelines.verdicts import record_verdict, release_record
from recloser.pipelines.windows import Share, Starts, Windows, shared_out, split, starts
from recloser.pipelines.workbench import Contender, Workbench, union
from recloser.registry import Golden, Package, PackageFacts, RunFacts, build_package, make_golden, open_package
from recloser.registry.content.description import describe
from recloser.registry.content.schema import input_columns
from recloser.store import Snapshot

ACTOR = "pipeline"
FALLBACKS = ("seasonal_naive", "persistence")
ROWS_PER_DRAWN = 3  # rows computed for each that training draws
UNLIMITED = 1_000_000


def candidate_pipeline() -> Pipeline:
    """Return the steps from data to a judged, registered candidate."""
    return Pipeline(
        "candidate",
        (
            Step("take_snapshot", take_snapshot),
            Step("train", train, ("take_snapshot",)),
            Step("evaluate", evaluate, ("take_snapshot", "train")),
            Step("package", package, ("take_snapshot", "train", "evaluate")),
            Step("judge", judge_candidate, ("take_snapshot", "train", "evaluate", "package")),
            Step("attest", attest, ("take_snapshot", "package", "judge")),
            Step("register", register, ("package", "judge"), When("judge", "pass")),
        ),
    )


def take_snapshot(bench: Workbench, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Fix what the run may see: a version of the store as of an instant, pinned so that it stays readable."""
    parameters = inputs["parameters"]
    as_of = parse_utc(parameters["as_of"])
    start = as_of - timedelta(days=_history_days(bench, inputs)) - bench.features.memory - timedelta(days=2)
    snapshot = bench.store.snapshot(list(bench.areas), None, start, None, as_of)
    owner = parameters["run"]
    now = bench.clock.now()
    with bench.ledger.change(ACTOR, now) as change:
        change.put(
            PinRecord(f"{owner}/{snapshot.table}", snapshot.table, snapshot.version, snapshot.digest, owner, now)
        )
        change.note("store.pin", owner, {"version": snapshot.version, "digest": snapshot.digest})
    return {"snapshot": snapshot.to_dict()}


def train(bench: Workbench, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Train a candidate on features as known at each issue; save it with its fallback ladder in the run's folder."""
    panel, windows = _panel(bench, inputs), _windows(bench, inputs)
    begun = _starts(bench, panel, windows)
    barred = {*inputs["parameters"].get("excluded", ()), *begun.left_out}
    shares = _shares(bench, windows.training, tuple(area for area in bench.areas if area not in barred))
    rows = pl.concat([_with_truth(bench.features, panel, share.issues, share.areas) for share in shares])
    rows = begun.rows(rows).sort("area", "issued_at", "at")
    sabotage = bench.saboteur.get(str(inputs["parameters"].get("sabotage", "")))
    if sabotage is not None:
        rows = sabotage.rows(rows)
    choice = _choice(bench, rows, windows, parse_utc(inputs["parameters"]["as_of"]))
    rows = choice.offer.rows(rows)
    model = bench.train(rows, bench.features.names, choice.offer.plan(bench.plan))
    if sabotage is not None:
        model = sabotage.model(model)
    folder = run_folder(bench, inputs) / "model"
    model.save(folder)
    for name, rung in _ladder(bench.features, rows).items():
        rung.save(folder / "fallback" / name)
    rows.write_parquet(run_folder(bench, inputs) / "training.parquet", compression="zstd")
    return {
        "model": digest_folder(folder),
        "kind": model.kind,
        "rows": rows.height,
        "issues": rows["issued_at"].n_unique(),
        "held_out_from": format_utc(windows.holdout[0]) if windows.holdout else None,
        "choice": choice.to_dict(),
        "window": [
            format_utc(rows["issued_at"].min()),  # type: ignore[arg-type]
            format_utc(bench.features.horizon.targets(windows.training[-1])[-1]),
        ],
    }


def evaluate(bench: Workbench, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Let candidate, champion and seasonal naive answer the hold-out; keep every answer for the gate."""
    champion = bench.champion()
    rows = _holdout_rows(bench, inputs, champion)
    model = bench.load(run_folder(bench, inputs) / "model")
    answers: dict[str, FloatArray] = {"candidate": model.predict(rows)}
    if champion is not None:
        answers["champion"] = champion.predict(rows)
    answers["seasonal_naive"] = SeasonalNaive.of(bench.features.names).predict(rows)
    keep = [name for name in ("area", "issued_at", "at", LOAD, "incumbent_mw", "scale_mw") if name in rows.columns]
    evaluation = Evaluation(rows.select(keep), answers)
    path = run_folder(bench, inputs) / "evaluation.parquet"
    evaluation.to_frame().write_parquet(path, compression="zstd")
    rows.write_parquet(run_folder(bench, inputs) / "holdout.parquet", compression="zstd")
    return {
        "champion": None if champion is None else champion.release,
        "metrics": metrics(evaluation),
        "scales": {**scales(evaluation), "days": held_out_days(bench, evaluation)} if rows.height else {},
        "answers": digest_bytes(path.read_bytes()),
    }


def held_out_days(bench: Workbench, evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the candidate's pooled daily errors on the hold-out: where the drift monitor's baseline begins."""
    rows = evaluation.rows.with_columns(
        truth_mw=pl.col(LOAD), median_mw=pl.Series(evaluation.answers["candidate"][:, 1])
    )
    features = bench.features
    zone = features.horizon.zone
    years = {at.astimezone(zone).year for at in (rows["at"].min(), rows["at"].max()) if isinstance(at, datetime)}
    off = days_off(features, years)
    return [
        {
            "day": score.day.isoformat(),
            "signed": score.signed,
            "spread": score.spread,
            "areas": score.areas,
            "off": score.off,
        }
        for score in pool(daily_errors(rows, zone.key), off)
    ]


def package(bench: Workbench, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Build the signed, content-addressed package of the candidate."""
    folder = run_folder(bench, inputs)
    trained, evaluated = inputs["train"], inputs["evaluate"]
    model = bench.load(folder / "model")
    first, last = (parse_utc(text) for text in trained["window"])
    rows = pl.read_parquet(folder / "training.parquet").drop(LOAD, "incumbent_mw", strict=False)
    facts = PackageFacts(
        model_kind=trained["kind"],
        quantiles=model.quantiles,
        feature_set=bench.features.to_dict(),
        training_window=(first, last),
        snapshots=(inputs["take_snapshot"]["snapshot"],),
        metrics=evaluated["metrics"],
        environment=bench.environment,
        commit=bench.commit,
        scales=evaluated["scales"],
        notes={
            "champion_at_test": evaluated["champion"],
            "held_out_from": trained["held_out_from"],
            "training_rows": trained["rows"],
            "window_choice": trained["choice"],
            "feature_ranges": feature_ranges(rows, bench.features.measured),
        },
    )
    golden = at_splits(make_golden(rows, bench.features.names, model.predict), model)
    columns = input_columns(rows, bench.features)
    areas = sorted(rows["area"].unique())
    documents = describe(facts, columns, areas, model_files(folder / "model"), bench.surroundings())
    built = build_package(bench.packages, folder / "model", facts, bench.signer, golden, documents)
    return {"release": built.release, "digest": built.digest, "path": str(built.path.relative_to(bench.packages))}


def at_splits(golden: Golden, model: Model) -> Golden:
    """Return golden rows with further ones that lie exactly on the model's splits."""
    rows = split_rows(model, golden.rows.head(1))
    if rows.is_empty():
        return golden
    return Golden(pl.concat([golden.rows, rows]), np.vstack([golden.answers, model.predict(rows)]))


def judge_candidate(bench: Workbench, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Judge the package that would be deployed; verdict and evidence go to the ledger, refusals too."""
    built = inputs["package"]
    folder = run_folder(bench, inputs)
    opened = open_package(bench.packages / built["path"], bench.trusted)
    run = str(inputs["parameters"]["run"])
    if bench.trial is not None:  # its process asks the ledger which package the release is
        record_candidate(bench, opened, run)
    panel, windows = _panel(bench, inputs), _windows(bench, inputs)
    evidence = Evidence.read(folder, opened, panel, inputs["take_snapshot"]["snapshot"]["digest"])
    begun = _starts(bench, panel, windows)
    late = begun.later_than(windows.training[0])
    trigger = str(inputs["parameters"].get("trigger", ""))
    evidence = replace(evidence, trigger=trigger, late=late, left_out=begun.left_out)
    verdict = judged(bench, evidence)
    record_verdict(bench.ledger, opened, run, verdict, bench.clock.now())
    checks = verdict.to_dict()["checks"]
    return {"candidate": opened.release, "verdict": verdict.verdict, "reason": verdict.reason, "checks": checks}


def record_candidate(bench: Workbench, package: Package, run: str) -> None:
    """Make the package a candidate in the ledger, unless it is known there."""
    if bench.ledger.get(ReleaseRecord, package.release) is None:
        now = bench.clock.now()
        with bench.ledger.change("staging", now) as change:
            change.put(release_record(package, run, now, "candidate"), expected_version=0)
            change.note("staging.candidate", package.release, {"digest": package.digest})


def attest(bench: Workbench, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Sign the verdict beside the package and tell the model registry about the run, whatever the verdict."""
    parameters, judged_as, built = inputs["parameters"], inputs["judge"], inputs["package"]
    opened = open_package(bench.packages / built["path"], bench.trusted)
    attest_verdict(bench.ledger, opened, bench.signer)
    as_of = parse_utc(parameters["as_of"])
    facts = opened.facts
    run = RunFacts(
        key=parameters["run"],
        started_at=as_of,
        finished_at=as_of,
        succeeded=judged_as["verdict"] == "pass",
        environment=facts.environment,
        commit=facts.commit,
        params={"as_of": parameters["as_of"], "trigger": parameters.get("trigger", ""), "model": facts.model_kind},
        metrics=facts.metrics,
        snapshots=facts.snapshots,
        artifacts={"release.json": facts.to_bytes()},
    )
    return {"candidate": opened.release, "tracked": bench.registry().log_run(run)}


def register(bench: Workbench, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Make what passed a version in the model registry, and its challenger."""
    opened = open_package(bench.packages / inputs["package"]["path"], bench.trusted)
    registry = bench.registry()
    version = registry.register(opened, inputs["parameters"]["run"]).version
    registry.set_alias("challenger", opened.release)
    known = bench.ledger.get(ReleaseRecord, opened.release)
    if known is not None and known.model_version != str(version):
        with bench.ledger.change(ACTOR, bench.clock.now()) as change:
            change.put(replace(known, model_version=str(version)))
            change.note("registry.version", opened.release, {"version": version})
    return {"candidate": opened.release, "verdict": inputs["judge"]["verdict"], "version": version}


def run_folder(bench: Workbench, inputs: Mapping[str, Any]) -> Path:
    """Return the folder of a run's intermediate files."""
    folder = bench.runs / str(inputs["parameters"]["run"])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _panel(bench: Workbench, inputs: Mapping[str, Any]) -> Panel:
    return bench.store.open_snapshot(Snapshot.from_dict(inputs["take_snapshot"]["snapshot"]))


def _windows(bench: Workbench, inputs: Mapping[str, Any]) -> Windows:
    snapshot = Snapshot.from_dict(inputs["take_snapshot"]["snapshot"])
    extent = bench.store.extent(LOAD)
    first = snapshot.selection.as_of if extent is None else extent[0] + bench.features.memory
    champion = bench.champion()
    reference = None if champion is None else champion.held_out_from
    days = (_history_days(bench, inputs), bench.recipe.holdout_days)
    return split(bench.features.horizon, snapshot.selection.as_of, days, first, reference)


def _starts(bench: Workbench, panel: Panel, windows: Windows) -> Starts:
    return starts(panel, bench.areas, bench.features.memory, windows.training)


def _history_days(bench: Workbench, inputs: Mapping[str, Any]) -> int:
    """Return how far back the run looks: as its parameters say, else as the project does."""
    return int(inputs["parameters"].get("history_days", bench.recipe.history_days))


def _choice(bench: Workbench, rows: pl.DataFrame, windows: Windows, as_of: datetime) -> Choice:
    """Return the window to learn from; what was tried stands in the audit log too."""
    regime = last_regime(bench.ledger, as_of)
    offers = offered(bench.recipe.windows, windows.training[0], as_of, regime)
    choice = choose(bench.train, rows, bench.features.names, bench.plan, offers)
    if choice.tried:
        with bench.ledger.change(ACTOR, bench.clock.now()) as change:
            change.note("pipeline.window", choice.offer.name, choice.to_dict())
    return choice


def _shares(bench: Workbench, issues: tuple[datetime, ...], areas: tuple[str, ...]) -> tuple[Share, ...]:
    horizon = bench.features.horizon
    rows = horizon.days * int(timedelta(days=1) / horizon.resolution)
    most = ROWS_PER_DRAWN * (bench.plan.max_rows or UNLIMITED)
    return shared_out(issues, areas, rows, most, horizon.zone)


def _with_truth(features: FeatureSet, panel: Panel, issues: tuple[Any, ...], areas: tuple[str, ...]) -> pl.DataFrame:
    return attach_truth(features.compute(panel, list(issues), areas), panel)


def _holdout_rows(bench: Workbench, inputs: Mapping[str, Any], champion: Contender | None) -> pl.DataFrame:
    features = union(bench.features, None if champion is None else champion.features)
    panel, windows = _panel(bench, inputs), _windows(bench, inputs)
    begun = _starts(bench, panel, windows)
    areas = tuple(area for area in bench.areas if area not in begun.left_out)
    return begun.rows(_with_truth(features, panel, windows.holdout, areas))


def _ladder(features: FeatureSet, rows: pl.DataFrame) -> dict[str, Model]:
    known = rows.filter(pl.col(LOAD).is_not_null())
    rungs: tuple[Model, ...] = (
        SeasonalNaive.of(features.names).fitted(known),
        Persistence.of(features.names).fitted(known),
    )
    return dict(zip(FALLBACKS, rungs, strict=True))


def model_files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder by its relative path, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def digest_folder(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of the files below a folder."""
    listed = "".join(f"{name} {digest_bytes(content)}\n" for name, content in model_files(folder).items())
    return digest_bytes(listed.encode())
