"""Owns reading what the pages show of areas, and keeping it until the ledger or the store says that it changed.

Decides nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from recloser.app.platform import Platform
from recloser.app.verbs import at_time
from recloser.core import LOAD, Panel, instant
from recloser.ledger import ForecastRecord, SignalRecord

BACK = timedelta(hours=48)
"""So far back the newest load of an area is looked for."""
TREND = timedelta(hours=24)
"""So far back trends of the overview reach."""
FRESH = timedelta(minutes=1)
"""So long what was read of the store counts, in a store that nobody wrote to."""
WINDOW_MOVES = timedelta(minutes=10)
"""So long what was read of forecasts counts, while none is written."""
FORECASTS = "forecasts"
"""Name of their table in audit entries."""

Point = tuple[datetime, float, float, float]
"""Start of an interval (aware UTC) and the lowest, middle and highest quantile in MW."""


@dataclass(frozen=True, slots=True)
class AreaForecasts:
    """Newest valid record of an area, whether a newer one was recalled, and the valid points of the window."""

    newest: ForecastRecord | None
    recalled: bool
    points: tuple[Point, ...]


NOTHING = AreaForecasts(None, recalled=False, points=())


class Sight:
    """What is known of the areas now; thread safe.

    Args:
        platform: ledger, store and clock.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._lock = threading.Lock()
        self._length: int | None = None
        self._read_at = datetime.min.replace(tzinfo=UTC)
        self._forecasts: dict[str, AreaForecasts] = {}
        self._load_seen: tuple[int, datetime] | None = None
        self._load = pl.DataFrame(schema={"area": pl.String, "at": pl.Datetime("us", "UTC"), LOAD: pl.Float64})

    def forecasts(self, now: datetime) -> dict[str, AreaForecasts]:
        """Return what is forecast of each area; areas never forecast are absent.

        Raises:
            Unavailable: the ledger cannot be read now.
        """
        with self._lock:
            length = self._platform.ledger.length()
            if self._outdated(length, now):
                self._forecasts, self._read_at = read_forecasts(self._platform, now), now
            self._length = length
            return self._forecasts

    def _outdated(self, length: int, now: datetime) -> bool:
        if self._length is None or not timedelta(0) <= now - self._read_at < WINDOW_MOVES:
            return True
        if length == self._length:
            return False
        written = self._platform.ledger.entries(after=self._length)
        return any(table == FORECASTS for entry in written for table, _, _ in entry.records)

    def load(self, now: datetime) -> pl.DataFrame:
        """Return the usable load of the last two days: area, at, load_mw; sorted by area and at.

        Raises:
            Unavailable: the store cannot be read now.
        """
        with self._lock:
            version = self._platform.store.version()
            seen = self._load_seen
            if seen is None or seen[0] != version or not timedelta(0) <= now - seen[1] < FRESH:
                panel = self._platform.store.read(list(self._platform.areas), [LOAD], now - BACK, as_of=now)
                self._load, self._load_seen = usable(panel), (version, now)
            return self._load


def usable(panel: Panel) -> pl.DataFrame:
    """Return area, at and load_mw of a panel, without what may not be used."""
    wide = panel.wide()
    if LOAD not in wide.columns:
        wide = wide.with_columns(pl.lit(None, dtype=pl.Float64).alias(LOAD))
    return wide.select("area", "at", LOAD).filter(pl.col(LOAD).is_not_null())


def read_forecasts(platform: Platform, now: datetime) -> dict[str, AreaForecasts]:
    """Return the forecasts whose targets reach into the trend's window, and of other areas the newest there was."""
    found = platform.ledger.find(
        ForecastRecord, since=("last_target", now - TREND), order_by="made_at", descending=True
    )
    by_area: dict[str, list[ForecastRecord]] = {}
    for record in found:
        by_area.setdefault(record.area, []).append(record)
    if any(area not in by_area for area in platform.areas):
        last = platform.ledger.find(ForecastRecord, order_by="issued_at", descending=True, limit=1)
        before = [] if not last else platform.ledger.find(ForecastRecord, issued_at=last[0].issued_at)
        known = set(by_area)
        for record in sorted(before, key=lambda record: record.made_at, reverse=True):
            if record.area not in known:
                by_area.setdefault(record.area, []).append(record)
    return {area: forecasts_of(records) for area, records in by_area.items()}


def forecasts_of(records: Sequence[ForecastRecord]) -> AreaForecasts:
    """Return one area's forecasts; `records` are the newest made first."""
    standing = standing_of(records)
    points: dict[datetime, Point] = {}
    for record in records:
        for point in () if record.void else band_of(record):
            points.setdefault(point[0], point)
    return AreaForecasts(standing.newest, standing.recalled, tuple(points[at] for at in sorted(points)))


def standing_of(records: Sequence[ForecastRecord]) -> AreaForecasts:
    """Return the same without the points: which one is the newest, and whether a newer one was recalled."""
    valid = [record for record in records if not record.void]
    newest = max(valid, key=lambda record: (record.issued_at, record.made_at), default=None)
    recalled = any(
        record.void and (newest is None or record.last_target > newest.last_target) and record.replaced_by is None
        for record in records
    )
    return AreaForecasts(newest, recalled, ())


def band_of(record: ForecastRecord, release: str | None = None) -> list[Point]:
    """Return the band of a record in MW, by its targets; of another release that answered too if named."""
    rows = record.answers.get(release or record.release, [])
    middle = record.quantiles.index(0.5) if 0.5 in record.quantiles else len(record.quantiles) // 2
    return [(at_time(at), row[0], row[middle], row[-1]) for at, row in zip(record.targets, rows, strict=False)]


def newest_load(load: pl.DataFrame, resolution: timedelta) -> dict[str, datetime]:
    """Return by area the end of its newest usable interval (aware UTC)."""
    ends = load.group_by("area").agg(pl.col("at").max())
    return {area: at + resolution for area, at in ends.iter_rows()}


def load_points(load: pl.DataFrame, area: str, start: datetime, end: datetime) -> list[tuple[datetime, float]]:
    """Return one area's load in MW by the starts of its intervals in [start, end)."""
    within = pl.col("at").is_between(instant(start), instant(end), closed="left")
    return list(load.filter((pl.col("area") == area) & within).select("at", LOAD).iter_rows())


def loads_by_area(
    load: pl.DataFrame, areas: Sequence[str], start: datetime, end: datetime
) -> dict[str, list[tuple[datetime, float]]]:
    """Return of these areas the load in MW by the starts of their intervals in [start, end), in one pass."""
    within = pl.col("at").is_between(instant(start), instant(end), closed="left")
    rows = load.filter(pl.col("area").is_in(list(areas)) & within).select("area", "at", LOAD)
    found: dict[str, list[tuple[datetime, float]]] = {}
    for area, at, number in rows.iter_rows():
        found.setdefault(area, []).append((at, number))
    return found


def signals_by_area(signals: Sequence[SignalRecord]) -> dict[str, list[SignalRecord]]:
    """Return signals by area; what is about everything or nothing named is under an empty name."""
    found: dict[str, list[SignalRecord]] = {}
    for signal in signals:
        for area in signal.areas or [""]:
            found.setdefault(area, []).append(signal)
    return found


def plain_points(points: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Return points as JSON-ready lists."""
    return [list(point) for point in points]
