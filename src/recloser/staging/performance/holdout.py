"""Owns the hold-out evidence, paired daily differences and their uncertainty. Draws no verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import INCUMBENT, LOAD, TEMPERATURE, FloatArray, InvalidInput
from recloser.core.scores import crps

Loss = Callable[[FloatArray], FloatArray]
_BY_ROW = (
    *("champion", "naive", "incumbent", "area", "day", "hour", "holiday", "scale_mw"),
    *("temperature_c", "group", "live"),
)


@dataclass(frozen=True, slots=True, eq=False)
class HoldOut:
    """Answers of all models on rows that neither candidate nor champion was trained on.

    Attributes:
        quantiles: levels, ascending, with 0.5.
        truth: MW, shape (n_rows,); NaN where unknown.
        candidate: MW, shape (n_rows, n_quantiles).
        champion: the same, None before the first.
        naive: seasonal naive, the same shape.
        incumbent: operator's own forecast in MW, shape (n_rows,), or None.
        area: name of every row.
        day: local date of every row, datetime64[D]; daily differences are blocked by it.
        hour: local hour 0..23 of every row.
        holiday: True on public holidays.
        scale_mw: recent level of the row's area; losses are divided by it so that areas pool.
        temperature_c: of every row, NaN where unknown; None without weather.
        group: asset group of every row, empty where there is none; None without groups.
        live: what was handed out for these rows when it mattered, MW, shape (n_rows, n_quantiles), NaN where nothing
            was; None where nobody kept it.

    Raises:
        InvalidInput: an array has another length, or the levels lack 0.5.
    """

    quantiles: tuple[float, ...]
    truth: FloatArray
    candidate: FloatArray
    champion: FloatArray | None
    naive: FloatArray
    incumbent: FloatArray | None
    area: npt.NDArray[Any]
    day: npt.NDArray[np.datetime64]
    hour: npt.NDArray[np.int64]
    holiday: npt.NDArray[np.bool_]
    scale_mw: FloatArray
    temperature_c: FloatArray | None = None
    group: npt.NDArray[Any] | None = None
    live: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.truth)
        for name in _BY_ROW:
            column = getattr(self, name)
            if column is not None and len(column) != n:
                raise InvalidInput("hold-out arrays of different lengths", got=len(column), expected=str(n), where=name)
        if 0.5 not in self.quantiles:
            raise InvalidInput("the gate compares medians", got=self.quantiles, expected="0.5 among the quantiles")

    @classmethod
    def from_frame(
        cls,
        frame: pl.DataFrame,
        zone: ZoneInfo,
        quantiles: tuple[float, ...],
        *,
        candidate: FloatArray,
        champion: FloatArray | None,
        naive: FloatArray,
    ) -> HoldOut:
        """Build it from a feature frame with truth: area, at, load_mw, scale_mw, and incumbent_mw, holiday if there."""
        local = frame["at"].dt.convert_time_zone(str(zone))
        holiday = frame["holiday"].cast(pl.Float64).fill_null(0.0) > 0 if "holiday" in frame.columns else None
        return cls(
            quantiles=quantiles,
            truth=_floats(frame[LOAD]),
            candidate=candidate,
            champion=champion,
            naive=naive,
            incumbent=_floats(frame[INCUMBENT]) if INCUMBENT in frame.columns else None,
            area=frame["area"].to_numpy(),
            day=local.dt.date().to_numpy().astype("datetime64[D]"),
            hour=local.dt.hour().to_numpy().astype(np.int64),
            holiday=np.zeros(frame.height, dtype=bool) if holiday is None else holiday.to_numpy(),
            scale_mw=_floats(frame["scale_mw"]),
            temperature_c=_floats(frame[TEMPERATURE]) if TEMPERATURE in frame.columns else None,
        )

    def with_live(self, live: FloatArray | None) -> HoldOut:
        """Return it with what was handed out for the rows when it mattered."""
        return replace(self, live=live)

    def with_groups(self, groups: Mapping[str, Sequence[str]]) -> HoldOut:
        """Return it with the asset group of every row; `groups` names the areas of each, the first one counts."""
        if not groups:
            return self
        group_of = {area: name for name, areas in reversed(list(groups.items())) for area in areas}
        return replace(self, group=np.array([group_of.get(area, "") for area in self.area.tolist()], dtype=object))

    def scale(self) -> FloatArray:
        """Return the level that losses are divided by, MW; an area's mean |truth| where none was known."""
        good = np.isfinite(self.scale_mw) & (self.scale_mw > 0)
        scale = np.where(good, self.scale_mw, 1.0)
        for name in np.unique(self.area[~good]):
            rows = (self.area == name) & np.isfinite(self.truth)
            level = float(np.abs(self.truth[rows]).mean()) if rows.any() else 0.0
            scale[(self.area == name) & ~good] = level if level > 0 else 1.0
        return scale

    def median(self, forecast: FloatArray) -> FloatArray:
        """Return the median column of a quantile forecast."""
        column: FloatArray = forecast[:, self.quantiles.index(0.5)]
        return column

    def loss(self, forecast: FloatArray) -> FloatArray:
        """Return the CRPS over the area's level per row; NaN where truth or forecast is not finite."""
        rows = np.isfinite(self.truth) & np.isfinite(forecast).all(axis=1)
        result = np.full(len(self.truth), np.nan)
        result[rows] = crps(self.truth[rows], forecast[rows], self.quantiles) / self.scale()[rows]
        return result

    def point_loss(self, forecast: FloatArray) -> FloatArray:
        """Return |forecast - truth| over the area's level per row; `forecast` has shape (n_rows,)."""
        result: FloatArray = np.abs(forecast - self.truth) / self.scale()
        return result


