"""Owns the evidence about detectors on trial: both models on the windows and drills of each day. Decides nothing."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from recloser.app.events.labels import Told, events_between, labelled
from recloser.app.events.windows import DRILL, LIVE, WindowStore
from recloser.app.loop.book import DayBook
from recloser.app.loop.evidence import LedgerEvidence
from recloser.app.platform import Platform
from recloser.app.project.tables.events import EventsSection
from recloser.core import RecloserError, local_midnight
from recloser.features.phasors import PHASOR_FEATURES
from recloser.ledger import PairedDayRecord, ReleaseRecord
from recloser.models import EventDetector
from recloser.pipelines.detection.recipe import truth_of
from recloser.pipelines.detection.scoring import split_parts
from recloser.rollout import AreaDay, DayRule, PairedDay, Rollout, RolloutState, brier_loss, close_day

LABELS_WAIT = timedelta(hours=24)
"""People have so long after a day to say what its events were; then it closes without those."""
MOST_QUIET = 20_000
LOOK_BACK = 12
LEAST_OVERDUE = timedelta(hours=1)


class DetectionEvidence(LedgerEvidence):
    """The EvidenceSource of detectors: incidents as recorded, paired days by what windows showed.

    Both models are asked anew about the windows of a day, which are kept: what one saw the other saw. Rare events get a
    vote of their own beside quiet time, and drills stand in for events on days without any.

    Args:
        platform: ledger and releases.
        book: of forecasts, unused.
        windows: what was seen.
    """

    def __init__(self, platform: Platform, book: DayBook, windows: WindowStore) -> None:
        super().__init__(platform, book)
        self._windows, self._settings = windows, platform.project.events or EventsSection()
        self._closed: dict[tuple[str, date], PairedDay] = {}

    def _days(self, rollout: Rollout, now: datetime) -> tuple[tuple[PairedDay, ...], datetime | None]:
        """Return the paired days that the ledger does not hold yet, and since when windows are missing."""
        if rollout.tried_at is None or rollout.champion is None or rollout.state is RolloutState.QUEUED:
            return (), None
        zone = self._platform.horizon.zone
        known = {record.day for record in self._platform.ledger.find(PairedDayRecord, rollout=rollout.key)}
        today = now.astimezone(zone).date()
        first = rollout.tried_at.astimezone(zone).date()
        found: list[PairedDay] = []
        missing: datetime | None = None
        for back in range(min(LOOK_BACK, (today - first).days), 0, -1):
            day = today - timedelta(days=back)
            if day.isoformat() in known:
                continue
            start, end = local_midnight(day, zone), local_midnight(day + timedelta(days=1), zone)
            windows = self._windows.read(max(start, rollout.tried_at), end)
            if not self._seen_enough(windows, end - max(start, rollout.tried_at)):
                if day > first and missing is None and now - end > LEAST_OVERDUE:
                    missing = end
                continue
            events = events_between(self._platform.ledger, start - timedelta(hours=1), end)
            if any(event.label is None for event in events) and now < end + LABELS_WAIT:
                continue
            paired = self._paired(rollout, day, windows, events, now)
            found += [] if paired is None else [paired]
        return tuple(found), missing

    def _seen_enough(self, windows: pl.DataFrame, span: timedelta) -> bool:
        live = windows.filter(pl.col("origin") == LIVE).height
        wanted = self._settings.least_covered * span.total_seconds() / self._settings.step_seconds
        return live > 0 and live >= wanted

    def _paired(
        self, rollout: Rollout, day: date, windows: pl.DataFrame, events: list[Told], now: datetime
    ) -> PairedDay | None:
        key = rollout.key, day
        if key not in self._closed:
            try:
                areas = self._area_days(rollout, windows, events)
            except RecloserError:  # a release that no longer loads: the controller finds out and says so
                return None
            paired = close_day(day, areas, brier_loss, DayRule(0.0, now), now)
            if paired is None:
                return None
            self._closed[key] = paired
        return self._closed[key]

    def _area_days(self, rollout: Rollout, windows: pl.DataFrame, events: list[Told]) -> list[AreaDay]:
        platform = self._platform
        rows = thinned(labelled(windows, events, self._settings.window_seconds))
        inputs = rows.select(PHASOR_FEATURES).to_numpy().astype(np.float32)
        mine, theirs = (self._answers(name, inputs) for name in (rollout.release, str(rollout.champion)))
        truth = truth_of(rows, platform.areas)
        release = platform.ledger.get(ReleaseRecord, rollout.release)
        scales: dict[str, Any] = {} if release is None else release.facts["scales"].get("event_loss", {})
        found = []
        for part, (column, chosen) in split_parts(truth, platform.areas).items():
            if chosen.any() and scales.get(part):
                pair = (answers[chosen, column : column + 1] for answers in (mine, theirs))
                found.append(AreaDay(part, float(scales[part]), truth[chosen, column], *pair))
        return found

    def _answers(self, release: str, inputs: Any) -> Any:
        model = self._platform.load(release).model
        if not isinstance(model, EventDetector):
            return np.full((len(inputs), len(self._platform.areas)), np.nan)
        place = {kind: index for index, kind in enumerate(model.classes)}
        answers = model.all_classes(inputs)
        columns = [
            answers[:, place[kind]] if kind in place else np.full(len(inputs), np.nan) for kind in self._platform.areas
        ]
        return np.stack(columns, axis=1)


def thinned(rows: pl.DataFrame) -> pl.DataFrame:
    """Return labelled windows with at most MOST_QUIET of the quiet ones, evenly chosen; all others stay."""
    quiet = (pl.col("label") == "none") & (pl.col("origin") != DRILL)
    still = rows.filter(quiet)
    return pl.concat([rows.filter(quiet.not_()), still.gather_every(max(1, still.height // MOST_QUIET))])
