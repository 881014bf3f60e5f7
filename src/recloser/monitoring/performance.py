"""Owns the watch over accuracy and coverage as truth arrives, and over divergence before it. Looks for no causes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from recloser.core import FloatArray, InvalidInput
from recloser.monitoring.signal import Severity, Signal, signal_key


@dataclass(frozen=True, slots=True)
class StagingErrors:
    """What staging measured of the champion, in shares of the scale.

    Attributes:
        absolute: mean absolute error.
        naive: mean absolute error of the naive floor on the same rows; None if unknown.
        coverage: share of truths in the 80 % interval.
    """

    absolute: float
    naive: float | None = None
    coverage: float = 0.8


@dataclass(frozen=True, slots=True)
class PerformancePlan:
    """When accuracy counts as lost.

    Attributes:
        days: recent local days judged together.
        least_days: below this nothing is said (no data is no verdict).
        worse: error over staging's error that counts.
        skill_worse: the same for error over the naive floor's error: a hard fortnight for everybody is no fault.
        sigmas: standard errors, over days, by which the limits must be passed.
        coverage_points: distance of the coverage from its level that counts, as a share.
    """

    days: int = 14
    least_days: int = 10
    worse: float = 1.25
    skill_worse: float = 1.15
    sigmas: float = 2.0
    coverage_points: float = 0.08


def degradation(errors: pl.DataFrame, staging: StagingErrors, plan: PerformancePlan, now: datetime) -> Signal | None:
    """Tell if the champion lost accuracy against staging and against the naive floor, or fell below that floor.

    The floor is the load of a week before. That it does better counts once the paired daily differences stand out
    by `plan.sigmas` standard errors: by chance an equal forecast is often the worse one of a fortnight.

    Args:
        errors: from `daily_errors`, of the champion's own answers, naive column filled where known.
        staging: what it promised.
        plan: limits.
        now: aware UTC; only days before it should be in `errors`.

    Returns:
        A degradation signal, or None if all is well or too few days are known.
    """
    daily = _recent(errors, plan.days)
    if len(daily) < plan.least_days:
        return None
    absolute = daily["absolute"].to_numpy()
    naive = daily["naive"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    ratio = float(absolute.mean()) / staging.absolute
    margin = plan.sigmas * standard_error(absolute) / staging.absolute
    known = np.isfinite(naive)
    skill = float(absolute[known].mean() / naive[known].mean()) if known.sum() >= plan.least_days else None
    promised = staging.absolute / staging.naive if staging.naive else None
    lost_skill = skill is None or promised is None or skill > plan.skill_worse * promised
    below_floor = skill is not None and ratio > 1.0 and _above(absolute[known] - naive[known], plan.sigmas)
    if not ((ratio - margin > plan.worse and lost_skill) or below_floor):
        return None
    since = midnight(daily["day"].min())
    numbers = (float(absolute.mean()), ratio, None if skill is None else float(naive[known].mean()))
    reason = _sentence(numbers, len(daily), below_floor=below_floor)
    evidence = {"ratio": ratio, "margin": margin, "skill": skill, "promised_skill": promised, "days": len(daily)}
    severity: Severity = "critical" if below_floor else "warning"
    key = signal_key("degradation", "error", (), since)
    return Signal(key, now, "degradation", severity, (), since, reason, {"kind": "error", **evidence})


def _above(daily: FloatArray, sigmas: float) -> bool:
    """Return whether the mean of daily differences stands out above zero by so many standard errors."""
    return float(daily.mean()) > sigmas * standard_error(daily)


def _sentence(numbers: tuple[float, float, float | None], days: int, *, below_floor: bool) -> str:
    """Return what an operator is told; numbers: the error, its ratio to staging's, the naive floor's error if known."""
    own, ratio, floor = numbers
    if below_floor:
        return (
            f"The forecast is no better than last week's load for {days} days: {own:.1%} off, last week's load "
            f"{floor:.1%}; staging measured {own / ratio:.1%}."
        )
    against = "" if floor is None else f"; last week's load was {floor:.1%} off"
    return f"The forecast was {own:.1%} off over {days} days, {ratio:.2f} times what staging measured{against}."


def coverage(errors: pl.DataFrame, staging: StagingErrors, plan: PerformancePlan, now: datetime) -> Signal | None:
    """Tell if the 80 % interval holds clearly more or fewer truths than it should over twice the recent days."""
    daily = _recent(errors, 2 * plan.days).filter(pl.col("inside").is_not_null())
    if len(daily) < plan.least_days:
        return None
    inside = daily["inside"].to_numpy()
    share = float(inside.mean())
    away = share - staging.coverage
    margin = plan.sigmas * standard_error(inside)
    if abs(away) - margin <= 0.0 or abs(away) < plan.coverage_points:
        return None
    since = midnight(daily["day"].min())
    word = "too narrow" if away < 0 else "too wide"
    reason = (
        f"Intervals are {word}: they held {share:.0%} of the truth over {len(daily)} days, not {staging.coverage:.0%}."
    )
    evidence = {
        "kind": "coverage",
        "coverage": share,
        "expected": staging.coverage,
        "margin": margin,
        "days": len(daily),
    }
    key = signal_key("degradation", "coverage", (), since)
    return Signal(key, now, "degradation", "notice", (), since, reason, evidence)


@dataclass(frozen=True, slots=True)
class Divergence:
    """How far two models are apart on the same rows.

    Attributes:
        ratio: median over rows of |canary - champion| over the staging quantile; above 1 is unusual.
        largest: the largest such ratio.
        longest_run: most rows in a row (in order of `at`) above the quantile.
        share: share of rows above it.
        unanswered: rows where one of them gave no number; they count as above.
        n: rows compared.
    """

    ratio: float
    largest: float
    longest_run: int
    share: float
    unanswered: int
    n: int

    def tripped(self, steps: int) -> bool:
        """Return whether `steps` rows in a row were above the quantile."""
        return self.longest_run >= steps


def divergence_quantile(canary: FloatArray, champion: FloatArray, scale: FloatArray, level: float = 0.999) -> float:
    """Return the staging quantile of |canary - champion| / scale.

    Args:
        canary: its median forecasts in MW on the staging rows, shape (n_rows,).
        champion: the same of the champion.
        scale: MW, shape (n_rows,).
        level: of the quantile; .999 with 2 h in a row gave 0.17 false episodes per model-month.

    Raises:
        InvalidInput: no comparable rows.
    """
    apart = np.abs(canary - champion) / scale
    known = apart[np.isfinite(apart)]
    if not known.size:
        raise InvalidInput("no rows to compare", expected="staging rows that both models answered")
    return float(np.quantile(known, level))


def divergence(canary: FloatArray, champion: FloatArray, scale: FloatArray, quantile: float) -> Divergence:
    """Compare two models' median forecasts of one area in order of time.

    Args:
        canary: MW, shape (n_rows,).
        champion: MW, shape (n_rows,).
        scale: MW, shape (n_rows,).
        quantile: from `divergence_quantile`.
    """
    apart = np.abs(canary - champion) / scale / max(quantile, 1e-9)
    unknown = ~np.isfinite(apart)
    above = unknown | (apart > 1.0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], above.astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    known = apart[~unknown]
    return Divergence(
        ratio=float(np.median(known)) if known.size else float("nan"),
        largest=float(known.max()) if known.size else float("nan"),
        longest_run=int(runs.max()) if runs.size else 0,
        share=float(above.mean()) if above.size else 0.0,
        unanswered=int(unknown.sum()),
        n=len(apart),
    )


def _recent(errors: pl.DataFrame, days: int) -> pl.DataFrame:
    """Return the fleet's mean per day over the newest `days` days: day, absolute, naive, inside."""
    if errors.is_empty():
        return errors
    newest = errors["day"].max()
    assert isinstance(newest, date)
    chosen = errors.filter(pl.col("day") > newest - timedelta(days=days))
    return chosen.group_by("day", maintain_order=True).agg(pl.col("absolute", "naive", "inside").mean()).sort("day")


def standard_error(daily: FloatArray) -> float:
    """Return the standard error of the mean of correlated days: AR(1) with their own coefficient, at least 0.3."""
    centred = daily - daily.mean()
    total = float((centred**2).sum())
    own = float((centred[1:] * centred[:-1]).sum()) / total if total > 0 else 0.0
    phi = min(max(own, 0.3), 0.9)
    return float(daily.std(ddof=1)) / float(np.sqrt(len(daily))) * float(np.sqrt((1 + phi) / (1 - phi)))


def midnight(day: object) -> datetime:
    """Return the UTC instant of a date's midnight, by which signals are dated."""
    assert isinstance(day, date)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
