"""Owns conformal calibration: offsets that make stated coverage true on recent out-of-sample rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import FloatArray, InvalidInput, ModelRows
from recloser.models.model import FEW, age_days, checked_quantiles, column, ordered, ordered_row

BLOCKS = 6
PRIOR_DAYS = 4.0
HALF_LIFE = timedelta(days=15)
FOLLOW_DAYS = 14.0
FOLLOW_SHARE = 0.5
FOLLOW_LIMIT = 0.1


Offsets = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Offsets per area, block of the local day and quantile, in units of the row's scale_mw.

    Attributes:
        quantiles: levels.
        offsets: (n_blocks, n_quantiles), of areas without their own; block b covers local hours
            [24 b / n_blocks, 24 (b + 1) / n_blocks).
        areas: area -> its own offsets, of the same shape.
        rows: residuals behind it.
    """

    quantiles: tuple[float, ...]
    offsets: Offsets
    areas: Mapping[str, Offsets] = field(default_factory=dict)
    rows: int = 0
    _tables: FloatArray = field(init=False, repr=False, compare=False)
    _which: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            tables = np.asarray([self.offsets, *self.areas.values()], dtype=np.float64)
        except ValueError as error:
            raise InvalidInput("a calibration of another shape", expected="blocks x quantiles") from error
        object.__setattr__(self, "_tables", tables)
        object.__setattr__(self, "_which", {name: index + 1 for index, name in enumerate(self.areas)})

    @classmethod
    def none(cls, quantiles: tuple[float, ...]) -> Calibration:
        """Return the calibration that changes nothing."""
        return cls(checked_quantiles(quantiles), ((0.0,) * len(quantiles),) * BLOCKS)

    def apply(self, rows: pl.DataFrame, forecast: FloatArray) -> FloatArray:
        """Return the shifted forecast in MW, non-crossing; rows with an unknown scale become NaN.

        Args:
            rows: columns area, scale_mw (MW) and hour (local) or at.
            forecast: MW, shape (n_rows, n_quantiles).
        """
        return ordered(forecast + self.shift_mw(rows))

    def shift_mw(self, rows: pl.DataFrame) -> FloatArray:
        """Return what `apply` adds before ordering, MW, shape (n_rows, n_quantiles); NaN where the scale is unknown."""
        which = np.zeros(rows.height, dtype=np.int64)
        if self.areas:
            which = rows["area"].replace_strict(self._which, default=0, return_dtype=pl.Int64).to_numpy()
        shift: FloatArray = self._tables[which, block_of(rows, len(self.offsets))] * column(rows, "scale_mw")[:, None]
        return shift

    def apply_rows(self, rows: ModelRows, forecast: FloatArray) -> FloatArray:
        """Return the same bits as `apply` of the same rows, without a data frame.

        Raises:
            InvalidInput: the rows have neither scale_mw, nor hour or at.
        """
        if len(rows) <= FEW:
            return self._apply_few(rows, forecast)
        which = [self._which.get(area, 0) for area in rows.areas] if self.areas else [0] * len(rows)
        shift = self._tables[which, _blocks(_hours(rows), len(self.offsets))] * rows.column("scale_mw")[:, None]
        return ordered(forecast + shift)

    def _apply_few(self, rows: ModelRows, forecast: FloatArray) -> FloatArray:
        blocks, own = len(self.offsets), self.areas
        hours, scales = _hours(rows).tolist(), rows.column("scale_mw").tolist()
        result = np.empty(forecast.shape)
        for index, row in enumerate(forecast.tolist()):
            hour = hours[index]
            block = 0 if isnan(hour) else int(min(max(hour * blocks / 24.0, 0.0), blocks - 1.0))
            table = own.get(rows.areas[index], self.offsets) if own else self.offsets
            scale = scales[index]
            result[index] = ordered_row([mw + by * scale for mw, by in zip(row, table[block], strict=True)])
        return result

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "quantiles": list(self.quantiles),
            "offsets": [list(row) for row in self.offsets],
            "areas": {name: [list(row) for row in table] for name, table in self.areas.items()},
            "rows": self.rows,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Rebuild it from `to_dict`.

        Raises:
            InvalidInput: a field is absent or of another shape.
        """
        try:
            areas = {str(name): _offsets(table) for name, table in data["areas"].items()}
            built = cls(
                checked_quantiles(tuple(data["quantiles"])), _offsets(data["offsets"]), areas, int(data["rows"])
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput("an unreadable calibration", got=repr(error)) from error
        shapes = {(len(table), *(len(row) for row in table)) for table in (built.offsets, *areas.values())}
        blocks = len(built.offsets)
        if not blocks or shapes != {(blocks, *([len(built.quantiles)] * blocks))}:
            raise InvalidInput("a calibration of another shape", got=sorted(shapes), expected="blocks x quantiles")
        return built


def _offsets(table: Any) -> Offsets:
    return tuple(tuple(float(x) for x in row) for row in table)


def block_of(rows: pl.DataFrame, blocks: int) -> npt.NDArray[np.int64]:
    """Return the block of the local day of each row; column 'hour' is local, without it the UTC hour of 'at' serves."""
    hour = column(rows, "hour") if "hour" in rows.columns else column(rows.select(pl.col("at").dt.hour()), "at")
    return _blocks(hour, blocks)


def _blocks(hour: FloatArray, blocks: int) -> npt.NDArray[np.int64]:
    scaled = np.nan_to_num(hour) * blocks / 24.0
    result: npt.NDArray[np.int64] = np.minimum(np.maximum(scaled, 0), blocks - 1).astype(np.int64)
    return result


def _hours(rows: ModelRows) -> FloatArray:
    if "hour" in rows.names:
        return rows.column("hour")
    if rows.at_us is None:
        raise InvalidInput("rows without a local hour or a target", expected="column 'hour' or 'at'")
    hours: FloatArray = (rows.at_us // 3_600_000_000 % 24).astype(np.float64)
    return hours


def fit_calibration(
    rows: pl.DataFrame,
    truth: FloatArray,
    forecast: FloatArray,
    quantiles: tuple[float, ...],
    half_life: timedelta | None = None,
) -> Calibration:
    """Fit offsets on rows that the model was not trained on; the median stays where it is.

    Each quantile's offset is the conformal quantile of (truth - forecast) / scale over the block, shrunk towards
    that of the whole day where the block is thin; so for each area, shrunk towards the fleet.

    Args:
        rows: columns area, scale_mw, hour or at, and issued_at.
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
    half_life: timedelta | None = HALF_LIFE,
    follow_share: float = FOLLOW_SHARE,
) -> Calibration:
    """Return the calibration for the next issue from a rolling window of recent rows whose truth became known.

    Pure. `forecast` is what the model answered *before* this calibration (the model's own `predict`), so that the
    result replaces the old one and errors do not add up. The old one is the prior: where rows are few, it stays.
    The median follows a share of the bias of the newest `FOLLOW_DAYS` days, never more than `FOLLOW_LIMIT`.

    Args:
        calibration: in force now.
        rows: the window (60 days), columns as in `fit_calibration`.
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
    pooled = _table(calibration.offsets, calibration.quantiles, known, (residual, weight), follow_share)
    areas = dict(calibration.areas)
    for (name,), index in known.with_row_index("row").group_by(["area"], maintain_order=True):
        mine = index["row"].to_numpy()
        prior = _blended(calibration.areas.get(str(name)), pooled)
        part = (residual[mine], weight[mine])
        areas[str(name)] = _table(prior, calibration.quantiles, known[mine], part, follow_share)
    return Calibration(calibration.quantiles, pooled, dict(sorted(areas.items())), int(use.sum()))


def follow(calibration: Calibration, rows: pl.DataFrame, truth: FloatArray, forecast: FloatArray) -> Calibration:
    """Return the calibration moved along with the bias of the newest `FOLLOW_DAYS` days; the widths stay.

    The cheap part of `recalibrate`, for the days between two of them. Arguments as there; older rows are ignored.
    """
    scale = column(rows, "scale_mw")
    median = calibration.quantiles.index(0.5)
    use = np.isfinite(truth) & np.isfinite(forecast).all(axis=1) & (scale > 0) & (age_days(rows) < FOLLOW_DAYS)
    if not use.any():
        return calibration
    known = rows.select("area", "issued_at").filter(use)
    known = known.with_columns(residual=(truth[use] - forecast[use, median]) / scale[use])
    told = [pl.col("residual").median(), pl.col("issued_at").n_unique()]
    biases = {
        area: FOLLOW_SHARE * _within_limit(bias, days)
        for area, bias, days in known.group_by("area").agg(told).iter_rows()
    }
    areas = {name: _moved(table, median, biases.get(name)) for name, table in calibration.areas.items()}
    pooled = _moved(calibration.offsets, median, FOLLOW_SHARE * _within_limit(*known.select(told).row(0)))
    return replace(calibration, offsets=pooled, areas=areas)


def _within_limit(bias: float, days: int) -> float:
    """Return a recent bias within the limit; 0 where there are fewer than three issues."""
    return float(np.clip(bias, -FOLLOW_LIMIT, FOLLOW_LIMIT)) if days >= 3 else 0.0


def _moved(table: Offsets, median: int, bias: float | None) -> Offsets:
    """Return the offsets with their median on `bias`, all levels moved by as much; None leaves them."""
    if bias is None:
        return table
    offsets = np.asarray(table)
    return _offsets(offsets + (bias - offsets[:, median])[:, None])


def _blended(own: Offsets | None, pooled: Offsets) -> Offsets:
    """Return the prior of an area: half its own last offsets, half the fleet's."""
    return pooled if own is None else _offsets((np.asarray(own) + np.asarray(pooled)) / 2.0)


