"""Owns gathering what the rollout controller decides on, from the ledger and the truth. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from recloser.app.days import AreaForecast, closed_day, forecasts_of
from recloser.app.platform import Platform
from recloser.core import QUANTILES, Panel, local_midnight
from recloser.ledger import PairedDayRecord, StateRecord
from recloser.rollout import AreaDay, DayRule, Evidence, PairedDay, Rollout, RolloutState, close_day

INCIDENTS = "incidents"
DIVERGENCE = "divergence"
LOOK_BACK = 12


class LedgerEvidence:
    """The EvidenceSource of the control loop: incidents and divergence as recorded, days joined with the truth.

    Args:
        platform: ledger and releases.
        truth: panel as of `now` that covers the last `LOOK_BACK` days.
    """

    def __init__(self, platform: Platform, truth: Callable[[datetime], Panel]) -> None:
        self._platform = platform
        self._truth = truth

    def gather(self, rollout: Rollout, now: datetime) -> Evidence:
        """Return what is known about the rollout at `now`."""
        incidents = self._platform.ledger.get(StateRecord, f"{INCIDENTS}/{rollout.release}")
        divergence = self._platform.ledger.get(StateRecord, f"{DIVERGENCE}/{rollout.release}")
        days, missing = self._days(rollout, now)
        return Evidence(
            incidents={} if incidents is None else {rollout.release: int(incidents.state["output"])},
            input_incidents=0 if incidents is None else int(incidents.state["input"]),
            divergence=0 if divergence is None else int(divergence.state["trailing"]),
            days=days,
            labels_missing_since=missing,
        )

    def _days(self, rollout: Rollout, now: datetime) -> tuple[tuple[PairedDay, ...], datetime | None]:
        if rollout.tried_at is None or rollout.champion is None or rollout.state is RolloutState.QUEUED:
            return (), None
        platform, zone = self._platform, self._platform.horizon.zone
        scales = platform.load(rollout.release).package.facts.scales.get("area_loss_mw", {})
        known = {r.day for r in platform.ledger.find(PairedDayRecord, rollout=rollout.key)}
        first = rollout.tried_at.astimezone(zone).date() + timedelta(days=1)
        today = now.astimezone(zone).date()
        day = max(first, today - timedelta(days=LOOK_BACK))
        found: list[PairedDay] = []
        missing: datetime | None = None
        while day < today:
            if day.isoformat() not in known:
                end = local_midnight(day + timedelta(days=1), zone)
                rule = DayRule(rollout.plan.label_share, end + timedelta(days=rollout.plan.label_deadline_days))
                areas = self._areas(
                    rollout,
                    scales,
                    closed_day(
                        forecasts_of(platform.ledger, platform.horizon, day), self._truth(now), platform.horizon, day
                    ),
                )
                closed = close_day(day, areas, QUANTILES, rule, now)
                if closed is not None:
                    found.append(closed)
                elif missing is None and now - end > timedelta(hours=18):
                    missing = end
            day += timedelta(days=1)
        return tuple(found), missing

    def _areas(self, rollout: Rollout, scales: dict[str, float], day: list[AreaForecast]) -> list[AreaDay]:
        result = []
        for item in day:
            candidate, champion = item.answers.get(rollout.release), item.answers.get(rollout.champion or "")
            if candidate is None or champion is None or not scales.get(item.area):
                continue
            result.append(AreaDay(item.area, scales[item.area], item.truth, candidate, champion))
        return result
