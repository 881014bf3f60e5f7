"""Owns the accuracy of the champion's latest forecasts: measured where truth has come, estimated where it has not."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from recloser.app.loop.book import DayBook
from recloser.app.loop.days import ClosedDay
from recloser.app.loop.history import History
from recloser.app.platform import Platform
from recloser.core import LOAD, QUANTILES, FloatArray, InvalidInput
from recloser.ledger import ForecastRecord, RouteRecord, StateRecord
from recloser.monitoring.accuracy import Estimate, accuracy_detail, fit_estimator
from recloser.pipelines import days_off

DAYS = 28
MOST_ROWS = 40_000
COLUMNS = {level: f"q{100 * level:g}" for level in QUANTILES}


def accuracy_lately(platform: Platform) -> dict[str, Any] | None:
    """Return the champion's accuracy of late by area, lead time, kind of day and hour; None before there is any.

    Returns:
        {"champion", "first", "last" (local days), "measured": `accuracy_detail`, "estimate"}: the estimate is what the
        error of forecasts without truth probably is, in percent of the scale ({"measured": false, "absolute_pct",
        "low_pct", "high_pct", "rows"}), from the width of their bands alone, blind to a relation that has changed;
        null with fewer than 28 days of truth. Fewer days than 28 are read for large fleets.
    """
    route = platform.ledger.get(RouteRecord, "route")
    if route is None or route.champion is None:
        return None
    rows = _closed_rows(platform, route.champion)
    if rows is None:
        return None
    zone = platform.horizon.zone.key
    local = rows["at"].dt.convert_time_zone(zone).dt.date()
    first, last = local.min(), local.max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    holidays = days_off(platform.features, range(first.year - 1, last.year + 2))
    return {
        "champion": route.champion,
        "first": first.isoformat(),
        "last": last.isoformat(),
        "measured": accuracy_detail(rows, COLUMNS, zone, holidays),
        "estimate": _estimate(platform, rows, route.champion),
    }


def _closed_rows(platform: Platform, champion: str) -> pl.DataFrame | None:
    """Return the latest closed days that the champion answered, with one column a quantile."""
    state = platform.ledger.get(StateRecord, "days")
    if state is None:
        return None
    now = platform.clock.now()
    a_day = len(platform.areas) * int(timedelta(days=1) / platform.horizon.resolution)
    wanted = sorted(state.state["closed"])[-max(3, min(DAYS + 7, MOST_ROWS // a_day)) :]
    book = DayBook(platform, History(platform.store, platform.areas))
    found = [book.closed(date.fromisoformat(day), now) for day in wanted]
    parts = [_rows_of(one, champion) for one in found if one is not None and champion in one.answers]
    return pl.concat(parts) if parts else None


def _rows_of(closed: ClosedDay, champion: str) -> pl.DataFrame:
    answer = closed.answers[champion]
    columns = {name: pl.Series(np.ascontiguousarray(answer[:, k])) for k, name in enumerate(COLUMNS.values())}
    return closed.rows.select("area", "at", "issued_at", "scale_mw", truth_mw=pl.col(LOAD)).with_columns(**columns)


def _estimate(platform: Platform, rows: pl.DataFrame, champion: str) -> dict[str, Any] | None:
    """Return the estimate for the forecasts that were handed out after the newest closed day, None if there is none."""
    narrow, middle, wide = (rows[name].to_numpy() for name in COLUMNS.values())
    scale, truth = rows["scale_mw"].to_numpy(), rows["truth_mw"].fill_null(float("nan")).to_numpy()
    day = rows["at"].dt.convert_time_zone(platform.horizon.zone.key).dt.date().to_physical().to_numpy()
    try:
        estimator = fit_estimator(day, (wide - narrow) / scale, np.abs(truth - middle) / scale)
    except InvalidInput:
        return None
    newest = rows["at"].max()
    assert isinstance(newest, datetime)
    scales = dict(rows.group_by("area").agg(pl.col("scale_mw").last()).iter_rows())
    estimate = estimator.estimate(_widths(platform, champion, newest, scales))
    return None if estimate is None else _told(estimate)


def _widths(platform: Platform, champion: str, newest: datetime, scales: dict[str, float]) -> FloatArray:
    """Return the widths of the champion's bands after `newest`, in shares of the scale, shape (n_points,)."""
    waiting = platform.ledger.find(
        ForecastRecord, void=False, order_by="made_at", descending=True, limit=4 * len(platform.areas)
    )
    widths = [
        (table[:, -1] - table[:, 0]) / scales[record.area]
        for record in waiting
        if record.targets
        and champion in record.answers
        and scales.get(record.area)
        and datetime.fromisoformat(str(record.targets[0])) > newest
        for table in (np.asarray(record.answers[champion], dtype=np.float64),)
    ]
    return np.concatenate(widths) if widths else np.empty(0)


def _told(estimate: Estimate) -> dict[str, Any]:
    numbers = {"absolute_pct": estimate.absolute, "low_pct": estimate.low, "high_pct": estimate.high}
    told = {name: round(100.0 * number, 4) for name, number in numbers.items()}
    return {"measured": estimate.measured, **told, "rows": estimate.rows}


def accuracy_sentences(accuracy: dict[str, Any] | None) -> list[str]:
    """Return what people are told of `accuracy_lately`."""
    if accuracy is None or accuracy["measured"]["all"] is None:
        return []
    whole, estimate = accuracy["measured"]["all"], accuracy["estimate"]
    error, bias, held = whole["wmape"], whole["bias_pct"], whole["coverage_pct"]
    told = "unknown" if error is None else f"{error:.1f} % of the load"
    span = f"From {accuracy['first']} to {accuracy['last']}"
    lines = [f"{span} its error was {told} (bias {bias:+.1f} %), its 80 % band held {held:.0f} %."]
    if estimate is not None:
        low, middle, high = (f"{estimate[name]:.1f}" for name in ("low_pct", "absolute_pct", "high_pct"))
        lines.append(f"Estimated, not measured: forecasts without truth yet are {middle} % off ({low} to {high}).")
    return lines
