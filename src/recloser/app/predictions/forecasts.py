"""Owns what the ledger says of forecasts to the gateway: what holds now, and what became of one. Makes none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from recloser.app.platform import Platform
from recloser.ledger import ForecastRecord, TripRecord
from recloser.rollout import served_of
from recloser.serving.http import CurrentForecast, PastForecast

MOST_LATER = 512
"""Forecasts of an area that are looked at for what is newer about the same targets, those that end first."""


class LedgerForecasts:
    """The ForecastSource of the gateway: what the ledger holds."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def areas(self) -> list[str]:
        """Return the areas forecast, sorted."""
        return sorted(self._platform.areas)

    def current(self, area: str) -> CurrentForecast | None:
        """Return the newest valid forecast of the area with the recalled ids of the same issue."""
        found = self._platform.ledger.find(ForecastRecord, area=area, order_by="made_at", descending=True, limit=12)
        return _newest_valid(found)

    def many(self, areas: Sequence[str]) -> dict[str, CurrentForecast]:
        """Return the same of many areas, by one reading of what reaches into the newest issue's targets."""
        ledger = self._platform.ledger
        newest = ledger.find(ForecastRecord, void=False, order_by="issued_at", descending=True, limit=1)
        since = newest[0].first_target if newest else None
        by_area: dict[str, list[ForecastRecord]] = {}
        if since is not None:
            for record in ledger.find(
                ForecastRecord, since=("last_target", since), order_by="made_at", descending=True
            ):
                by_area.setdefault(record.area, []).append(record)
        found: dict[str, CurrentForecast] = {}
        for area in areas:
            current = _newest_valid(by_area.get(area, [])[:12])
            if current is None or since is None or current.served.targets[0] < since:
                current = self.current(area)  # its newest is of an older issue, and so may be what was recalled
            if current is not None:
                found[area] = current
        return found

    def find(self, forecast: str) -> PastForecast | None:
        """Return what is known of the forecast with that id, or None."""
        ledger = self._platform.ledger
        record = ledger.get(ForecastRecord, forecast)
        if record is None:
            return None
        later = ledger.find(
            ForecastRecord,
            area=record.area,
            void=False,
            since=("last_target", record.first_target),
            order_by="last_target",
            limit=MOST_LATER,
        )
        newer = [one for one in later if _is_newer(one, record) and one.first_target <= record.last_target]
        replacement = None if record.replaced_by is None else ledger.get(ForecastRecord, record.replaced_by)
        return PastForecast(
            served_of(record),
            self._platform.project.resolution,
            tuple(served_of(one) for one in sorted(newer, key=_age, reverse=True)),
            void_at=record.void_at if record.void else None,
            void_reason=record.void_reason,
            trip=self._trip_of(record),
            replaced_by=record.replaced_by,
            replacement=None if replacement is None else served_of(replacement),
        )

    def _trip_of(self, record: ForecastRecord) -> str | None:
        if record.void_at is None:
            return None
        trips = self._platform.ledger.find(TripRecord, at=record.void_at)
        return next((trip.key for trip in trips if record.key in trip.recalled), None)


def _age(record: ForecastRecord) -> tuple[datetime, str]:
    return record.made_at, record.key


def _is_newer(one: ForecastRecord, other: ForecastRecord) -> bool:
    return _age(one) > _age(other)


def _newest_valid(found: Sequence[ForecastRecord]) -> CurrentForecast | None:
    """Return the newest valid forecast of one area's records, newest first, with what was recalled of its targets."""
    newest = next((record for record in found if not record.void), None)
    if newest is None:
        return None
    void = [record for record in found if record.void and record.last_target >= newest.first_target]
    replaced = {record.key: record.replaced_by for record in void if record.replaced_by is not None}
    return CurrentForecast(served_of(newest), tuple(record.key for record in void), replaced)
