"""Owns requests to retrain that wait in the ledger: of people, programs, forges, of a new commit. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from recloser.app.platform import Platform
from recloser.core import LOAD, Unavailable, format_utc, parse_utc
from recloser.ledger import RunRecord, StateRecord, Stored, TriggerRecord, decided_again
from recloser.registry import has_commit, read_authors, read_last_change
from recloser.triggers import Trigger, api_trigger, commit_trigger, data_trigger

REQUESTS = "triggers.requests"
ASKED = "triggers.asked"
COMMIT = "triggers.commit"
KEPT_FOR = timedelta(days=60)
"""An unanswered request is kept so long; before that the triggers' policy gives it up, and says so."""
MOST = 100
"""Requests that may wait at once."""
ASKERS = 20


@dataclass(frozen=True, slots=True)
class Request:
    """A request to retrain as it came in.

    Attributes:
        trigger: what is asked; its key is what makes two requests the same.
        via: the way it came: 'retrain', or an inlet.
        actor: in whose name the audit log has it.
        facts: what else is known of it, JSON-ready.
    """

    trigger: Trigger
    via: str
    actor: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """A request as the ledger has it: the trigger, with all who asked for it, and whether it was there before."""

    trigger: Trigger
    repeated: bool

    @property
    def askers(self) -> tuple[str, ...]:
        """Return who asked so far."""
        return self.trigger.asked_by


def ask_to_retrain(folder: Path, *, reason: str, actor: str) -> dict[str, Any]:
    """Write a request to retrain; a running controller answers it at its next look, else `recloser up` does.

    Returns:
        {"trigger", "at", "reason", "actor", "sentence"}.

    Raises:
        InvalidInput: no project.
        Unavailable: the ledger cannot be written now, or too many requests wait.
    """
    with Platform.open(folder) as platform:
        return ask_to_retrain_in(platform, reason=reason, actor=actor)


def ask_to_retrain_in(platform: Platform, *, reason: str, actor: str) -> dict[str, Any]:
    """Write the request in an open project; see `ask_to_retrain`."""
    trigger = api_trigger(actor, reason, platform.clock.now())
    put_request(platform, Request(trigger, "retrain", actor))
    sentence = f"asked to retrain ({trigger.key}); `recloser status` and the audit log tell what became of it"
    return {
        "trigger": trigger.key,
        "at": format_utc(trigger.at),
        "reason": reason,
        "actor": actor,
        "sentence": sentence,
    }


def put_request(platform: Platform, request: Request) -> Standing:
    """Write a request with its audit entry in one transaction, once for a trigger's key whoever asks how often.

    Who asks for the same again, by another way or in another name, is noted beside the first.

    Raises:
        Unavailable: the ledger cannot be written now, or too many requests wait.
    """

    def attempt() -> Standing:
        asked = platform.ledger.stored(StateRecord, f"{ASKED}/{request.trigger.key}")
        if asked is None:
            _write_first(platform, request)
            return Standing(request.trigger, repeated=False)
        return Standing(_write_again(platform, request, asked), repeated=True)

    return decided_again(attempt)


def _write_first(platform: Platform, request: Request) -> None:
    now, trigger = platform.clock.now(), request.trigger
    stored = platform.ledger.stored(StateRecord, REQUESTS)
    waiting = [item for item in _read(stored) if now - item.at < KEPT_FOR and not answered(platform, item)]
    if len(waiting) >= MOST:
        raise Unavailable("too many requests to retrain wait", got=len(waiting), where="triggers")
    origin = {"via": request.via, **request.facts}
    with platform.ledger.change(request.actor, now) as change:
        change.put(_waiting([*waiting, trigger], now), expected_version=0 if stored is None else stored.version)
        change.add(StateRecord(f"{ASKED}/{trigger.key}", now, {"trigger": trigger.to_dict(), "origin": origin}))
        facts = {"reason": trigger.reason, "asked_by": list(trigger.asked_by), **origin}
        change.note("trigger.request", trigger.key, facts)


