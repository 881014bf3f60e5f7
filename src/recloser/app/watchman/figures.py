"""Owns the figures of the control plane for Prometheus, read from the ledger. Counts nothing of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from recloser.app.delivery.telling import channel_names, delivery_document
from recloser.app.loop.evidence import freezes_of
from recloser.app.platform import Platform
from recloser.ledger import Ledger, RolloutRecord, RouteRecord
from recloser.monitoring.absence import AbsenceKind, Attendance
from recloser.rollout import RolloutState
from recloser.serving.wire.figures import Family, family

PART = 2000
MOVES = (
    *("abort", "awaiting_approval", "canary", "champion", "fall_back", "held", "hold", "promote", "pull", "queued"),
    *("reject", "resume", "retired", "rollback", "shadow", "trip"),
)
ACTIONS = (
    "backup.write",
    *(f"rollout.{move}" for move in MOVES),
    *("rollout.alarm", "rollout.approve", "rollout.override", "rollout.stopped_before", "rollout.submit"),
)
"""Told with 0 before the first: `increase()` takes no notice of a series that begins with 1."""


class AuditCounts:
    """Counts the audit entries by action, reading each once; remembers when an action was last taken.

    Args:
        ledger: holds the log.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._seen = ledger, 0
        self.actions: Counter[str] = Counter(dict.fromkeys(ACTIONS, 0))
        self.last: dict[str, datetime] = {}

    def read(self) -> None:
        """Read what was written since.

        Raises:
            Unavailable: the ledger cannot be read now.
            Refused: an entry is damaged.
        """
        while part := self._ledger.entries(self._seen, PART):
            for entry in part:
                self.actions[entry.action] += 1
                self.last[entry.action] = entry.at
            self._seen = part[-1].seq


def control_families(
    platform: Platform, found: Attendance, open_: Mapping[str, Any], audit: AuditCounts, now: datetime
) -> list[Family]:
    """Return the figures at `now` (aware UTC); ages in seconds, labels bounded by areas, states, channels and actions.

    Raises:
        Unavailable: the ledger cannot be read now.
    """
    ledger = platform.ledger
    states = Counter(record.state for record in ledger.find(RolloutRecord))
    ages = [({"area": area}, (now - at).total_seconds()) for area, at in found.issued.items() if at is not None]
    missing = set(open_.get(AbsenceKind.FORECAST, {}).get("areas", ()))
    absent = [({"area": area}, int(area in missing)) for area in found.issued]
    channels = [
        ({"channel": row["name"]}, row["waiting"]) for row in delivery_document(ledger, channel_names(platform), now)
    ]
    backup = audit.last.get("backup.write")
    return [
        family("recloser_forecast_age_seconds", "gauge", "Since the issue of the newest valid forecast.", ages),
        family("recloser_forecast_absent", "gauge", "1 while a forecast that is due is not there.", absent),
        family("recloser_absence_open", "gauge", "1 while something is absent.", _absences(open_)),
        family(
            "recloser_load_age_seconds", "gauge", "Since the end of the newest known load.", _age(found.load_until, now)
        ),
        family(
            "recloser_controller_lease_seconds",
            "gauge",
            "Until the lease of the controller ends; below 0 nobody leads.",
            [] if found.led_until is None else [({}, (found.led_until - now).total_seconds())],
        ),
        family(
            "recloser_rollouts",
            "gauge",
            "Rollouts by state.",
            [({"state": state.value}, states.get(state.value, 0)) for state in RolloutState],
        ),
        family("recloser_release_info", "gauge", "1 for each release with a role on the route.", _roles(ledger)),
        family(
            "recloser_freeze_active",
            "gauge",
            "1 while promotions are frozen.",
            [({}, int(bool(freezes_of(platform, now))))],
        ),
        family("recloser_notices_waiting", "gauge", "Notices without a receipt.", channels),
        family("recloser_backup_age_seconds", "gauge", "Since the last backup.", _age(backup, now)),
        family(
            "recloser_audit_entries_total",
            "counter",
            "Entries of the audit log by action.",
            [({"action": action}, count) for action, count in sorted(audit.actions.items())],
        ),
        family("recloser_watchman_round_timestamp_seconds", "gauge", "When this was found.", [({}, now.timestamp())]),
    ]


def _absences(open_: Mapping[str, Any]) -> Sequence[tuple[Mapping[str, str], float]]:
    return [({"kind": kind.value}, int(kind.value in open_)) for kind in AbsenceKind]


def _age(at: datetime | None, now: datetime) -> Sequence[tuple[Mapping[str, str], float]]:
    return [] if at is None else [({}, (now - at).total_seconds())]


def _roles(ledger: Ledger) -> Sequence[tuple[Mapping[str, str], float]]:
    route = ledger.get(RouteRecord, "route")
    if route is None:
        return []
    roles = {"champion": route.champion, "canary": route.canary, "shadow": route.shadow}
    return [({"role": role, "release": release}, 1) for role, release in roles.items() if release]