@dataclass(frozen=True, slots=True)
class PairedDays:
    """Two models' daily losses on the rows that both answered.

    Attributes:
        days: local dates, ascending.
        difference: mean of (first - second) per day, in loss over level.
        reference: mean loss of the second per day.
        rows: rows per day.
    """

    days: npt.NDArray[np.datetime64]
    difference: FloatArray
    reference: FloatArray
    rows: npt.NDArray[np.int64]

    def relative(self) -> float:
        """Return the mean difference over the mean reference loss; NaN without days or with a perfect reference."""
        level = float(self.reference.mean()) if self.reference.size else 0.0
        return float(self.difference.mean()) / level if level > 0 else (0.0 if self._equal() else float("nan"))

    def _equal(self) -> bool:
        return self.difference.size > 0 and bool((self.difference == 0).all())


def paired_days(first: FloatArray, second: FloatArray, day: npt.NDArray[np.datetime64]) -> PairedDays:
    """Pair per-row losses by day; a row that one lacks leaves both, a day with under half the usual rows drops."""
    both = np.isfinite(first) & np.isfinite(second)
    days, index = np.unique(day[both], return_inverse=True)
    rows = np.bincount(index, minlength=days.size)
    size = np.maximum(rows, 1)
    difference = np.bincount(index, first[both] - second[both], minlength=days.size) / size
    reference = np.bincount(index, second[both], minlength=days.size) / size
    full = rows >= (np.median(rows) / 2 if rows.size else 0)
    return PairedDays(days[full], difference[full], reference[full], rows[full])


def bootstrap_means(daily: FloatArray, *, block: int, draws: int, seed: int) -> FloatArray:
    """Return means of resampled days by the circular moving-block bootstrap, shape (draws, n_columns).

    Args:
        daily: in order of time, shape (n_days, n_columns), n_days >= 1; a row's columns stay together.
        block: days per block, at most a third of the days: fewer than three blocks say nothing of the spread.
        draws: bootstrap samples.
        seed: equal seeds give equal samples.

    Source: Kuensch (1989), Annals of Statistics 17; circular form of Politis & Romano (1992).
    """
    n = len(daily)
    block = min(block, max(1, n // 3))
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, n, size=(draws, -(-n // block)))
    # Sums of whole blocks by a running sum; the last block is cut to the number of days still missing.
    rest = n - (starts.shape[1] - 1) * block
    running = np.concatenate([np.zeros((1, daily.shape[1])), np.cumsum(np.concatenate([daily, daily]), axis=0)])
    whole = running[starts[:, :-1] + block] - running[starts[:, :-1]]
    last = running[starts[:, -1] + rest] - running[starts[:, -1]]
    result: FloatArray = (whole.sum(axis=1) + last) / n
    return result


def bootstrap_bounds(daily: FloatArray, *, block: int, draws: int, seed: int, confidence: float) -> tuple[float, float]:
    """Return one-sided lower and upper bounds of the mean of daily numbers, shape (n_days,), by `bootstrap_means`.

    Args:
        daily: one number per day, in order of time, n_days >= 1.
        block: days per block, at most a third of the days.
        draws: bootstrap samples.
        seed: equal seeds give equal bounds.
        confidence: of each bound on its own.
    """
    means = bootstrap_means(daily[:, None], block=block, draws=draws, seed=seed)[:, 0]
    low, high = np.quantile(means, [1.0 - confidence, confidence])
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class PairScale:
    """What later tiers need to know about one pair of candidate and champion.

    Attributes:
        loss: what `sd_day` is about: 'crps_over_scale'.
        sd_day: sd of the daily difference, all areas pooled; scale of the betting test.
        sd_day_by_area: the same per area.
        divergence_q99, divergence_q999: quantiles of |candidate - champion| (medians) over the area's level.
        days: days it rests on.
    """

    loss: str
    sd_day: float
    sd_day_by_area: dict[str, float]
    divergence_q99: float
    divergence_q999: float
    days: int

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return asdict(self)


def pair_scale(holdout: HoldOut) -> PairScale | None:
    """Return the scales of the pair; None without a champion or with fewer than two common days."""
    if holdout.champion is None:
        return None
    candidate, champion = holdout.loss(holdout.candidate), holdout.loss(holdout.champion)
    pairs = paired_days(candidate, champion, holdout.day)
    gap = np.abs(holdout.median(holdout.candidate) - holdout.median(holdout.champion)) / holdout.scale()
    gap = gap[np.isfinite(gap)]
    if pairs.days.size < 2 or gap.size == 0:
        return None
    by_area = {}
    for name in np.unique(holdout.area):
        rows = holdout.area == name
        own = paired_days(candidate[rows], champion[rows], holdout.day[rows])
        if own.days.size >= 2:
            by_area[str(name)] = float(own.difference.std(ddof=1))
    q99, q999 = np.quantile(gap, [0.99, 0.999])
    sd = float(pairs.difference.std(ddof=1))
    return PairScale("crps_over_scale", sd, by_area, float(q99), float(q999), int(pairs.days.size))


def _floats(column: pl.Series) -> FloatArray:
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
