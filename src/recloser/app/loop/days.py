"""Owns closed days: joins what was forecast for a local day with what came true. Pure but for reading the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import LOAD, FloatArray, Horizon, Panel, instants, local_midnight
from recloser.ledger import ForecastRecord, Ledger


@dataclass(frozen=True, slots=True)
class AreaForecast:
    """One area's first forecast of a day with the truth beside it.

    Attributes:
        area: name.
        issued_at: the issue (aware UTC).
        champion: release that served the area as champion; empty where another one did.
        answers: model -> MW, shape (n_points, n_quantiles).
        truth: MW, shape (n_points,), NaN where unknown or not usable.
        targets: interval starts (aware UTC).
    """

    area: str
    issued_at: datetime
    answers: dict[str, FloatArray]
    truth: FloatArray
    targets: tuple[datetime, ...]
    quantiles: tuple[float, ...]
    champion: str = ""


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """One local day with forecasts and truth side by side.

    Attributes:
        day: local day.
        rows: area, at, issued_at, scale_mw, hour (local), load_mw; sorted by area and at.
        answers: model -> MW, shape (n_rows, n_quantiles), as handed out or shadowed; NaN where it did not answer.
        shifts: release -> MW that online calibration had added, shape (n_rows, n_quantiles).
        champion: release that served as champion; empty where none did.
    """

    day: date
    rows: pl.DataFrame
    answers: dict[str, FloatArray]
    shifts: dict[str, FloatArray]
    champion: str = ""

    @property
    def truth_mw(self) -> FloatArray:
        """Return the load in MW, shape (n_rows,); NaN where it is unknown."""
        return self.rows["load_mw"].fill_null(float("nan")).to_numpy().astype(np.float64)

    def median_mw(self, name: str) -> FloatArray:
        """Return a model's median in MW, shape (n_rows,); NaN where it did not answer, or is not there at all."""
        answer = self.answers.get(name)
        return np.full(self.rows.height, np.nan) if answer is None else answer[:, answer.shape[1] // 2].copy()

    def places(self) -> dict[str, npt.NDArray[np.uint32]]:
        """Return area -> positions of its rows, areas in the order of the rows."""
        rows = self.rows.with_row_index("row").group_by("area", maintain_order=True).agg(pl.col("row"))
        return {area: found.to_numpy() for area, found in zip(rows["area"].to_list(), rows["row"], strict=True)}


def forecasts_of(ledger: Ledger, horizon: Horizon, day: date) -> list[ForecastRecord]:
    """Return the first forecasts for the local day, one per area; re-issues after a recall are left out."""
    records = ledger.find(ForecastRecord, first_target=local_midnight(day, horizon.zone), order_by="made_at")
    first: dict[str, ForecastRecord] = {}
    for record in records:
        first.setdefault(record.area, record)
    return [first[area] for area in sorted(first)]


def truth_of(panel: Panel, areas: Sequence[str], targets: Sequence[datetime]) -> dict[str, FloatArray]:
    """Return area -> usable load in MW at the targets, NaN where unknown, shape (n_targets,)."""
    wide = panel.wide()
    empty = np.full(len(targets), np.nan)
    if LOAD not in wide.columns:
        return dict.fromkeys(areas, empty)
    keys = instants("at", targets)
    grid = pl.DataFrame({"area": np.repeat(list(areas), len(targets)), "at": pl.concat([keys] * len(areas))})
    joined = grid.join(wide.select("area", "at", LOAD), on=["area", "at"], how="left", maintain_order="left")
    table = joined[LOAD].fill_null(float("nan")).to_numpy().astype(np.float64).reshape(len(areas), len(targets))
    return dict(zip(areas, table, strict=True))


def closed_day(records: Sequence[ForecastRecord], panel: Panel, horizon: Horizon, day: date) -> list[AreaForecast]:
    """Return forecasts and truth of the local day, by area; `panel` is as of now and covers the day."""
    start = local_midnight(day, horizon.zone)
    targets = horizon.targets(horizon.issue_on(day - timedelta(days=1))) if horizon.days == 1 else []
    steps = tuple(targets) or tuple(_grid(start, local_midnight(day + timedelta(days=1), horizon.zone), horizon))
    truths = truth_of(panel, [record.area for record in records], steps)
    result = []
    for record in records:
        count = min(len(steps), len(record.targets))
        answers = {name: np.asarray(rows, dtype=np.float64)[:count] for name, rows in record.answers.items()}
        result.append(
            AreaForecast(
                record.area,
                record.issued_at,
                answers,
                truths[record.area][:count],
                steps[:count],
                tuple(record.quantiles),
                record.release if record.served_by == "champion" else "",
            )
        )
    return result


def _grid(start: datetime, end: datetime, horizon: Horizon) -> list[datetime]:
    steps = int((end - start) / horizon.resolution)
    return [start + k * horizon.resolution for k in range(steps)]
