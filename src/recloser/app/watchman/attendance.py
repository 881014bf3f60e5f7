"""Owns finding out what is there: forecasts, load, a leading controller. Judges nothing and writes nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

from recloser.app.platform import Platform
from recloser.core import LOAD, parse_utc
from recloser.ledger import ForecastRecord, RouteRecord, StateRecord
from recloser.monitoring.absence import AbsencePlan, Attendance

LEADER = "leader/controller"
BACK = timedelta(days=2)


def plan_of(platform: Platform) -> AbsencePlan:
    """Return when something counts as absent in this project."""
    told = platform.project.observability
    return AbsencePlan(
        timedelta(minutes=told.forecast_within_minutes),
        timedelta(hours=told.load_within_hours),
    )


class Roll:
    """Calls the roll of one project; the newest forecasts are looked up again only when the ledger was written to.

    Args:
        platform: the project.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._issued: dict[str, datetime | None] = {}

    def call(self, now: datetime, plan: AbsencePlan, *, changed: bool) -> Attendance:
        """Return what is there at `now` (aware UTC).

        Args:
            now: the present.
            plan: tells which issue is due.
            changed: the ledger may have been written to since the last call.

        Raises:
            Unavailable: ledger or store cannot be read now.
        """
        platform = self._platform
        leader = platform.ledger.get(StateRecord, LEADER)
        led_until = None if leader is None else parse_utc(leader.state["until"], LEADER)
        serving = platform.ledger.get(RouteRecord, "route") is not None
        if platform.detects:  # nothing is issued, and no load is read
            return Attendance(serving, None, {}, None, led_until)
        if changed or not self._issued:
            lately = platform.ledger.newest_by(
                ForecastRecord, "area", "issued_at", since=now - BACK - plan.forecast_within, void=False
            )
            self._issued = {area: lately.get(area) or self._newest(area) for area in platform.areas}
        extent = platform.store.extent(LOAD)
        return Attendance(
            serving=serving,
            due=max(
                platform.horizon.issues(now - plan.forecast_within - BACK, now - plan.forecast_within), default=None
            ),
            issued=dict(self._issued),
            load_until=None if extent is None else extent[1] + platform.project.resolution,
            led_until=led_until,
        )

    def _newest(self, area: str) -> datetime | None:
        found = self._platform.ledger.find(
            ForecastRecord, area=area, void=False, order_by="issued_at", descending=True, limit=1
        )
        return found[0].issued_at if found else None
