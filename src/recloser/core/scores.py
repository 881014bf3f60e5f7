"""Owns the scoring rules that every room shares. Pure; missing truth is left out of both sides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recloser.core.errors import InvalidInput
from recloser.core.served import FloatArray

LEAST_RATIO_DAYS = 14
JOINT_WEIGHTS = (0.0, 0.25, 0.5, 0.75)  # never all: a bias shows in the loss alone
JOINT_DAYS = 10.0


def pinball(truth: FloatArray, forecast: FloatArray, quantiles: tuple[float, ...]) -> FloatArray:
    """Return the pinball loss per row and level, shape (n_rows, n_quantiles), in MW.

    Source: Koenker & Bassett (1978), Regression Quantiles, Econometrica 46.
    """
    error = truth[:, None] - forecast
    levels = np.asarray(quantiles)[None, :]
    loss: FloatArray = np.maximum(levels * error, (levels - 1.0) * error)
    return loss


def crps(truth: FloatArray, forecast: FloatArray, quantiles: tuple[float, ...]) -> FloatArray:
    """Return the quantile approximation of the CRPS per row, shape (n_rows,), in MW: twice the mean pinball loss.

    Source: Gneiting & Ranjan (2011), eq. 17, with equal weights on the given levels.
    """
    result: FloatArray = 2.0 * pinball(truth, forecast, quantiles).mean(axis=1)
    return result


def usable(truth: FloatArray, forecast: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which rows have a finite truth and finite forecasts, shape (n_rows,)."""
    result: npt.NDArray[np.bool_] = np.isfinite(truth) & np.isfinite(forecast).all(axis=1)
    return result


def long_run_sd(differences: FloatArray) -> float:
    """Return the sd of the daily difference, raised by its correlation from day to day: the scale of tests on its mean.

    sd * sqrt((1 + r) / (1 - r)), r = lag-1 correlation, bias + 1 / n removed, shrunk by n / (n + 10), in [0, 0.5]:
    negative correlation never makes a test bolder. NaN with fewer than two days.
    Source: AR(1) long-run variance, Andrews (1991), Econometrica 59.

    Args:
        differences: daily differences in order, shape (n_days,), finite.
    """
    count = differences.size
    if count < 2:
        return math.nan
    centred = differences - differences.mean()
    total = float((centred**2).sum())
    lagged = float((centred[1:] * centred[:-1]).sum()) / total + 1.0 / count if total > 0 else 0.0
    r = min(max(lagged * count / (count + 10.0), 0.0), 0.5)
    return math.sqrt(total / (count - 1) * (1.0 + r) / (1.0 - r))


@dataclass(frozen=True, slots=True)
class RatioScale:
    """What a backtest says about x = log(candidate's loss of a day / reference's loss of that day).

    Attributes:
        offset: mean of x when both mean losses are equal; one model may be better on most days and worse on bad ones.
        sd: long-run sd of x.
        offset_sd: standard error of the offset.
    """

    offset: float
    sd: float
    offset_sd: float


def ratio_scale(candidate: FloatArray, reference: FloatArray) -> RatioScale | None:
    """Return the scale of the daily log ratio of two models' losses; None with too few days or a day without loss.

    The offset is mean(x) - log(mean candidate / mean reference); its error is that of the mean of x less the
    linearised log ratio of the means (delta method, ratio estimator: Cochran, Sampling Techniques, ch. 6).

    Args:
        candidate: daily mean losses in order, any unit, shape (n_days,).
        reference: the other model's, the same days and unit.
    """
    if candidate.size < LEAST_RATIO_DAYS or not (min(candidate.min(), reference.min()) > 0):
        return None
    x = np.log(candidate / reference)
    linear = candidate / candidate.mean() - reference / reference.mean()
    offset = float(x.mean() - np.log(candidate.mean() / reference.mean()))
    sd, error = long_run_sd(x), long_run_sd(x - linear) / math.sqrt(x.size)
    return RatioScale(offset, sd, error) if 0 < sd < math.inf and math.isfinite(offset) else None


@dataclass(frozen=True, slots=True)
class JointScale:
    """What a backtest says about a day's log ratio of losses mixed with its log ratio of ramp errors (`ramp_error`).

    Attributes:
        weight: share of the ramp errors, one of JOINT_WEIGHTS.
        loss_offset, ramp_offset: what is subtracted from each log ratio. The first as in `RatioScale`; the second is
            the mean of the backtest, never below 0: a candidate with the champion's ramp errors is never held worse.
        sd: long-run sd of the mixture.
        offset_sd: standard error of what is subtracted.
    """

    weight: float
    loss_offset: float
    ramp_offset: float
    sd: float
    offset_sd: float

    def mixed(self, loss: float, ramp: float) -> float:
        """Return the day's number, no unit, from its log ratio of losses and that of ramp errors."""
        return (1.0 - self.weight) * (loss - self.loss_offset) + self.weight * (ramp - self.ramp_offset)


