"""Owns the bias correctors of releases in the ledger: learned from closed days, versioned, told. Sums are models'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from recloser.app.loop.days import ClosedDay
from recloser.app.platform import Platform
from recloser.ledger import Change as LedgerChange
from recloser.ledger import RouteRecord, StateRecord
from recloser.models.calibration import BLOCKS, block_of
from recloser.models.online.corrector import BiasCorrector

CORRECTOR = "corrector"
OFF = "corrector.off"
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Correctors:
    """A release's correctors by area.

    Attributes:
        version: counts what was put into force, from 1 on.
        areas: area -> its corrector.
    """

    version: int = 0
    areas: Mapping[str, BiasCorrector] = field(default_factory=dict)

    @property
    def last_day(self) -> date:
        """Newest day that any of them learned from."""
        return max((one.last_day for one in self.areas.values() if one.last_day is not None), default=date.min)

    def learned(self, days: Sequence[ClosedDay], release: str) -> Correctors:
        """Return them after closed days that the release answered; days seen before change nothing."""
        areas = dict(self.areas)
        for day in sorted(days, key=lambda one: one.day):
            middle = day.answers[release].shape[1] // 2
            shift = day.shifts[release][:, middle] if release in day.shifts else 0.0
            scale = day.rows["scale_mw"].fill_null(float("nan")).to_numpy().astype(np.float64)
            error = (day.truth_mw - (day.median_mw(release) - shift)) / scale
            part = block_of(day.rows, BLOCKS)
            for area, mine in day.places().items():
                areas[area] = areas.get(area, BiasCorrector()).learned(day.day, error[mine], part[mine])
        return Correctors(self.version, dict(sorted(areas.items())))

    def gave(self, days: Sequence[date]) -> Correctors:
        """Return the next version, which remembers what it gives for these days of delivery."""
        areas = dict(self.areas)
        for day in days:
            areas = {area: one.gave(day) for area, one in areas.items()}
        return Correctors(self.version + 1, areas)


def correctors_of(platform: Platform, release: str) -> Correctors:
    """Return what the ledger holds of a release's correctors; none before the first."""
    record = platform.ledger.get(StateRecord, f"{CORRECTOR}/{release}")
    if record is None:
        return Correctors()
    areas = {area: BiasCorrector.from_dict(item) for area, item in record.state["areas"].items()}
    return Correctors(int(record.state["version"]), areas)


def put_correctors(change: LedgerChange, release: str, before: Correctors, after: Correctors, now: datetime) -> None:
    """Write the version that is put into force, and a note for each area that the guard switches off."""
    areas = {area: one.to_dict() for area, one in after.areas.items()}
    change.put(StateRecord(f"{CORRECTOR}/{release}", now, {"version": after.version, "areas": areas}))
    off = [area for area, one in after.areas.items() if one.off_until is not None]
    fresh = [area for area in off if area not in before.areas or before.areas[area].off_until is None]
    if fresh:
        change.note(OFF, release, {"areas": fresh, "reason": "the days with it were surely worse than without"})


def corrector_document(platform: Platform, release: str | None = None) -> dict[str, Any] | None:
    """Return what a release's correctors (the champion's if none is named) do now, JSON-ready; None without any.

    Returns:
        {"release", "version", "areas": area -> {"share", "offset_pct", "off_until"}}: the share of the offset that has
        earned to be given, what is added to the median on average over the day in percent of the recent level, and
        until when the guard keeps it off (local date, null: it is on).
    """
    if release is None:
        route = platform.ledger.get(RouteRecord, "route")
        release = None if route is None else route.champion
    found = Correctors() if release is None else correctors_of(platform, release)
    if not found.areas:
        return None
    areas = {
        area: {
            "share": round(one.share, 4),
            "offset_pct": round(100.0 * float(one.applied().mean()), 4),
            "off_until": None if one.off_until is None else one.off_until.isoformat(),
        }
        for area, one in found.areas.items()
    }
    return {"release": release, "version": found.version, "areas": areas}


def corrector_sentences(document: Mapping[str, Any] | None) -> list[str]:
    """Return the same as a line for people."""
    if document is None:
        return []
    moved = [
        f"{area} {row['offset_pct']:+.1f} %" if row["off_until"] is None else f"{area} off until {row['off_until']}"
        for area, row in document["areas"].items()
        if row["off_until"] is not None or abs(row["offset_pct"]) >= 0.05
    ]
    told = f"{', '.join(moved[:6])}{f' and {len(moved) - 6} more' if len(moved) > 6 else ''}" or "moves nothing now"
    return [f"Bias corrector, version {document['version']}: {told}"]
