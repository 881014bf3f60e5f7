"""Owns requests to retrain that wait in the ledger: of people, of programs, of a new code commit. Decides nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from recloser.app.platform import Platform
from recloser.core import format_utc
from recloser.ledger import StateRecord, Stored, TriggerRecord
from recloser.registry import read_authors, read_last_change
from recloser.triggers import Trigger, api_trigger, commit_trigger

REQUESTS = "triggers.requests"
COMMIT = "triggers.commit"
STANDS_FOR = timedelta(days=1)


def ask_to_retrain(folder: Path, *, reason: str, actor: str) -> dict[str, Any]:
    """Write a request to retrain; a running controller answers it at its next look, else `recloser up` does.

    Returns:
        {"trigger", "at", "reason", "actor", "sentence"}.

    Raises:
        InvalidInput: no project.
        Unavailable: the ledger cannot be written now.
        Refused: another request was written in the same moment; ask again.
    """
    with Platform.open(folder) as platform:
        return ask_to_retrain_in(platform, reason=reason, actor=actor)


def ask_to_retrain_in(platform: Platform, *, reason: str, actor: str) -> dict[str, Any]:
    """Write the request in an open project; see `ask_to_retrain`."""
    now = platform.clock.now()
    trigger = api_trigger(actor, reason, now)
    stored = platform.ledger.stored(StateRecord, REQUESTS)
    waiting = [item for item in _read(stored) if now - item.at < STANDS_FOR]
    state = StateRecord(REQUESTS, now, {"asked": [item.to_dict() for item in (*waiting, trigger)]})
    with platform.ledger.change(actor, now) as change:
        change.put(state, expected_version=0 if stored is None else stored.version)
        change.note("trigger.request", trigger.key, {"reason": reason})
    sentence = f"asked to retrain ({trigger.key}); `recloser status` and the audit log tell what became of it"
    return {
        "trigger": trigger.key,
        "at": format_utc(now),
        "reason": reason,
        "actor": actor,
        "sentence": sentence,
    }


def standing_requests(platform: Platform, now: datetime) -> list[Trigger]:
    """Return the requests of the last day that were neither started nor covered, as triggers."""
    asked = [item for item in _read(platform.ledger.stored(StateRecord, REQUESTS)) if now - item.at < STANDS_FOR]
    return [item for item in asked if not _answered(platform, item)]


def commit_request(platform: Platform, now: datetime) -> Trigger | None:
    """Return the trigger of a commit that changed the project's folder and was not seen before; None without one.

    Commits elsewhere in a larger repository ask for nothing. Neither does the first commit seen: counting begins there.
    """
    found = read_last_change(platform.layout.root)
    if found is None:
        return None
    known = platform.ledger.get(StateRecord, COMMIT)
    if known is not None:
        if known.state["commit"] == found or _answered(platform, commit_trigger(found, now)):
            return None
        return commit_trigger(found, now, _authors(platform, found, known.state["commit"]))
    with platform.ledger.change("triggers", now) as change:
        change.put(StateRecord(COMMIT, now, {"commit": found}), expected_version=0)
        change.note("trigger.commit", found[:12], {"why": "the first commit seen: later ones ask for a run"})
    return None


def _authors(platform: Platform, commit: str, first: str) -> tuple[str, ...]:
    """Return the people of the commits since the last one that a run was made for, or since the first one seen."""
    starts = platform.ledger.find(TriggerRecord, kind="commit", order_by="at", descending=True)
    runs = (record.key.partition(":")[2].partition("/") for record in starts)
    since = next((known for known, _, code in runs if code in {"started", "covered"}), first)
    return read_authors(platform.layout.root, commit, since) or (f"whoever made commit {commit[:12]}",)


def _answered(platform: Platform, trigger: Trigger) -> bool:
    codes = ("started", "covered", "expired")
    return bool(platform.ledger.find(TriggerRecord, key=[f"{trigger.key}/{code}" for code in codes], limit=1))


def _read(stored: Stored[StateRecord] | None) -> list[Trigger]:
    return [] if stored is None else [Trigger.from_dict(item) for item in stored.record.state["asked"]]
