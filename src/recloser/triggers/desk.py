"""Owns the thin shell around the triggers' `decide`: reads the ledger, writes each decision. Starts no run itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from recloser.core import Clock, InvalidInput
from recloser.ledger import Ledger, RunRecord, SignalRecord, StateRecord, TriggerRecord
from recloser.triggers.decide import Decision, TriggerPolicy, decide, due_trigger, queue_after
from recloser.triggers.trigger import Code, History, Past, Trigger, TriggerKind, from_signals

ACTOR = "triggers"
QUEUE = "triggers.queue"
LATEST = 8
"""So many starts are looked at after a crash; more than can wait for their run at once."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What goes on around the triggers, as the composition root sees it; see `History` for each field."""

    begun_at: datetime
    areas: frozenset[str] = frozenset()
    unmasked: frozenset[str] = frozenset()
    run_live: bool = False
    rollout_live: bool = False
    absent: frozenset[str] = frozenset()


class TriggerDesk:
    """Records what becomes of every trigger; the caller starts the run of a 'start' and reports it with `attach`.

    Repeatable after a crash at any line: decisions are keyed by trigger and code, and only new ones are written.
    """

    def __init__(self, ledger: Ledger, policy: TriggerPolicy, clock: Clock) -> None:
        self._ledger = ledger
        self._policy = policy
        self._clock = clock

    def tick(self, requests: Sequence[Trigger], around: Surroundings) -> list[Decision]:
        """Decide on the requests, the open signals of the ledger, the queue and the schedule; write what is new.

        Raises:
            Unavailable: the ledger cannot be reached; tick again.
            Refused: another process decided meanwhile; tick again.
        """
        now = self._clock.now()
        version = self._ledger.version_of(StateRecord, QUEUE)
        signals, faults = from_signals(self._ledger.find(SignalRecord, closed_at=None))
        history = self._history([*signals, *requests], around, faults, now)
        decisions = decide(self._policy, history, [*signals, *requests], now)
        if not decisions:
            return []
        with self._ledger.change(ACTOR, now) as change:
            waiting = [trigger.to_dict() for trigger in queue_after(history, decisions)]
            change.put(StateRecord(QUEUE, now, {"queued": waiting}), expected_version=version)
            covered = [item.trigger for item in decisions if item.code is Code.COVERED]
            for decision in decisions:
                record = record_of(decision, now)
                change.put(record)
                facts = {**decision.trigger.to_dict(), "code": str(decision.code), "why": decision.why}
                if decision.decision == "start":
                    facts["asked_by"] = behind(decisions)
                    facts["covers"] = [{"key": item.key, "reason": item.reason} for item in covered]
                change.note(f"trigger.{decision.decision}", record.key, {**facts, "excluded": list(decision.excluded)})
        return decisions

    def attach(self, decision: Decision, run: str) -> None:
        """Note which run a started decision led to.

        Raises:
            InvalidInput: the decision is not in the ledger as a start.
        """
        now = self._clock.now()
        record = self._ledger.get(TriggerRecord, _key(decision.trigger.key, decision.code))
        if record is None or record.decision != "start":
            raise InvalidInput("not a recorded start", got=decision.trigger.key, where="triggers.attach")
        with self._ledger.change(ACTOR, now) as change:
            change.put(replace(record, run=run))
            change.note("trigger.run", record.key, {"run": run})

    def unattended(self) -> list[TriggerRecord]:
        """Return the starts whose run never began: a crash came between the decision and the run; start them now.

        Of those that have the key of a run only the latest are looked at.
        """
        latest = self._ledger.find(TriggerRecord, decision="start", order_by="at", descending=True, limit=LATEST)
        nameless = self._ledger.find(TriggerRecord, decision="start", run=None, order_by="at")
        named = [record for record in reversed(latest) if record.run is not None]
        return [*nameless, *(record for record in named if self._ledger.get(RunRecord, str(record.run)) is None)]

    def excluded(self, record: TriggerRecord) -> list[str]:
        """Return the areas that a recorded start leaves out of the training."""
        entries = self._ledger.entries(subject=record.key)
        return next((list(e.facts["excluded"]) for e in reversed(entries) if e.facts.get("excluded")), [])

    def _history(
        self, standing: Sequence[Trigger], around: Surroundings, faults: frozenset[str], now: datetime
    ) -> History:
        """Return what was said about the standing triggers, and the latest starts; older decisions do not matter."""
        queue = self._ledger.get(StateRecord, QUEUE)
        waiting = () if queue is None else tuple(Trigger.from_dict(item) for item in queue.state["queued"])
        due = due_trigger(self._policy, around.begun_at, now)
        keys = {trigger.key for trigger in (*standing, *waiting, *([due] if due else []))}
        records = self._ledger.find(
            TriggerRecord, decision="start", order_by="at", descending=True, limit=self._policy.budget + 1
        )
        if keys:
            names = [_key(key, code) for key in sorted(keys) for code in Code]
            records += [record for record in self._ledger.find(TriggerRecord, key=names) if record not in records]
        return History(
            begun_at=around.begun_at,
            past=tuple(_past(record) for record in records),
            queued=waiting,
            faults=faults,
            unmasked=around.unmasked,
            areas=around.areas,
            run_live=around.run_live,
            rollout_live=around.rollout_live,
            absent=around.absent,
        )


def behind(decisions: Sequence[Decision]) -> list[str]:
    """Return the people behind the run that these decisions start: of the trigger, and of those that it covers."""
    served = [item for item in decisions if item.code in {Code.STARTED, Code.COVERED}]
    return sorted({name for item in served for name in item.trigger.asked_by})


def record_of(decision: Decision, now: datetime) -> TriggerRecord:
    """Return the ledger's record of a decision, key = '<trigger key>/<code>'."""
    return TriggerRecord(
        key=_key(decision.trigger.key, decision.code),
        at=now,
        kind=str(decision.kind),
        reason=decision.reason,
        decision=decision.decision,
        why=decision.why,
        run=None,
    )


def _key(trigger: str, code: Code) -> str:
    return f"{trigger}/{code}"


def _past(record: TriggerRecord) -> Past:
    trigger, _, code = record.key.rpartition("/")
    return Past(trigger, TriggerKind(record.kind), Code(code), record.at)