def _write_again(platform: Platform, request: Request, asked: Stored[StateRecord]) -> Trigger:
    """Return the trigger with all who asked; who had not asked before is written down, in the waiting request too."""
    known = Trigger.from_dict(asked.record.state["trigger"])
    news = tuple(name for name in request.trigger.asked_by if name not in known.asked_by)
    if not news or len(known.asked_by) >= ASKERS:
        return known
    now, joined = platform.clock.now(), replace(known, asked_by=(*known.asked_by, *news))
    stored = platform.ledger.stored(StateRecord, REQUESTS)
    waiting = [joined if item.key == joined.key else item for item in _read(stored)]
    record = StateRecord(asked.record.key, now, {**asked.record.state, "trigger": joined.to_dict()})
    with platform.ledger.change(request.actor, now) as change:
        change.put(record, expected_version=asked.version)
        change.put(_waiting(waiting, now), expected_version=0 if stored is None else stored.version)
        facts = {"reason": "the same was asked before", "asked_by": list(news), "via": request.via}
        change.note("trigger.merge", joined.key, {**facts, **request.facts})
    return joined


def _waiting(triggers: Iterable[Trigger], now: datetime) -> StateRecord:
    return StateRecord(REQUESTS, now, {"asked": [item.to_dict() for item in triggers]})


def standing_requests(platform: Platform) -> list[Trigger]:
    """Return the requests that were neither started nor covered nor given up, as triggers."""
    return [item for item in _read(platform.ledger.stored(StateRecord, REQUESTS)) if not answered(platform, item)]


def commit_request(platform: Platform, now: datetime) -> Trigger | None:
    """Return the trigger of a commit that changed the project's folder and was not seen before; None without one.

    Commits elsewhere in a larger repository ask for nothing. Neither does the first commit seen: counting begins there.
    """
    found = read_last_change(platform.layout.root)
    if found is None:
        return None
    known = platform.ledger.get(StateRecord, COMMIT)
    if known is not None:
        if known.state["commit"] == found or answered(platform, commit_trigger(found, now)):
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


def absent_commits(platform: Platform, requests: Iterable[Trigger]) -> frozenset[str]:
    """Return the keys of requests for commits that the project's folder does not hold yet, if it must hold them.

    A push is told before its code arrives here: a run at once would train with the code before it. A folder that is no
    repository has nothing to wait for.
    """
    root, prefix = platform.layout.root, "commit:"
    wanted = [item.key for item in requests if item.key.startswith(prefix)]
    if not wanted or not platform.project.triggers.wait_for_code or read_last_change(root) is None:
        return frozenset()
    return frozenset(key for key in wanted if not has_commit(root, key.removeprefix(prefix)))


def data_request(platform: Platform, now: datetime) -> Trigger | None:
    """Return the trigger of so many days of new loads as `[triggers] new_data_days` says, since the last run's data.

    None without that setting, before the first run, and until there are so many. Loads that only fill a gap in the past
    do not count.
    """
    days = platform.project.triggers.new_data_days
    if not days:
        return None
    latest = platform.ledger.find(RunRecord, state="done", order_by="started_at", descending=True, limit=1)
    extent = platform.store.extent(LOAD)
    if not latest or extent is None:
        return None
    begun = parse_utc(latest[0].parameters["as_of"], latest[0].key)
    new = (min(extent[1], now) - begun) / timedelta(days=1)
    return None if new < days else data_trigger(latest[0].key, new, now)


def answered(platform: Platform, trigger: Trigger) -> bool:
    """Tell whether a run was started for a trigger or covers it, or it was given up."""
    codes = ("started", "covered", "expired")
    return bool(platform.ledger.find(TriggerRecord, key=[f"{trigger.key}/{code}" for code in codes], limit=1))


def _read(stored: Stored[StateRecord] | None) -> list[Trigger]:
    return [] if stored is None else [Trigger.from_dict(item) for item in stored.record.state["asked"]]
