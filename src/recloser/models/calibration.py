"""Owns conformal calibration: offsets that make stated coverage true on recent out-of-sample rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import FloatArray, InvalidInput
from recloser.models.model import age_days, checked_quantiles, column, ordered

BLOCKS = 6
PRIOR_ROWS = 96.0
FOLLOW_DAYS = 14.0
FOLLOW_SHARE = 0.5
FOLLOW_LIMIT = 0.1


@dataclass(frozen=True, slots=True)
class Calibration:
    """Offsets per block of the local day and quantile, in units of the row's scale_mw.

    Attributes:
        quantiles: levels.
        offsets: (n_blocks, n_quantiles); block b covers local hours [24 b / n_blocks, 24 (b + 1) / n_blocks).
        rows: residuals behind it.
    """

    quantiles: tuple[float, ...]
    offsets: tuple[tuple[float, ...], ...]
    rows: int = 0

    @classmethod
    def none(cls, quantiles: tuple[float, ...]) -> Calibration:
        """Return the calibration that changes nothing."""
        return cls(checked_quantiles(quantiles), ((0.0,) * len(quantiles),) * BLOCKS)

    def apply(self, rows: pl.DataFrame, forecast: FloatArray) -> FloatArray:
        """Return the shifted forecast in MW, non-crossing; rows with an unknown scale become NaN.

        Args:
            rows: columns scale_mw (MW) and hour (local) or at.
            forecast: MW, shape (n_rows, n_quantiles).
        """
        shift = np.asarray(self.offsets)[block_of(rows, len(self.offsets))]
        return ordered(forecast + shift * column(rows, "scale_mw")[:, None])

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {"quantiles": list(self.quantiles), "offsets": [list(row) for row in self.offsets], "rows": self.rows}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Rebuild it from `to_dict`.

        Raises:
            InvalidInput: a field is absent or of another shape.
        """
        try:
            offsets = tuple(tuple(float(x) for x in row) for row in data["offsets"])
            built = cls(checked_quantiles(tuple(data["quantiles"])), offsets, int(data["rows"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("an unreadable calibration", got=repr(error)) from error
        if not offsets or any(len(row) != len(built.quantiles) for row in offsets):
            raise InvalidInput("a calibration of another shape", got=len(offsets), expected="blocks x quantiles")
        return built


def block_of(rows: pl.DataFrame, blocks: int) -> npt.NDArray[np.int64]:
    """Return the block of the local day of each row; column 'hour' is local, without it the UTC hour of 'at' serves."""
    hour = column(rows, "hour") if "hour" in rows.columns else column(rows.select(pl.col("at").dt.hour()), "at")
    result: npt.NDArray[np.int64] = np.clip(np.nan_to_num(hour) * blocks / 24.0, 0, blocks - 1).astype(np.int64)
    return result


def fit_calibration(
    rows: pl.DataFrame,
    truth: FloatArray,
    forecast: FloatArray,
    quantiles: tuple[float, ...],
    half_life: timedelta | None = None,
) -> Calibration:
    """Fit offsets on rows that the model was not trained on; the median stays where it is.

    Each quantile's offset is the conformal quantile of (truth - forecast) / scale over the block, shrunk towards
    that of the whole day where the block is thin.

    Args:
        rows: columns scale_mw, hour or at, and issued_at.
        truth: MW, shape (n_rows,), NaN where unknown.
        forecast: MW, shape (n_rows, n_quantiles), before calibration.
        quantiles: levels.
        half_life: older issues count less; None for equal weights.

    Source: Romano, Patterson & Candes (2019), Conformalized Quantile Regression, eq. 8, one side at a time;
    weights as in Barber et al. (2023), Conformal Prediction Beyond Exchangeability.
    """
    start = Calibration.none(quantiles)
    return recalibrate(start, rows, truth, forecast, half_life=half_life, follow_share=0.0)


def recalibrate(
    calibration: Calibration,
    rows: pl.DataFrame,
    truth: FloatArray,
    forecast: FloatArray,
    *,
    half_life: timedelta | None = None,
    follow_share: float = FOLLOW_SHARE,
) -> Calibration:
    """Return the calibration for the next issue from a rolling window of recent rows whose truth became known.

    Pure. `forecast` is what the model answered *before* this calibration (the model's own `predict`), so that the
    result replaces the old one and errors do not add up. The old one is the prior: where rows are few, it stays.
    The median follows a share of the bias of the newest `FOLLOW_DAYS` days, never more than `FOLLOW_LIMIT`.

    Args:
        calibration: in force now.
        rows: the window (about 60 to 90 days), columns as in `fit_calibration`.
        truth: MW, NaN where unknown.
        forecast: MW, shape (n_rows, n_quantiles).
        half_life: older issues count less; None for equal weights.
        follow_share: share of the recent bias that the median follows, 0 for none.
    """
    scale = column(rows, "scale_mw")
    use = np.isfinite(truth) & np.isfinite(forecast).all(axis=1) & (scale > 0)
    if not use.any():
        return calibration
    known = rows.filter(use)
    residual = (truth[use, None] - forecast[use]) / scale[use, None]
    weight = _weights(known, half_life)
    block = block_of(known, len(calibration.offsets))
    levels = calibration.quantiles
    prior = np.asarray(calibration.offsets)
    whole = _shrunk(residual, weight, levels, prior.mean(axis=0))
    offsets = np.empty_like(prior)
    for index in range(prior.shape[0]):
        mine = block == index
        offsets[index] = _shrunk(residual[mine], weight[mine], levels, whole)
    median = levels.index(0.5)
    offsets[:, median] = follow_share * _recent_bias(known, residual[:, median])
    return Calibration(levels, tuple(tuple(row) for row in offsets.tolist()), int(use.sum()))


def _recent_bias(rows: pl.DataFrame, residual: FloatArray) -> float:
    """Return the median residual of the newest days within the limit; 0 where there are fewer than three issues."""
    recent = age_days(rows) < FOLLOW_DAYS
    if rows.filter(recent)["issued_at"].n_unique() < 3:
        return 0.0
    limit = FOLLOW_LIMIT
    return float(np.clip(np.median(residual[recent]), -limit, limit))


def _weights(rows: pl.DataFrame, half_life: timedelta | None) -> FloatArray:
    if half_life is None:
        return np.ones(rows.height)
    result: FloatArray = 0.5 ** (age_days(rows) / (half_life / timedelta(days=1)))
    return result


def _shrunk(residual: FloatArray, weight: FloatArray, quantiles: tuple[float, ...], prior: FloatArray) -> FloatArray:
    """Return per-level weighted conformal quantiles of the residuals, pulled to `prior` while rows are few."""
    total = float(weight.sum())
    if total <= 0.0:
        return prior
    found = np.array([conformal_quantile(residual[:, k], weight, q) for k, q in enumerate(quantiles)])
    share = total / (total + PRIOR_ROWS)
    result: FloatArray = share * found + (1.0 - share) * prior
    return result


def conformal_quantile(residual: FloatArray, weight: FloatArray, level: float) -> float:
    """Return the weighted quantile of residuals with one unit of weight added beyond the far end.

    For levels above one half the added weight lies at the top, below at the bottom, so the interval is never
    narrower than the plain empirical one; at the median none is added.
    """
    order = np.argsort(residual, kind="stable")
    share = np.cumsum(weight[order])
    extra = 0.0 if level == 0.5 else 1.0
    target = level * (share[-1] + extra) - (extra if level < 0.5 else 0.0)
    index = int(np.searchsorted(share, target, side="left"))
    return float(residual[order[min(max(index, 0), order.size - 1)]])
