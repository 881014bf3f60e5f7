"""Owns freezes as verbs: declare, list, lift. Whether one is in force is for the rollout to say."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from recloser.app.loop.evidence import freezes_of
from recloser.app.platform import Platform
from recloser.core import InvalidInput, Refused, format_utc, short_id, unknown_name, within_reach
from recloser.ledger import FreezeRecord, decided_again
from recloser.rollout import Frozen


def add_freeze(
    folder: Path, *, start: datetime | None, end: datetime | None, reason: str, actor: str
) -> dict[str, Any]:
    """Freeze promotions and deployments; rollbacks go on.

    Args:
        folder: project.
        start: aware UTC; None: now.
        end: aware UTC; None: until it is lifted.
        reason: why.
        actor: who.

    Returns:
        {"freeze", "from", "to", "reason", "actor", "sentence"}.

    Raises:
        InvalidInput: it ends before it begins, is over already, or a time is not in 1900 .. 2199.
    """
    with Platform.open(folder) as platform:
        return add_freeze_in(platform, start=start, end=end, reason=reason, actor=actor)


def add_freeze_in(
    platform: Platform, *, start: datetime | None, end: datetime | None, reason: str, actor: str
) -> dict[str, Any]:
    """Freeze in an open project; see `add_freeze`."""
    now = platform.clock.now()
    begins = now if start is None else within_reach(start, "--from")
    end = None if end is None else within_reach(end, "--to")
    if end is not None and end <= max(begins, now):
        raise InvalidInput(
            "a freeze that is over before it begins",
            got=format_utc(end),
            expected=f"> {format_utc(max(begins, now))}",
            where="--to",
        )
    key = short_id("freeze", [actor, reason, begins, end, now])
    record = FreezeRecord(key, now, actor, reason, begins, end, None, None, None)
    with platform.ledger.change(actor, now) as change:
        change.add(record)
        change.note("freeze.add", key, {"reason": reason, "from": begins, "to": end})
    until = "until it is lifted" if end is None else f"until {format_utc(end)}"
    sentence = f"nothing is promoted or deployed from {format_utc(begins)} {until} ({key}); rollbacks go on"
    return {**freeze_row(record), "actor": actor, "sentence": sentence}


def lift_freeze(folder: Path, key: str, *, reason: str, actor: str) -> dict[str, Any]:
    """Lift a declared freeze now; it stays in the ledger as history.

    Returns:
        {"freeze", "from", "to", "reason", "actor", "sentence"}.

    Raises:
        InvalidInput: no such freeze; one of the project file is edited there.
        Refused: it was lifted before.
    """
    with Platform.open(folder) as platform:
        return lift_freeze_in(platform, key, reason=reason, actor=actor)


def lift_freeze_in(platform: Platform, key: str, *, reason: str, actor: str) -> dict[str, Any]:
    """Lift a freeze in an open project; see `lift_freeze`."""
    return decided_again(lambda: _lift(platform, key, reason=reason, actor=actor))


def _lift(platform: Platform, key: str, *, reason: str, actor: str) -> dict[str, Any]:
    now = platform.clock.now()
    stored = platform.ledger.stored(FreezeRecord, key)
    if stored is None:
        raise unknown_name("freeze", key, [r.key for r in platform.ledger.find(FreezeRecord)], "FREEZE")
    record = stored.record
    if record.lifted_at is not None:
        raise Refused("lifted before", got=format_utc(record.lifted_at), where=key)
    lifted = replace(record, lifted_at=now, lifted_by=actor, lift_reason=reason)
    with platform.ledger.change(actor, now) as change:
        change.put(lifted, expected_version=stored.version)
        change.note("freeze.lift", key, {"reason": reason})
    return {**freeze_row(record), "actor": actor, "sentence": f"{key} is lifted: {reason}"}


def list_freezes(folder: Path) -> dict[str, Any]:
    """Return the freezes: {"in_force": [{"reason", "since", "until", "freeze"}], "declared": [...], "recurring"}."""
    with Platform.open(folder) as platform:
        return freezes_in(platform)


def freezes_in(platform: Platform) -> dict[str, Any]:
    """Return the freezes of an open project; see `list_freezes`."""
    now = platform.clock.now()
    declared = [
        freeze_row(record)
        for record in platform.ledger.find(FreezeRecord, lifted_at=None, order_by="starts_at")
        if record.ends_at is None or record.ends_at > now
    ]
    recurring = [
        {"reason": item.reason, "begins": item.begins, "lasts_hours": item.lasts_hours, "time_zone": item.time_zone}
        for item in platform.project.rollout.freeze
    ]
    return {"in_force": freeze_rows(freezes_of(platform, now)), "declared": declared, "recurring": recurring}


def freeze_row(record: FreezeRecord) -> dict[str, Any]:
    """Return a declared freeze as JSON-ready data."""
    return {"freeze": record.key, "from": record.starts_at, "to": record.ends_at, "reason": record.reason}


def freeze_rows(frozen: tuple[Frozen, ...]) -> list[dict[str, Any]]:
    """Return the freezes in force as JSON-ready data; `freeze` is null for those of the project file."""
    return [{"reason": f.reason, "since": f.since, "until": f.until, "freeze": f.key} for f in frozen]
