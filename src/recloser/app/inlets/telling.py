"""Owns what is told of triggers: what waits, what was decided, and why. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recloser.app.platform import Platform
from recloser.app.requests import ASKED, standing_requests
from recloser.core import format_utc
from recloser.ledger import Ledger, StateRecord, TriggerRecord
from recloser.triggers import QUEUE, Code, Trigger

MOST = 20
ENDED = frozenset({Code.STARTED, Code.COVERED, Code.EXPIRED})


def list_triggers(folder: Path, *, limit: int = MOST) -> dict[str, Any]:
    """Return what waits to start a run, and the latest decisions with their reasons.

    Args:
        folder: project.
        limit: decisions at most, the latest first.

    Returns:
        {"waiting": [{"trigger", "kind", "at", "reason", "areas", "asked_by", "via", "code", "why"}],
        "decided": [{"at", "trigger", "kind", "reason", "asked_by", "decision", "code", "why", "run", "covers"}],
        "sentences": [...]}.

    Raises:
        InvalidInput: no project.
    """
    with Platform.open(folder) as platform:
        return triggers_document(platform, limit=limit)


def triggers_document(platform: Platform, *, limit: int = MOST) -> dict[str, Any]:
    """Return the document of an open project; see `list_triggers`."""
    ledger = platform.ledger
    waiting = [_waiting(ledger, trigger) for trigger in _standing(platform)]
    records = ledger.find(TriggerRecord, order_by="at", descending=True, limit=limit)
    document = {"waiting": waiting, "decided": [_decided(ledger, record) for record in records]}
    return {**document, "sentences": sentences(document["waiting"], document["decided"])}


def triggers_in_status(platform: Platform) -> dict[str, Any]:
    """Return what `status` tells: what waits, and the latest start (null before the first)."""
    starts = platform.ledger.find(TriggerRecord, decision="start", order_by="at", descending=True, limit=1)
    return {
        "waiting": [_waiting(platform.ledger, trigger) for trigger in _standing(platform)],
        "last_start": _decided(platform.ledger, starts[0]) if starts else None,
    }


def sentences(waiting: Sequence[dict[str, Any]], decided: Sequence[dict[str, Any]]) -> list[str]:
    """Return the document as sentences for people: what waits first, then what was decided, latest first."""
    lines = [f"waits: {wait_sentence(row)}" for row in waiting]
    for row in decided:
        what = "started" if row["decision"] == "start" else row["code"]
        run = f" -> {row['run']}" if row["run"] else ""
        why = "" if row["why"] == row["reason"] else f": {row['why']}"
        also = f"; covers {', '.join(row['covers'])}" if row["covers"] else ""
        lines.append(f"{row['at']}  {what}: {row['reason']}{_who(row)}{run}{why}{also}")
    return lines or ["Nothing has asked for a run yet."]


def wait_sentence(row: dict[str, Any]) -> str:
    """Return what waits, who asked, and what is in its way."""
    return f"{row['reason']}{_who(row)}: {row['why'] or 'not looked at yet'}"


def _who(row: dict[str, Any]) -> str:
    return f" [{', '.join(row['asked_by'])}]" if row["asked_by"] else ""


def _standing(platform: Platform) -> list[Trigger]:
    """Return what stands: requests that wait, and triggers that wait for a rollout to end; once each."""
    queue = platform.ledger.get(StateRecord, QUEUE)
    queued = [] if queue is None else [Trigger.from_dict(item) for item in queue.state["queued"]]
    found = {trigger.key: trigger for trigger in (*queued, *standing_requests(platform))}
    return sorted(found.values(), key=lambda trigger: (trigger.at, trigger.key))


def _waiting(ledger: Ledger, trigger: Trigger) -> dict[str, Any]:
    keys = [f"{trigger.key}/{code}" for code in Code if code not in ENDED]
    said = ledger.find(TriggerRecord, key=keys, order_by="at", descending=True, limit=1)
    asked = ledger.get(StateRecord, f"{ASKED}/{trigger.key}")
    return {
        "trigger": trigger.key,
        "kind": str(trigger.kind),
        "at": format_utc(trigger.at),
        "reason": trigger.reason,
        "areas": list(trigger.areas),
        "asked_by": list(trigger.asked_by),
        "via": None if asked is None else asked.state["origin"]["via"],
        "code": said[0].key.rpartition("/")[2] if said else None,
        "why": said[0].why if said else None,
    }


def _decided(ledger: Ledger, record: TriggerRecord) -> dict[str, Any]:
    entries = ledger.entries(subject=record.key)
    facts = next((e.facts for e in reversed(entries) if e.action in {"trigger.start", "trigger.skip"}), {})
    trigger, _, code = record.key.rpartition("/")
    return {
        "at": format_utc(record.at),
        "trigger": trigger,
        "kind": record.kind,
        "reason": record.reason,
        "asked_by": list(facts.get("asked_by", ())),
        "decision": record.decision,
        "code": code,
        "why": record.why,
        "run": record.run,
        "covers": [str(item["key"]) for item in facts.get("covers", ())],
    }
