"""Owns gathering the gate's evidence for a package. The checks and the verdict are staging's."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from recloser.core import LOAD, QUANTILES
from recloser.pipelines.evaluation import Evaluation
from recloser.pipelines.proving import check_formats
from recloser.pipelines.workbench import Workbench
from recloser.registry import Package, check_golden
from recloser.staging import (
    PASS,
    CheckResult,
    HoldOut,
    SafetyProbe,
    TrainingData,
    Verdict,
    check_coverage,
    check_data,
    check_latency,
    check_metrics,
    check_parity,
    check_performance,
    check_safety,
    judge,
    measure_latency,
    temperature_columns,
)

REQUIRED = ("formats", "data.shape", "metrics", "coverage", "parity", "latency", "safety", "performance")
RECENT = timedelta(days=28)
PROBE_DAYS = 7


def judged(
    bench: Workbench, package: Package, evaluation: Evaluation, training: pl.DataFrame, holdout: pl.DataFrame
) -> Verdict:
    """Return the gate's verdict on the package that would be deployed.

    Args:
        bench: the project's rooms.
        package: opened and verified.
        evaluation: everybody's answers on the hold-out.
        training: rows the candidate learned from, with truth.
        holdout: rows of the hold-out with all features.
    """
    formats = check_formats(package, allow_pickle=bench.allow_pickle)
    if formats.verdict != PASS:
        return judge([formats], REQUIRED)  # such a model is not even opened
    zone = bench.features.horizon.zone
    model = bench.load(package.model_folder)
    recent, whole = _load(bench, RECENT), _load(bench, timedelta(days=bench.recipe.history_days))
    data = TrainingData(training, bench.features.names, zone, recent, whole)
    results: list[CheckResult] = [formats, *check_data(data, bench.policy)]
    answers = evaluation.answers
    pair = HoldOut.from_frame(
        holdout,
        zone,
        QUANTILES,
        candidate=answers["candidate"],
        champion=answers.get("champion"),
        naive=answers["seasonal_naive"],
    )
    own = {name: number for name, number in package.facts.metrics.items() if not name.startswith("incumbent_")}
    results += check_performance(pair, bench.policy)
    results += [check_coverage(pair, bench.policy), check_metrics(own, bench.policy)]
    probe = SafetyProbe(
        rows=_latest_days(holdout, PROBE_DAYS),
        feature_names=bench.features.names,
        quantiles=QUANTILES,
        temperature_columns=temperature_columns(bench.features.names),
    )
    results += check_safety(model.predict, probe, bench.policy)
    results.append(check_parity(check_golden(package, model.predict)))
    if not holdout.is_empty():
        day = holdout.filter(pl.col("issued_at") == holdout["issued_at"].max())
        requests = [part for _, part in day.group_by("area", maintain_order=True)]
        results.append(check_latency(measure_latency(model.predict, requests, bench.timer), bench.policy))
    return judge(results, REQUIRED)


def _load(bench: Workbench, span: timedelta) -> pl.DataFrame | None:
    """Return the usable load of the last `span` as stored, which training data is compared with."""
    as_of = bench.clock.now()
    panel = bench.store.read(list(bench.areas), [LOAD], start=as_of - span, as_of=as_of)
    wide = panel.wide()
    return None if wide.is_empty() or LOAD not in wide.columns else wide.select("area", "at", LOAD)


def _latest_days(rows: pl.DataFrame, days: int) -> pl.DataFrame:
    if rows.is_empty():
        return rows
    issues = rows["issued_at"].unique().sort()
    return rows.filter(pl.col("issued_at") >= issues[-min(days, issues.len())])
