"""Owns reading a replay's raw forecasts beside the truth, as the loop would have known them. Scores nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recloser.app import Platform
from recloser.app.loop.book import DayBook
from recloser.app.loop.history import History
from recloser.core import FloatArray, VirtualClock
from recloser.ledger import ForecastRecord

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Series:
    """One area's days in order.

    Attributes:
        area: name.
        days: local days.
        raw, served: medians in MW, before and after the online calibration, shape (n_days, n_steps); NaN where none.
        truth: MW, the same shape; NaN where unknown or not usable.
        scale: MW, shape (n_days,).
        hours: local hour of each step, shape (n_steps,).
    """

    area: str
    days: tuple[date, ...]
    raw: FloatArray
    served: FloatArray
    truth: FloatArray
    scale: FloatArray
    hours: FloatArray


def read_replay(scratch: Path) -> list[Series]:
    """Return the series of a policy's scratch project (`OUT/replay/work/POLICY`), without days of a clock change."""
    with Platform.open(scratch, isolated=True) as probe:
        first, last = (
            probe.ledger.find(ForecastRecord, order_by="issued_at", descending=back, limit=1)[0].issued_at
            for back in (False, True)
        )
    frames = []
    with Platform.open(scratch, clock=VirtualClock(last + 10 * DAY), isolated=True) as platform:
        book = DayBook(platform, History(platform.store, platform.areas))
        zone = platform.horizon.zone
        steps = int(DAY / platform.project.resolution)
        day = first.astimezone(zone).date() + DAY
        while day <= last.astimezone(zone).date() + DAY:
            closed = book.day(day, last + 10 * DAY)
            if closed is not None and closed.champion in closed.answers:
                answer = closed.answers[closed.champion]
                middle = answer.shape[1] // 2
                shift = closed.shifts.get(closed.champion, np.zeros_like(answer))
                frames.append(
                    closed.rows.select("area", "at", "hour", "scale_mw", "load_mw").with_columns(
                        day=pl.lit(day),
                        served=pl.Series(np.ascontiguousarray(answer[:, middle])),
                        raw=pl.Series(np.ascontiguousarray(answer[:, middle] - shift[:, middle])),
                    )
                )
            day += DAY
    whole = pl.concat(frames)
    return [_series(str(area), own, steps) for (area,), own in whole.group_by("area", maintain_order=True)]


def _series(area: str, rows: pl.DataFrame, steps: int) -> Series:
    counted = rows.filter(pl.len().over("day") == steps).sort("at")
    days = counted["day"].unique(maintain_order=True).to_list()
    shape = (len(days), steps)
    table = {
        name: counted[name].cast(pl.Float64).fill_null(float("nan")).to_numpy().reshape(shape)
        for name in ("raw", "served", "load_mw", "scale_mw", "hour")
    }
    return Series(
        area,
        tuple(days),
        table["raw"],
        table["served"],
        table["load_mw"],
        np.nanmean(table["scale_mw"], axis=1),
        table["hour"][0],
    )
