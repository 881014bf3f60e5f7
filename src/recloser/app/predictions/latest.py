"""Owns what gateways have answered of late, by request and area, from their logs and the store. Moves nothing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from recloser.app.predictions.rows import rows_of
from recloser.core import Unavailable
from recloser.serving.log import identity_of, read_segment, segments
from recloser.store import PREDICTION_SCHEMA, PredictionTable

LARGEST = 32 * 1024 * 1024
"""So many bytes of each gateway's log, the newest, are read."""
KEY = ("stream", "sequence", "area")
COLUMNS = (*KEY, "request_id", "asked", "made_at", "latency_us", "served_by", "release", "reason", "fault")
TOLD = ("request_id", "asked", "release", "area", "served_by")
"""Columns that a search looks into."""


def latest_answers(predictions: Path, since: datetime, now: datetime) -> pl.DataFrame:
    """Return one row for each area of each request that was answered in [since, now] (aware UTC), newest first.

    Args:
        predictions: folder of the logs and the table.
        since: the first instant (aware UTC).
        now: the last (aware UTC).

    Returns:
        stream, sequence, area, request_id, asked, made_at, latency_us, served_by, release, reason, fault.

    Raises:
        Unavailable: logs or table cannot be read now.
    """
    logged = [_of_log(folder, now) for folder in _folders(predictions / "log")]
    stored = PredictionTable(predictions).scan() if (predictions / "predictions").exists() else None
    parts = [rows.lazy() for rows in logged] + ([] if stored is None else [stored])
    if not parts:
        return pl.DataFrame(schema={name: PREDICTION_SCHEMA[name] for name in COLUMNS})
    wanted = [
        part.filter((pl.col("kind") == "answer") & (pl.col("made_at") >= since) & (pl.col("made_at") <= now))
        .filter(pl.col("row") == 0)
        .select(COLUMNS)
        for part in parts
    ]
    try:
        rows = pl.concat(wanted).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Unavailable("what was answered cannot be read", got=str(error)[:200], where=str(predictions)) from error
    # a row each model that answered; a segment that is being moved is met in both places
    merged = rows.group_by(KEY).agg(pl.exclude("fault").first(), pl.col("fault").filter(pl.col("fault") != "").first())
    return merged.select(COLUMNS).sort("made_at", "stream", "sequence", "area", descending=[True, True, True, False])


def latencies(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return by release how long its requests took, from decoded rows to decision: quantiles in ms, most asked first.

    Args:
        rows: of `latest_answers`; a request counts once for each release that answered any of its areas.
    """
    requests = rows.unique(["stream", "sequence", "release"])
    by_release = requests.group_by("release").agg(
        pl.len().alias("requests"),
        *(
            (pl.col("latency_us").quantile(level, "higher") / 1000.0).alias(f"p{round(100 * level)}_ms")
            for level in (0.5, 0.95, 0.99)
        ),
        (pl.col("latency_us").max() / 1000.0).alias("max_ms"),
    )
    return by_release.sort("requests", "release", descending=[True, False]).to_dicts()


def found_in(rows: pl.DataFrame, text: str) -> pl.DataFrame:
    """Return the rows in which a text stands: request id, model asked for, release, area, or who served."""
    if not text:
        return rows
    found = [pl.col(name).fill_null("").str.contains(text, literal=True) for name in TOLD]
    return rows.filter(pl.any_horizontal(found))


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _of_log(folder: Path, now: datetime) -> pl.DataFrame:
    """Return the rows of the newest segments of one gateway's log; what is moved meanwhile is in the table."""
    parts, size = [pl.DataFrame(schema=PREDICTION_SCHEMA)], 0
    for segment in reversed(segments(folder)):
        try:
            content = segment.read()
        except Unavailable:  # moved between the listing and now
            continue
        size += len(content)
        if size > LARGEST:
            break
        parts.append(rows_of(identity_of(folder), read_segment(segment, content), segment.first, None, now))
    return pl.concat(parts)
