"""Reads the real data sets beside the project into core Panels. Nothing is repaired here."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from recloser.core import SAMPLE_SCHEMA, TIME, Panel, Quality

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def samples(frame: pl.DataFrame, quantity: str, available: pl.Expr, quality: pl.Expr | None = None) -> pl.DataFrame:
    """Return SAMPLE_SCHEMA rows from columns area, at, value."""
    return frame.select(
        pl.col("area").cast(pl.String),
        pl.lit(quantity).alias("quantity"),
        pl.col("at").cast(TIME),
        available.cast(TIME).alias("available_at"),
        pl.col("value").cast(pl.Float64),
        (pl.lit(0) if quality is None else quality).cast(pl.Int32).alias("quality"),
        pl.lit("file").alias("source"),
    ).cast(pl.Schema(SAMPLE_SCHEMA))


def as_panel(parts: list[pl.DataFrame], resolution: timedelta) -> Panel:
    frame = pl.concat(parts).sort("area", "quantity", "at", "available_at")
    latest = frame["available_at"].max()
    assert isinstance(latest, datetime)
    return Panel(frame, resolution, latest)


def victoria() -> Panel:
    """Half-hourly load; the actual temperature stands in for the forecast (known two days ahead)."""
    raw = pl.read_parquet(DATA / "vic_elec_2012_2014.parquet").with_columns(area=pl.lit("VIC"), at=pl.col("utc"))
    half = timedelta(minutes=30)
    load = raw.with_columns(value=pl.col("demand_mwh_per_30min"))
    heat = raw.with_columns(value=pl.col("temperature_c"))
    return as_panel(
        [
            samples(load, "load_mw", pl.col("at") + half),
            samples(heat, "temperature_c", pl.col("at") - timedelta(days=2)),
        ],
        half,
    )


def eia() -> Panel:
    """Hourly load of five areas; rows not OKAY are unusable. The operators' forecast is taken as it is."""
    raw = pl.read_parquet(DATA / "eia930_load_dayahead_5areas_2015_2018.parquet")
    raw = raw.with_columns(area=pl.col("ba").cast(pl.String), at=pl.col("utc_hour_ending") - timedelta(hours=1))
    bad = pl.when(pl.col("category").cast(pl.String) == "OKAY").then(0).otherwise(int(Quality.OUT_OF_RANGE))
    load = raw.with_columns(value=pl.col("demand_mw"))
    other = raw.with_columns(value=pl.col("forecast_da_mw")).filter(pl.col("value").is_not_null())
    return as_panel(
        [
            samples(load, "load_mw", pl.col("at") + timedelta(hours=1), bad),
            samples(other, "incumbent_mw", pl.col("at") - timedelta(days=1)),
        ],
        timedelta(hours=1),
    )
