"""Our row, as it would live: refits on a schedule, one issue a day, recalibrated daily on what has come true."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from protocol import Costs, Q, Schedule, answered

from recloser.core import LOAD, QUANTILES, FloatArray, Panel
from recloser.features import FeatureSet
from recloser.models import Calibration, Model, TrainingPlan, recalibrate, train_lightgbm

WINDOW = timedelta(days=60)


def run_ours(
    schedule: Schedule, features: FeatureSet, rows: pl.DataFrame, panel: Panel, scored: set[datetime]
) -> tuple[pl.DataFrame, pl.DataFrame, Costs]:
    """Return the answers with and without online recalibration, and the CPU.

    Args:
        schedule: its first quarter is a warm-up: fitted and answered, to have residuals, but not counted as fit.
        features: the feature set.
        rows: its frame with truth for all issues.
        panel: for the timed issue-by-issue path.
        scored: issues on which the full path (features of one issue from the panel, predict, apply) is timed.
    """
    costs = Costs()
    raw: list[pl.DataFrame] = []
    final: list[pl.DataFrame] = []
    calibration = Calibration.none(QUANTILES)
    for number, (start, end) in enumerate(schedule.quarters()):
        with costs.timed("fit" if number else "warm-up fit"):
            model = train_lightgbm(schedule.training(rows, start), features.names, TrainingPlan())
        costs.fits += number > 0
        for issue in schedule.issues(start, end):
            if issue in scored:
                mine, answer = _timed_issue(features, model, panel, issue, costs, calibration)
                mine = mine.join(rows.select("area", "issued_at", "at", LOAD), on=["area", "issued_at", "at"])
            else:
                mine = rows.filter(pl.col("issued_at") == issue)
                answer = model.predict(mine)
            with costs.timed("recalibration"):
                past = pl.concat(raw) if raw else None
                calibration = recalibrated(calibration, past, issue, schedule)
            raw.append(answered(mine, answer))
            final.append(answered(mine, calibration.apply(mine, answer)))
    return pl.concat(final), pl.concat(raw), costs


def recalibrated(
    calibration: Calibration, past: pl.DataFrame | None, issue: datetime, schedule: Schedule
) -> Calibration:
    """Recalibrate on the answers of the window whose truth is known at the issue."""
    if past is None:
        return calibration
    known = past.filter((pl.col("at") + schedule.horizon.resolution <= issue) & (pl.col("issued_at") >= issue - WINDOW))
    if known.is_empty():
        return calibration
    truth = known[LOAD].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return recalibrate(calibration, known, truth, known.select(Q).to_numpy())


def _timed_issue(
    features: FeatureSet, model: Model, panel: Panel, issue: datetime, costs: Costs, calibration: Calibration
) -> tuple[pl.DataFrame, FloatArray]:
    seen = panel.at_time(issue)  # the store's work, not timed here
    recent = seen.frame.filter(pl.col("at") > issue - timedelta(days=60))
    memory = Panel(recent, panel.resolution, issue)
    with costs.timed("predict"):
        rows = features.compute(memory, [issue])
        answer = model.predict(rows)
        calibration.apply(rows, answer)
    costs.days += 1
    if not np.isfinite(answer).all():
        print("missing answers at", issue)
    return rows, answer
