"""Owns making the store's regular series out of the table of readings, interval by interval. Moves no reading."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recloser.app.project.files import replace_file
from recloser.app.project.tables.links import LinksSection
from recloser.connectors.cleaning import Trace, interval_means
from recloser.connectors.points import Point, PointQuality, PointRegistry, nanoseconds
from recloser.core import SAMPLE_SCHEMA, TIME, InvalidInput, Quality, unknown_name
from recloser.core.quantities import conversion, dimension_of
from recloser.store import ReadingTable, Store

SECOND_NS = 1_000_000_000
REVISITED_NS = 7 * 24 * 3600 * SECOND_NS  # a reading that comes later than this changes no series any more
SOURCE = "links"
USED = ("reading", "confirmed", "gap")

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Member:
    """A point that a series is made of, and its device; several are summed."""

    device: str
    point: Point


def series_of(
    registries: Mapping[str, PointRegistry], links: LinksSection, areas: Iterable[str]
) -> dict[Key, list[Member]]:
    """Return (area, quantity) -> the points whose sum it is, for all points with a role that has a quantity.

    Raises:
        InvalidInput: a point with such a role has no area or one that the project does not know, a unit of another
            kind, or there are several of what cannot be summed.
    """
    known, found = set(areas), dict[Key, list[Member]]()
    for device, registry in registries.items():
        for point in registry.points:
            quantity = links.quantities.get(point.role)
            if quantity is None:
                continue
            where = f"point {point.name} of {device}"
            if point.area not in known:
                raise unknown_name("area", point.area, known, where=where)
            conversion(quantity, point.unit, where)
            found.setdefault((point.area, quantity), []).append(Member(device, point))
    for (area, quantity), members in found.items():
        if len(members) > 1 and dimension_of(quantity) != "power":
            raise InvalidInput(
                f"several points for {quantity} of {area}, which cannot be summed",
                got=[f"{member.device}/{member.point.name}" for member in members],
                next_step="Leave one, and give the others the role 'other'.",
            )
    return found


@dataclass(frozen=True, slots=True)
class Cursor:
    """Until when series are made (ns), and up to which record of each stream."""

    closed_ns: int | None = None
    streams: dict[str, int] = field(default_factory=dict)


class SeriesKeeper:
    """Makes the series; killed at any line, it makes the same again, of which the store takes what is new.

    Args:
        table: of readings.
        store: of samples.
        series: what to make; see `series_of`.
        links: how.
        cursor: file.
    """

    def __init__(
        self,
        table: ReadingTable,
        store: Store,
        series: Mapping[Key, list[Member]],
        links: LinksSection,
        cursor: Path,
    ) -> None:
        self._table, self._store, self._series, self._links, self._file = table, store, series, links, cursor
        self._cursor = _read_cursor(cursor)
        self._sure = False
        self.samples = 0

    @property
    def closed_ns(self) -> int | None:
        """Return until when the series are made, ns since 1970 UTC; None before the first reading."""
        return self._cursor.closed_ns

    def tick(self, now: datetime, step: timedelta, earliest_ns: int | None, streams: Mapping[str, int]) -> None:
        """Close the intervals that are over at `now` (aware UTC), and make anew what late readings are about.

        Args:
            now: samples are known from now on.
            step: the store's interval.
            earliest_ns: what the readings moved since the last tick are about, at the earliest; None for none.
            streams: stream -> sequence up to which they were moved.

        Raises:
            Unavailable: table or store cannot now; the next tick makes up for it.
        """
        step_ns = step // timedelta(microseconds=1) * 1_000
        if not self._sure:
            earliest_ns = _least(earliest_ns, self._unmade())
        self._sure = False  # until all is written: after a failure what was moved is looked up again
        closed = self._cursor.closed_ns
        if closed is None:
            if earliest_ns is None:
                self._sure = True
                return
            closed = earliest_ns // step_ns * step_ns
        over_ns = nanoseconds(now) - int(self._links.settle_seconds * SECOND_NS)
        end = max(closed, over_ns // step_ns * step_ns)
        begin = closed if earliest_ns is None else min(closed, earliest_ns // step_ns * step_ns)
        begin = max(begin, end - REVISITED_NS // step_ns * step_ns)
        if begin < end and self._series:
            frame = self._frame(begin, step_ns, (end - begin) // step_ns, now)
            self.samples += self._store.append(frame, SOURCE).accepted
        new = Cursor(end, {**self._cursor.streams, **streams})
        if new != self._cursor:
            replace_file(self._file, json.dumps({"closed_ns": new.closed_ns, "streams": new.streams}).encode())
            self._cursor = new
        self._sure = True

    def _unmade(self) -> int | None:
        """Return what the readings beyond the cursor are about, at the earliest (ns)."""
        rows = self._table.scan().filter(pl.col("kind").is_in(USED))
        known = pl.LazyFrame(
            {"stream": list(self._cursor.streams), "done": list(self._cursor.streams.values())},
            schema={"stream": pl.String, "done": pl.Int64},
        )
        beyond = rows.join(known, on="stream", how="left").filter(pl.col("sequence") > pl.col("done").fill_null(0))
        earliest: Any = beyond.select(pl.col("at_ns").min()).collect().item()
        return None if earliest is None else int(earliest)

    def _frame(self, begin: int, step_ns: int, count: int, now: datetime) -> pl.DataFrame:
        traces = self._traces(begin, begin + step_ns * count)
        at = pl.Series("at", [begin // 1_000 + place * (step_ns // 1_000) for place in range(count)], dtype=pl.Int64)
        frames = []
        for (area, quantity), members in self._series.items():
            total, quality = np.zeros(count), np.zeros(count, dtype=np.int32)
            for member in members:
                made = interval_means(
                    traces[member.device, member.point.name], begin, step_ns, count, self._links.least_covered
                )
                unit = conversion(quantity, member.point.unit)
                total += made.mean * unit.factor + unit.offset
                quality |= made.quality
            absent = ~np.isfinite(total)
            quality[absent] |= int(Quality.MISSING)
            frame = pl.DataFrame(
                {
                    "area": area,
                    "quantity": quantity,
                    "at": at.cast(TIME),
                    "available_at": pl.Series([now] * count, dtype=TIME),
                    "value": pl.Series(total).fill_nan(None),
                    "quality": pl.Series(quality, dtype=pl.Int32),
                    "source": SOURCE,
                }
            )
            frames.append(frame.select(*SAMPLE_SCHEMA))
        return pl.concat(frames)

    def _traces(self, begin: int, end: int) -> dict[tuple[str, str], Trace]:
        """Return what is known of every point of a series, gaps as readings that may not be used."""
        hold_s = self._links.hold_hours * 3600.0
        names: dict[str, list[Point]] = {}
        for members in self._series.values():
            for member in members:
                names.setdefault(member.device, []).append(member.point)
        traces = {}
        for device, points in names.items():
            since, wanted = begin - int(hold_s * SECOND_NS), [point.name for point in points]
            own, gaps = self._table.read(device, wanted, since, end), self._table.read(device, None, since, end, "gap")
            rows = pl.concat([own, gaps]).sort("at_ns", "stream", "sequence", maintain_order=True)
            rows = rows.filter(pl.col("kind").is_in(USED)).with_columns(
                quality=pl.when(pl.col("kind") == "gap").then(int(PointQuality.STALE)).otherwise(pl.col("quality"))
            )
            for point in points:
                own = rows.filter((pl.col("point") == point.name) | (pl.col("kind") == "gap"))
                traces[device, point.name] = Trace(
                    own["at_ns"].to_numpy(),
                    own["number"].fill_null(float("nan")).to_numpy(),
                    own["quality"].to_numpy(),
                    min(hold_s, point.stale_after_s or hold_s),
                )
        return traces


def _least(first: int | None, second: int | None) -> int | None:
    known = [one for one in (first, second) if one is not None]
    return min(known, default=None)


def _read_cursor(file: Path) -> Cursor:
    """Return the cursor, a new one where there is none or it cannot be read: everything is then made again."""
    try:
        raw = json.loads(file.read_bytes())
        return Cursor(raw["closed_ns"], dict(raw["streams"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Cursor()
