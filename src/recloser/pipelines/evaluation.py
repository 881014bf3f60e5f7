"""Owns the hold-out comparison: who answers what on days nobody learned from, and the scales later tiers need. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import INCUMBENT, LOAD, QUANTILES, FloatArray
from recloser.core.scores import crps, joint_scale, long_run_sd, ramp_error, ratio_scale, score_table, usable
from recloser.features import FeatureSet
from recloser.features.calendar import holiday_dates
from recloser.monitoring.shapes.fleet import usual_of
from recloser.monitoring.shapes.issue import IssueShape, issue_shape, points_an_hour

COLUMNS = ("q10", "q50", "q90")


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Answers on the hold-out, row by row.

    Attributes:
        rows: area, issued_at, at, load_mw, scale_mw and, where known, incumbent_mw.
        answers: 'candidate', 'champion' (if there is one), 'seasonal_naive' -> MW, shape (n_rows, n_quantiles).
    """

    rows: pl.DataFrame
    answers: Mapping[str, FloatArray]

    @property
    def truth(self) -> FloatArray:
        """Return MW, shape (n_rows,), NaN where unknown."""
        return self.column(LOAD)

    def column(self, name: str) -> FloatArray:
        """Return a column as float64, NaN where unknown or absent, shape (n_rows,)."""
        if name not in self.rows.columns:
            return np.full(self.rows.height, np.nan)
        result: FloatArray = self.rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
        return result

    def to_frame(self) -> pl.DataFrame:
        """Return everything as one frame, answers as '<who>_q10' and so on."""
        answers = {
            f"{who}_{name}": array[:, k] for who, array in self.answers.items() for k, name in enumerate(COLUMNS)
        }
        return self.rows.with_columns(**{name: pl.Series(values) for name, values in answers.items()})

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Evaluation:
        """Rebuild it from `to_frame`."""
        who = [name.removesuffix("_q50") for name in frame.columns if name.endswith("_q50")]
        answers = {name: frame.select(f"{name}_{c}" for c in COLUMNS).to_numpy().astype(np.float64) for name in who}
        return cls(frame.select(c for c in frame.columns if not c.endswith(("_q10", "_q50", "_q90"))), answers)


def metrics(evaluation: Evaluation) -> dict[str, float | int | None]:
    """Return hold-out metrics of everybody, named '<who>_<metric>'; the candidate's carry no prefix."""
    result: dict[str, float | int | None] = {}
    for who, answer in evaluation.answers.items():
        prefix = "" if who == "candidate" else f"{who}_"
        result |= {f"{prefix}{k}": v for k, v in score_table(evaluation.truth, answer, QUANTILES).items()}
    incumbent = evaluation.column(INCUMBENT)
    if np.isfinite(incumbent).any():
        table = score_table(evaluation.truth, np.repeat(incumbent[:, None], 3, axis=1), QUANTILES)
        result |= {f"incumbent_{k}": table[k] for k in ("mape", "wmape", "bias_pct", "mae_mw", "n")}
    return result


def scales(evaluation: Evaluation) -> dict[str, Any]:
    """Return what guard and canary tests need to know about this pair of models.

    Returns:
        area_loss_mw: area -> mean CRPS of the reference (champion, else the candidate itself) in MW.
        paired_sd: long-run sd of the pooled daily difference (candidate - champion) / area loss; None without one.
        paired_ratio: offset, sd, offset_sd of the log ratio of pooled daily losses (core.scores.RatioScale), or None.
        paired_joint: core.scores.JointScale of pooled daily losses and ramp errors, or None.
        step_divergence: .999 quantile over target times of the areas' median |candidate - champion| / scale_mw.
        area_divergence: the .999 quantile of |candidate - champion| / scale_mw over areas and times.
        level_divergence: the .9 quantile over days of |median over areas of the day's mean (candidate - champion)| in
            units of scale_mw: how far one model may lie above the other all day.
        issue_shape: monitoring.shapes.fleet.Usual of the hold-out issues, or None.
        residual: mean and sd of the candidate's daily signed residual, pooled over areas, per unit of scale_mw.
        promised: mean absolute error of the candidate and of the naive floor, per unit of scale_mw.
    """
    reference = evaluation.answers.get("champion", evaluation.answers["candidate"])
    candidate, truth = evaluation.answers["candidate"], evaluation.truth
    keep = usable(truth, reference) & usable(truth, candidate)
    table = evaluation.rows.select("area", "issued_at", "at", "scale_mw").with_columns(
        reference=pl.Series(np.where(keep, crps(truth, reference, QUANTILES), np.nan)),
        candidate=pl.Series(np.where(keep, crps(truth, candidate, QUANTILES), np.nan)),
        gap=pl.Series(np.abs(candidate - reference).max(axis=1)) / pl.col("scale_mw"),
        level=pl.Series((candidate - reference)[:, 1]) / pl.col("scale_mw"),
        residual=pl.Series(truth - candidate[:, 1]) / pl.col("scale_mw"),
    )
    known = table.filter(pl.Series(keep))
    losses = known.group_by("area", maintain_order=True).agg(pl.col("reference").mean()).sort("area")
    area_loss = {area: loss for area, loss in losses.iter_rows() if loss and loss > 0}
    result: dict[str, Any] = {"area_loss_mw": area_loss, "paired_sd": None, "residual": _daily(known, "residual")}
    result["promised"] = _promised(evaluation)
    if "champion" in evaluation.answers:
        each = known.join(losses.rename({"reference": "loss"}), on="area").with_columns(
            difference=(pl.col("candidate") - pl.col("reference")) / pl.col("loss")
        )
        days = _days(each, "difference").to_numpy()
        result["paired_sd"] = long_run_sd(days) if days.size > 1 else None
        losses_of = [_days(each.with_columns(pl.col(who) / pl.col("loss")), who) for who in ("candidate", "reference")]
        daily, ramps = (losses_of[0].to_numpy(), losses_of[1].to_numpy()), _ramps(evaluation, keep, area_loss)
        same_days = daily[0].size == ramps[0].size  # an area without any loss has days of its own
        ratio, joint = ratio_scale(*daily), joint_scale(daily, ramps) if same_days else None
        result["paired_ratio"] = None if ratio is None else asdict(ratio)
        result["paired_joint"] = None if joint is None else asdict(joint)
        result |= _divergence(evaluation, table.filter(pl.col("gap").is_finite()))
    return result


