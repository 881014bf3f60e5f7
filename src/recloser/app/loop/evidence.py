"""Owns gathering what the rollout controller decides on, from the ledger and the closed days. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from recloser.app.loop.book import LOOK_BACK, DayBook
from recloser.app.loop.days import ClosedDay
from recloser.app.loop.harm.judging import HARM, harm_in
from recloser.app.people.proposers import proposers_of
from recloser.app.platform import Platform
from recloser.app.processes.cuts import read_cuts
from recloser.app.processes.hosts.word import heard_cuts
from recloser.core import QUANTILES, local_midnight
from recloser.core.scores import JointScale, RatioScale
from recloser.ledger import FreezeRecord, PairedDayRecord, ReleaseRecord, RouteRecord, StateRecord
from recloser.pipelines.verdicts import lapsed
from recloser.rollout import (
    AreaDay,
    CutOff,
    DayRule,
    Evidence,
    Frozen,
    PairedDay,
    Proposers,
    Rollout,
    RolloutState,
    close_day,
    freeze_reason,
    in_force,
    quantile_loss,
)

INCIDENTS = "incidents"
DIVERGENCE = "divergence"
OVERDUE = timedelta(hours=18)
LOSS = quantile_loss(QUANTILES)


class LedgerEvidence:
    """The EvidenceSource of the control loop: incidents and divergence as recorded, days as the book closed them.

    Args:
        platform: ledger and releases.
        book: closed days.
    """

    def __init__(self, platform: Platform, book: DayBook) -> None:
        self._platform = platform
        self._book = book

    def gather(self, rollout: Rollout, now: datetime) -> Evidence:
        """Return what is known about the rollout at `now`; what people said and declared, by the clock."""
        today = self._platform.today()
        counts = self._counts(rollout)
        divergence = self._platform.ledger.get(StateRecord, f"{DIVERGENCE}/{rollout.release}")
        days, missing = self._days(rollout, now)
        route = self._platform.ledger.get(RouteRecord, "route")
        return Evidence(
            incidents={name: count["output"] for name, count in counts.items() if count["output"]},
            cut_off=self._cut_off(rollout.release, route),
            input_incidents=counts[rollout.release]["input"],
            divergence=0 if divergence is None else int(divergence.state["trailing"]),
            level_gap=None if divergence is None else divergence.state.get("level"),
            level_limit=None if divergence is None else divergence.state.get("level_limit"),
            odd=() if divergence is None else _odd(divergence.state.get("odd", ())),
            days=days,
            labels_missing_since=missing,
            freeze=freeze_reason(freezes_of(self._platform, today)),
            gate=lapsed(self._platform.ledger, rollout.release, today),
            proposers=proposers_of(self._platform, rollout.release) if rollout.plan.approve_before else Proposers(),
            today=today,
            harm=harm_in(self._platform.ledger.get(StateRecord, f"{HARM}/{rollout.release}")),
            rung_at_hand=route.fallback[0] if route is not None and route.fallback else "",
        )

    def _counts(self, rollout: Rollout) -> dict[str, dict[str, Any]]:
        """Return by release what the guard counted of it in the role that it has now.

        Of the rollout's release, and of the champion beside it where that serves: who is bad as well is no retreat.
        """
        ledger = self._platform.ledger
        route = ledger.get(RouteRecord, "route")
        serving = None if route is None else route.champion
        names = {rollout.release, *({serving} & {rollout.champion})} - {None}
        return {
            name: counts_of(
                ledger.get(StateRecord, f"{INCIDENTS}/{name}"), "champion" if name == serving else "challenger"
            )
            for name in names
            if name is not None
        }

    def _cut_off(self, release: str, route: RouteRecord | None) -> CutOff | None:
        """Return why a gateway process of whichever host cut the release off under the present route, by its guard."""
        if route is None:
            return None
        found = [
            *read_cuts(self._platform.layout.state, route.epoch),
            *heard_cuts(self._platform.ledger, route.epoch, {release}),
        ]
        return next((CutOff(one.reason, one.cut.failures) for one in found if one.cut.release == release), None)

    def _days(self, rollout: Rollout, now: datetime) -> tuple[tuple[PairedDay, ...], datetime | None]:
        """Return the paired days that the ledger does not hold yet, and since when a day's labels are overdue."""
        if rollout.tried_at is None or rollout.champion is None or rollout.state is RolloutState.QUEUED:
            return (), None
        platform, zone = self._platform, self._platform.horizon.zone
        release = platform.ledger.get(ReleaseRecord, rollout.release)  # its package may no longer load
        known_scales = {} if release is None else release.facts["scales"]
        scales, ratio = known_scales.get("area_loss_mw", {}), known_scales.get("paired_ratio")
        joint = known_scales.get("paired_joint")
        rule = DayRule(
            rollout.plan.label_share,
            now,
            None if ratio is None else RatioScale(**ratio),
            None if joint is None else JointScale(**joint),
        )
        known = {record.day for record in platform.ledger.find(PairedDayRecord, rollout=rollout.key)}
        today = now.astimezone(zone).date()
        first = rollout.tried_at.astimezone(zone).date() + timedelta(days=1)
        day = max(first, today - timedelta(days=LOOK_BACK))
        found: list[PairedDay] = []
        missing: datetime | None = None
        while day < today:
            end = local_midnight(day + timedelta(days=1), zone)
            if day.isoformat() not in known:
                closed = self._book.closed(day, now)
                if closed is not None:
                    areas = area_days(closed, rollout.release, rollout.champion, scales)
                    paired = close_day(day, areas, LOSS, rule, now)
                    found += [paired] if paired is not None else []
                elif missing is None and now - end > OVERDUE:
                    missing = end
            day += timedelta(days=1)
        return tuple(found), missing


def counts_of(record: StateRecord | None, role: str) -> dict[str, Any]:
    """Return what the guard counted of a release in a role: challenger or champion; what it did in the other is over.

    Keys: role; output, of a challenger its refused answers, of a champion for how many issues in a row most of its
    answers were refused; input, refused inputs, which no model is blamed for.
    """
    counts = {"role": "challenger"} | ({} if record is None else record.state)
    return counts if record is not None and counts["role"] == role else {"role": role, "output": 0, "input": 0}


def _odd(found: Iterable[Any]) -> tuple[str, ...]:
    """Return in plain words for which causes the latest issue is odd as a whole; single odd areas are no reason."""
    told = {
        "level": "another level",
        "amplitude": "another swing over the day",
        "lag": "the same course at another hour",
    }
    return tuple(f"{told[cause]} ({len(areas)} areas)" for cause, areas, of_model in found if of_model)


def freezes_of(platform: Platform, now: datetime) -> tuple[Frozen, ...]:
    """Return the freezes in force at `now` (aware UTC): those of the project file, and those that people declared."""
    windows = [section.window() for section in platform.project.rollout.freeze]
    return in_force(windows, platform.ledger.find(FreezeRecord, lifted_at=None, order_by="starts_at"), now)


def area_days(closed: ClosedDay, release: str, champion: str, scales: dict[str, float]) -> list[AreaDay]:
    """Return the closed day area by area for one pair of models; areas that lack an answer or a scale are left out."""
    ours, theirs = closed.answers.get(release), closed.answers.get(champion)
    if ours is None or theirs is None:
        return []
    truth = closed.truth_mw
    result = []
    for area, mine in closed.places().items():
        if scales.get(area) and np.isfinite(ours[mine]).any() and np.isfinite(theirs[mine]).any():
            result.append(AreaDay(area, scales[area], truth[mine], ours[mine], theirs[mine]))
    return result