def ramp_error(truth: FloatArray, median: FloatArray) -> float:
    """Return the mean of |change of the error over an hour| of one local day, in MW; NaN without two such points.

    The level of a day's error is luck that both models share little of; its changes within the day are many and nearly
    independent, so they tell a worse model in fewer days. A constant bias does not show in them.

    Args:
        truth: MW, shape (n_points,), in order, evenly spaced over the day; NaN where unknown.
        median: MW, the same shape.
    """
    back = max(1, truth.size // 24)
    changes = np.abs((truth - median)[back:] - (truth - median)[:-back])
    known = changes[np.isfinite(changes)]
    return float(known.mean()) if known.size else math.nan


def joint_scale(losses: tuple[FloatArray, FloatArray], ramps: tuple[FloatArray, FloatArray]) -> JointScale | None:
    """Return the mixture that needs the fewest days; None with too few days or a day without loss or ramp error.

    The weight minimises variance / JOINT_DAYS + offset error^2: a control of one noise by the other, chosen before the
    canary begins. Errors of the offsets as in `ratio_scale`.

    Args:
        losses: daily mean losses in order, candidate's and reference's, any unit, each shape (n_days,).
        ramps: the same of `ramp_error`; days on which it is not a number are left out.

    Raises:
        InvalidInput: losses and ramps of different numbers of days.
    """
    if losses[0].size != ramps[0].size:
        raise InvalidInput(
            "ramp errors of other days", got=ramps[0].size, expected=f"{losses[0].size} days", where="joint scale"
        )
    known = np.isfinite(ramps[0]) & np.isfinite(ramps[1])
    mine, theirs, ramp_mine, ramp_theirs = (part[known] for part in (*losses, *ramps))
    if mine.size < LEAST_RATIO_DAYS or not min(mine.min(), theirs.min(), ramp_mine.min(), ramp_theirs.min()) > 0:
        return None
    loss, ramp = np.log(mine / theirs), np.log(ramp_mine / ramp_theirs)
    linear = mine / mine.mean() - theirs / theirs.mean()
    offset = float(loss.mean() - np.log(mine.mean() / theirs.mean()))
    ramp_offset = max(0.0, float(ramp.mean()))
    found: list[JointScale] = []
    for weight in JOINT_WEIGHTS:
        sd = long_run_sd((1.0 - weight) * loss + weight * ramp)
        error = long_run_sd((1.0 - weight) * (loss - linear) + weight * ramp) / math.sqrt(loss.size)
        found.append(JointScale(weight, offset, ramp_offset, sd, error))
    best = min(found, key=lambda one: one.sd**2 / JOINT_DAYS + one.offset_sd**2)
    return best if 0.0 < best.sd < math.inf and math.isfinite(offset) else None


def score_table(truth: FloatArray, forecast: FloatArray, quantiles: tuple[float, ...]) -> dict[str, float | int | None]:
    """Score a forecast: MAPE, wMAPE, bias (percent), rMAE and rCRPS (over the truth's spread), 80 % coverage (percent).

    rMAE and rCRPS are divided by the distance between the 1 % and the 99 % quantile of the scored truth, so that one
    spike does not flatter a forecast. Source: OpenSTEF 4, `openstef_beam`, the defaults of its rMAE and rCRPS metrics.

    Args:
        truth: MW, shape (n_rows,); NaN where unknown.
        forecast: MW, shape (n_rows, n_quantiles).
        quantiles: levels; must hold 0.5, and 0.1 and 0.9 for coverage.

    Returns:
        mape, wmape, bias_pct, rmae, rcrps, coverage80, mae_mw, n; None where nothing could be scored.
    """
    rows = usable(truth, forecast)
    y, f = truth[rows], forecast[rows]
    names = ("mape", "wmape", "bias_pct", "rmae", "rcrps", "coverage80", "mae_mw")
    if y.size == 0:
        return {**dict.fromkeys(names), "n": 0}
    median = f[:, quantiles.index(0.5)]
    error = median - y
    scale = float(np.abs(y).sum())
    low_mw, high_mw = np.quantile(y, (0.01, 0.99))
    spread = float(high_mw - low_mw)
    nonzero = np.abs(y) > 0
    inside = None
    if 0.1 in quantiles and 0.9 in quantiles:
        low, high = f[:, quantiles.index(0.1)], f[:, quantiles.index(0.9)]
        inside = 100.0 * float(((y >= low) & (y <= high)).mean())
    return {
        "mape": 100.0 * float(np.abs(error[nonzero] / y[nonzero]).mean()) if nonzero.any() else None,
        "wmape": 100.0 * float(np.abs(error).sum()) / scale if scale > 0 else None,
        "bias_pct": 100.0 * float(error.sum()) / scale if scale > 0 else None,
        "rmae": float(np.abs(error).mean()) / spread if spread > 0 else None,
        "rcrps": float(crps(y, f, quantiles).mean()) / spread if spread > 0 else None,
        "coverage80": inside,
        "mae_mw": float(np.abs(error).mean()),
        "n": int(y.size),
    }
