"""Owns what was handed out for rows of the hold-out when it mattered. Judges nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from recloser.core import TIME, FloatArray, parse_utc
from recloser.ledger import ForecastRecord, Ledger


def handed_out(ledger: Ledger, rows: pl.DataFrame, window: timedelta) -> FloatArray | None:
    """Return the answers that left the gateway for these rows, whoever gave them.

    Args:
        ledger: holds the forecasts.
        rows: area, issued_at, at; of one hold-out.
        window: how far back from the newest row to look.

    Returns:
        MW, shape (n_rows, n_quantiles), NaN where nothing valid was handed out; None where nothing was at all.
    """
    newest = rows["at"].max()
    if not isinstance(newest, datetime):
        return None
    found = ledger.find(ForecastRecord, since=("last_target", newest - window), order_by="made_at", void=False)
    table = {
        (record.area, record.issued_at, parse_utc(str(at), "forecast") if not isinstance(at, datetime) else at): answer
        for record in found
        for at, answer in zip(record.targets, record.answers.get(record.release, ()), strict=False)
    }
    if not table:
        return None
    width = len(next(iter(table.values())))
    keys = pl.DataFrame(list(table), schema={"area": pl.String, "issued_at": TIME, "at": TIME}, orient="row")
    numbered = keys.with_columns(place=pl.int_range(pl.len()))
    places = rows.select("area", "issued_at", "at").join(
        numbered, on=["area", "issued_at", "at"], how="left", maintain_order="left"
    )["place"]
    answers = np.vstack([np.asarray(list(table.values()), dtype=np.float64), np.full((1, width), np.nan)])
    result: FloatArray = answers[places.fill_null(len(table)).to_numpy()]
    return result if np.isfinite(result).any() else None
