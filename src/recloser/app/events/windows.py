"""Owns the windows that a project has looked at: their features by day, as files that appear whole. Judges none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from recloser.core import Unavailable, instant
from recloser.features.phasors import PHASOR_FEATURES

LIVE, DRILL = "live", "drill"
SEEN_SCHEMA: dict[str, Any] = {
    "at": pl.Datetime("us", "UTC"),
    "origin": pl.String(),
    "event": pl.String(),
    **dict.fromkeys(PHASOR_FEATURES, pl.Float32()),
}
"""One row is one window: its end, 'live' or 'drill', the event of a drill, and its features."""
MERGE_FROM = 50


class WindowStore:
    """Windows in files below a folder, one folder a UTC day; several processes may write and read.

    Args:
        root: folder of all days.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._number = root, 0

    def append(self, rows: pl.DataFrame) -> None:
        """Keep windows; durable once this returns. A window that comes twice is kept once.

        Raises:
            Unavailable: the disk takes nothing; nothing was kept of what is not on it.
        """
        if rows.is_empty():
            return
        dated = rows.with_columns(pl.col("at").dt.date().alias("_day"))
        for (day,), part in dated.partition_by("_day", as_dict=True, include_key=False).items():
            self._write(str(day), part.select(list(SEEN_SCHEMA)))

    def _write(self, day: str, rows: pl.DataFrame) -> None:
        folder = self._root / day
        self._number += 1
        first: Any = rows["at"].min()
        name = f"{first:%H%M%S%f}-{os.getpid()}-{self._number}.parquet"
        draft = folder / f".{name}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                rows.write_parquet(file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(folder / name)
        except OSError as error:
            raise Unavailable("windows cannot be kept", got=error.strerror, where=str(folder)) from error

    def read(self, start: datetime, end: datetime) -> pl.DataFrame:
        """Return the windows whose ends lie in [start, end), each once, by origin and time.

        Raises:
            Unavailable: a file cannot be read.
        """
        last = (end - timedelta(microseconds=1)).date()
        days = [start.date() + timedelta(days=n) for n in range((last - start.date()).days + 1)]
        files = [path for day in days for path in self._files(day)]
        if not files:
            return pl.DataFrame(schema=SEEN_SCHEMA)
        try:
            rows = pl.concat([pl.read_parquet(path) for path in files])
        except (OSError, pl.exceptions.PolarsError) as error:
            raise Unavailable("windows cannot be read", got=str(error)[:200], where=str(self._root)) from error
        rows = rows.filter(pl.col("at").is_between(instant(start), instant(end), closed="left"))
        return rows.unique(["at", "origin", "event"], keep="first").sort("origin", "event", "at")

    def _files(self, day: date) -> Sequence[Path]:
        return sorted((self._root / day.isoformat()).glob("[0-9]*.parquet"))

    def days(self) -> list[date]:
        """Return the UTC days of which there are windows, in order."""
        names = [path.name for path in self._root.glob("????-??-??")] if self._root.exists() else []
        return sorted(date.fromisoformat(name) for name in names)

    def tidy(self, today: date, keep_days: int) -> None:
        """Merge the files of past days, and give up those of more than `keep_days` ago.

        Raises:
            Unavailable: the disk did not allow it; the same call may be repeated.
        """
        for day in self.days():
            files = self._files(day)
            try:
                if day < today - timedelta(days=keep_days):
                    for path in files:
                        path.unlink(missing_ok=True)
                    (self._root / day.isoformat()).rmdir()
                elif day < today and len(files) > MERGE_FROM:
                    self._write(day.isoformat(), pl.concat([pl.read_parquet(path) for path in files]))
                    for path in files:  # a kill in between leaves windows twice, which are read once
                        path.unlink(missing_ok=True)
            except OSError as error:
                raise Unavailable("windows cannot be tidied", got=error.strerror, where=str(self._root)) from error