def _divergence(evaluation: Evaluation, finite: pl.DataFrame) -> dict[str, Any]:
    """Return the limits of the label-free guard; see `scales`."""
    usual = usual_of(_shapes(evaluation))
    each_day = finite.group_by("issued_at", "area").agg(pl.col("level").mean())
    levels = each_day.group_by("issued_at").agg(pl.col("level").median())["level"]
    return {
        "issue_shape": None if usual is None else usual.to_dict(),
        "step_divergence": finite.group_by("at").agg(pl.col("gap").median())["gap"].quantile(0.999),
        "area_divergence": finite["gap"].quantile(0.999),
        "level_divergence": levels.abs().quantile(0.9),
    }


def _ramps(
    evaluation: Evaluation, keep: npt.NDArray[np.bool_], loss: Mapping[str, float]
) -> tuple[FloatArray, FloatArray]:
    """Return the pooled daily ramp errors over the areas' mean loss, candidate's and champion's, by issue with truth.

    NaN on a day without two points an hour apart.
    """
    truth = np.where(keep, evaluation.truth, np.nan)
    medians = [evaluation.answers[who][:, 1] for who in ("candidate", "champion")]
    days: dict[Any, list[tuple[float, float]]] = {}
    for issued_at, area, part in _issues(evaluation):
        rows = part["row"].to_numpy()
        mine, theirs = (ramp_error(truth[rows], median[rows]) for median in medians)
        if np.isfinite(truth[rows]).any() and area in loss:
            days.setdefault(issued_at, []).append((mine / loss[area], theirs / loss[area]))
    pooled = np.array([np.mean(pairs, axis=0) for pairs in days.values()], dtype=np.float64).reshape(-1, 2)
    return pooled[:, 0], pooled[:, 1]


def _shapes(evaluation: Evaluation) -> list[dict[str, IssueShape]]:
    """Return by issue each area's shape of the candidate's forecast beside the champion's, where both are whole."""
    scale = evaluation.column("scale_mw")
    mine, theirs = (evaluation.answers[who][:, 1] / scale for who in ("candidate", "champion"))
    days: dict[Any, dict[str, IssueShape]] = {}
    for issued_at, area, part in _issues(evaluation):
        rows = part["row"].to_numpy()
        if np.isfinite(mine[rows]).all() and np.isfinite(theirs[rows]).all():
            shape = issue_shape(mine[rows], theirs[rows], points_an_hour(part["at"].head(2).to_list()))
            days.setdefault(issued_at, {})[area] = shape
    return list(days.values())


def _issues(evaluation: Evaluation) -> Iterator[tuple[Any, str, pl.DataFrame]]:
    """Yield issue, area and its rows (column `row`: their number) in order of time, issue by issue."""
    keyed = evaluation.rows.select("issued_at", "area", "at").with_row_index("row").sort("issued_at", "area", "at")
    for (issued_at, area), part in keyed.group_by("issued_at", "area", maintain_order=True):
        yield issued_at, str(area), part


def days_off(features: FeatureSet, years: Iterable[int]) -> frozenset[date]:
    """Return the public holidays of the feature set's region in these years; none without a country."""
    if features.country is None:
        return frozenset()
    return frozenset(day for year in years for day in holiday_dates(features.country, features.subdivision, year))


def _promised(evaluation: Evaluation) -> dict[str, float | None]:
    scale, truth = evaluation.column("scale_mw"), evaluation.truth
    result: dict[str, float | None] = {}
    for name, who in (("absolute", "candidate"), ("naive", "seasonal_naive")):
        error = np.abs(truth - evaluation.answers[who][:, 1]) / scale
        known = error[np.isfinite(error)]
        result[name] = float(known.mean()) if known.size else None
    return result


def _days(known: pl.DataFrame, name: str) -> pl.Series:
    # Kept in order: sums of floats in an order that threads decide would not be the same twice.
    areas = known.group_by("issued_at", "area", maintain_order=True).agg(pl.col(name).mean())
    return areas.group_by("issued_at", maintain_order=True).agg(pl.col(name).mean()).sort("issued_at")[name]


def _daily(known: pl.DataFrame, name: str) -> dict[str, float | int | None]:
    days = _days(known, name)
    return {"mean": days.mean(), "sd": days.std(), "n": days.len()}  # type: ignore[dict-item]


def feature_ranges(rows: pl.DataFrame, names: Iterable[str]) -> dict[str, list[float]]:
    """Return the smallest and largest finite number of each feature; without those that have none."""
    finite = [pl.col(name).cast(pl.Float64).fill_nan(None) for name in names]
    finite = [pl.when(column.is_finite()).then(column) for column in finite]
    low, high = rows.select(column.min() for column in finite), rows.select(column.max() for column in finite)
    pairs = {name: [low[name][0], high[name][0]] for name in low.columns}
    return {name: pair for name, pair in pairs.items() if None not in pair}
