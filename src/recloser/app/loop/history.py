"""Owns reading the store for the loops: one panel as of an instant, kept in memory between ticks. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from recloser.core import FloatArray, Panel, instant
from recloser.features import FeatureSet
from recloser.store import Store

BATCH = 28


class History:
    """Answers 'what was known at this instant' quickly, for a loop that moves forward in time.

    It keeps one stretch of the store in memory and reads again when the store's version or the stretch changes; the
    version is looked up once per instant, and after `invalidate`.
    """

    def __init__(self, store: Store, areas: Sequence[str], *, ahead: timedelta = timedelta(0)) -> None:
        self._store = store
        self._areas = list(areas)
        self._ahead = ahead
        self._kept: Panel | None = None
        self._span: tuple[datetime, datetime] | None = None
        self._version = -1
        self._checked_at: datetime | None = None

    def panel(self, now: datetime, start: datetime, end: datetime | None = None) -> Panel:
        """Return what could be known at `now` about intervals that begin in [start, end); end None = no bound."""
        kept = self._stretch(now, start)
        frame = kept.frame.filter((pl.col("at") >= instant(start)) & (pl.col("available_at") <= instant(now)))
        return Panel(frame if end is None else frame.filter(pl.col("at") < instant(end)), kept.resolution, now)

    def invalidate(self) -> None:
        """Look at the store again at the next call: this process has written to it."""
        self._checked_at = None

    def _stretch(self, now: datetime, start: datetime) -> Panel:
        version = self._version if now == self._checked_at else self._store.version()
        self._checked_at = now
        span = self._span
        fits = span is not None and span[0] <= start and now <= span[1] and version == self._version
        if self._kept is None or not fits:
            first = start if span is None else min(start, span[0])
            if span is not None and now > span[1]:
                first = start
            last = now + self._ahead
            self._kept = self._store.read(areas=self._areas, start=first, as_of=last)
            self._span, self._version = (first, last), version
        return self._kept

    @property
    def version(self) -> int:
        """Return the store version that the last panel was read from."""
        return self._version


class FeatureFrames:
    """Answers 'the feature frame of this issue', computing several issues at once where the data already lies there.

    In real time one issue is computed at a time; a replay computes `batch` issues with one call of the same code, each
    exactly as known at its issue (`FeatureSet.compute` guarantees it). A new store version voids what was computed.
    """

    def __init__(self, features: FeatureSet, history: History, areas: Sequence[str], *, batch: int = 1) -> None:
        self._features = features
        self._history = history
        self._areas = list(areas)
        self._batch = batch
        self._frames: dict[datetime, pl.DataFrame] = {}
        self._version = -1

    def frame(self, issued_at: datetime, now: datetime, last: datetime | None = None) -> pl.DataFrame:
        """Return the rows of the issue: area, issued_at, at, lead_h, scale_mw and the features.

        Args:
            issued_at: the issue (aware UTC), not after `now`.
            now: the present instant.
            last: in a replay, the latest issue that may be computed ahead of time.
        """
        horizon = self._features.horizon
        start = issued_at - self._features.memory - timedelta(days=2)
        panel = self._history.panel(now, start)
        if issued_at not in self._frames or self._version != self._history.version:
            self._version = self._history.version
            issues = [issued_at]
            if last is not None and last > issued_at:
                step = timedelta(days=self._batch)
                issues = list(horizon.issues(issued_at, min(last + timedelta(seconds=1), issued_at + step)))
                panel = self._history.panel(issues[-1], start)
            computed = self._features.compute(panel, issues, self._areas)
            self._frames = {issue: computed.filter(pl.col("issued_at") == instant(issue)) for issue in issues}
        return self._frames[issued_at]


def as_array(frame: pl.DataFrame, columns: Sequence[str]) -> FloatArray:
    """Return the columns as float64, shape (n_rows, n_columns), null as NaN."""
    array: FloatArray = frame.select(pl.col(list(columns)).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    return array