def _table(
    prior: Offsets,
    levels: tuple[float, ...],
    rows: pl.DataFrame,
    evidence: tuple[FloatArray, FloatArray],
    follow_share: float,
) -> Offsets:
    """Return offsets per block from (residual, weight) of the rows, pulled to `prior` while rows are few."""
    residual, weight = evidence
    start = np.asarray(prior)
    block = block_of(rows, start.shape[0])
    per_day = weight.size / rows["issued_at"].n_unique()
    whole = _shrunk(residual, weight, levels, start.mean(axis=0), per_day)
    offsets = np.empty_like(start)
    for index in range(start.shape[0]):
        mine = block == index
        offsets[index] = _shrunk(residual[mine], weight[mine], levels, whole, per_day / start.shape[0])
    median = levels.index(0.5)
    offsets[:, median] = follow_share * _recent_bias(rows, residual[:, median])
    return _offsets(offsets)


def _recent_bias(rows: pl.DataFrame, residual: FloatArray) -> float:
    """Return the median residual of the newest days within the limit; 0 where there are fewer than three issues."""
    recent = age_days(rows) < FOLLOW_DAYS
    days = rows.filter(recent)["issued_at"].n_unique()
    return _within_limit(float(np.median(residual[recent])), days) if days else 0.0


def _weights(rows: pl.DataFrame, half_life: timedelta | None) -> FloatArray:
    if half_life is None:
        return np.ones(rows.height)
    result: FloatArray = 0.5 ** (age_days(rows) / (half_life / timedelta(days=1)))
    return result


def _shrunk(
    residual: FloatArray, weight: FloatArray, quantiles: tuple[float, ...], prior: FloatArray, per_day: float
) -> FloatArray:
    """Return per-level weighted conformal quantiles of the residuals, pulled to `prior` while days are few.

    Rows of one day err together, so days count, not rows: `per_day` rows make one.
    """
    days = float(weight.sum()) / per_day
    if days <= 0.0:
        return prior
    found = np.array([conformal_quantile(residual[:, k], weight, q) for k, q in enumerate(quantiles)])
    share = days / (days + PRIOR_DAYS)
    result: FloatArray = share * found + (1.0 - share) * prior
    return result


def conformal_quantile(residual: FloatArray, weight: FloatArray, level: float) -> float:
    """Return the weighted quantile of residuals with one unit of weight added beyond the far end.

    For levels above one half the added weight lies at the top, below at the bottom, so the interval is never
    narrower than the plain empirical one; at the median none is added.
    """
    extra = 0.0 if level == 0.5 else 1.0
    if (weight == 1.0).all():  # the usual case in training: no need to sort
        target = level * (residual.size + extra) - (extra if level < 0.5 else 0.0)
        index = min(max(math.ceil(target) - 1, 0), residual.size - 1)
        return float(np.partition(residual, index)[index])
    order = np.argsort(residual, kind="stable")
    share = np.cumsum(weight[order])
    target = level * (share[-1] + extra) - (extra if level < 0.5 else 0.0)
    index = int(np.searchsorted(share, target, side="left"))
    return float(residual[order[min(max(index, 0), order.size - 1)]])
