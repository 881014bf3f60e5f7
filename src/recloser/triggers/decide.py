"""Owns the decision whether to retrain: a pure function of policy, history, requests and now. Starts no run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from recloser.core import InvalidInput, format_utc, require_utc
from recloser.triggers.schedule import Recurrence
from recloser.triggers.trigger import Code, History, Trigger, TriggerKind

DuringRollout = Literal["start", "queue", "skip"]
_K = TriggerKind

_PRIORITY: Mapping[TriggerKind, int] = {
    _K.API: 0,
    _K.DEGRADATION: 1,
    _K.DRIFT: 2,
    _K.COMMIT: 3,
    _K.REGISTRY: 4,
    _K.DATA: 5,
    _K.SCHEDULE: 6,
}
_DURING_ROLLOUT: Mapping[TriggerKind, DuringRollout] = {
    _K.API: "start",
    _K.DEGRADATION: "queue",
    _K.DRIFT: "queue",
    _K.COMMIT: "queue",
    _K.REGISTRY: "queue",
    _K.DATA: "queue",
    _K.SCHEDULE: "queue",
}
_STANDS_FOR: Mapping[TriggerKind, timedelta] = {_K.API: timedelta(days=1)}
_SIGNALS = frozenset({_K.DRIFT, _K.DEGRADATION})


@dataclass(frozen=True, slots=True)
class TriggerPolicy:
    """When retraining may start.

    Attributes:
        kinds: kinds that may start a run at all.
        schedule: the periodic retraining, or None.
        cooldown: least time between two starts.
        cooldown_exempt: kinds that do not wait for the cooldown.
        budget: most starts within `budget_window`; nobody is exempt.
        budget_window: length of the sliding window.
        during_rollout: what a kind does while a rollout is under way; a start makes the newer release abort it later.
        queue_for: how long a trigger stays worth a run; one of a signal stands as long as the signal while it need not
            wait for a rollout.
        stands_for: the same for single kinds: what a person asked for must surprise nobody days later.
        excludable: largest part of the areas concerned, in [0, 1), that may be left out of a run because of faults;
            0: any fault on the areas concerned forbids the run.
        priority: smaller goes first; the others of the same moment are covered by its run.

    Raises:
        InvalidInput: a budget below 1, a negative time, or `excludable` out of range.
    """

    kinds: frozenset[TriggerKind] = frozenset(TriggerKind)
    schedule: Recurrence | None = None
    cooldown: timedelta = timedelta(days=7)
    cooldown_exempt: frozenset[TriggerKind] = frozenset({TriggerKind.API})
    budget: int = 4
    budget_window: timedelta = timedelta(days=30)
    during_rollout: Mapping[TriggerKind, DuringRollout] = field(default_factory=lambda: dict(_DURING_ROLLOUT))
    queue_for: timedelta = timedelta(days=30)
    stands_for: Mapping[TriggerKind, timedelta] = field(default_factory=lambda: dict(_STANDS_FOR))
    excludable: float = 0.0
    priority: Mapping[TriggerKind, int] = field(default_factory=lambda: dict(_PRIORITY))

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise InvalidInput("a trigger budget", got=self.budget, expected=">= 1", where="triggers.budget")
        if not 0.0 <= self.excludable < 1.0:
            raise InvalidInput("a share", got=self.excludable, expected="in [0, 1)", where="triggers.excludable")
        for name in ("cooldown", "budget_window", "queue_for"):
            if getattr(self, name) < timedelta(0):
                raise InvalidInput("a negative time", got=str(getattr(self, name)), where=f"triggers.{name}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one trigger; a skip is a recorded outcome like a start.

    Attributes:
        trigger: what asked.
        decision: 'start' or 'skip'.
        code: the reason as a word.
        why: the reason as a sentence.
        excluded: faulty areas that the run must leave out.
    """

    trigger: Trigger
    decision: Literal["start", "skip"]
    code: Code
    why: str
    excluded: tuple[str, ...] = ()

    @property
    def kind(self) -> TriggerKind:
        """Kind of the trigger."""
        return self.trigger.kind

    @property
    def reason(self) -> str:
        """Reason of the trigger."""
        return self.trigger.reason


def decide(policy: TriggerPolicy, history: History, requests: Sequence[Trigger], now: datetime) -> list[Decision]:
    """Return the new decisions, most urgent first; at most one of them starts a run.

    Level-triggered: ask again with the same requests at every tick. A trigger that already started or was covered gives
    nothing; one skipped before gives something only when the answer is another. The schedule adds its own trigger for
    its latest due date, which waits for whatever is in its way until it starts, a run covers it, or the next is due.

    Never starts: with code from before the commit that asks, on areas with an open data fault or unmasked faults
    (beyond what the policy lets a run leave out), while a run is under way, within the cooldown, over the budget.

    Args:
        policy: see `TriggerPolicy`.
        history: what was decided before and what is going on.
        requests: triggers standing now.
        now: aware UTC.
    """
    require_utc(now, "triggers.decide")
    standing = frozenset(trigger.key for trigger in requests)
    settled = {item.key for item in history.past if item.code in {Code.STARTED, Code.COVERED, Code.EXPIRED}}
    said = {(item.key, item.code) for item in history.past}
    decisions: list[Decision] = []
    started: Trigger | None = None
    due = due_trigger(policy, history.begun_at, now)
    for trigger in _in_order(policy, history, requests, due):
        if trigger.key in settled:
            continue
        decision = _gone(trigger, standing, due) or _one(policy, history, trigger, started, now)
        if decision.decision == "start":
            started = trigger
        if (trigger.key, decision.code) not in said:
            decisions.append(decision)
    return decisions


def due_trigger(policy: TriggerPolicy, begun_at: datetime, now: datetime) -> Trigger | None:
    """Return the trigger of the schedule's latest due date, None without a schedule or before the first."""
    due = None if policy.schedule is None else policy.schedule.latest(begun_at, now)
    if due is None:
        return None
    key = f"schedule:{due[0].isoformat()}"
    return Trigger(key, TriggerKind.SCHEDULE, due[1], f"scheduled for {format_utc(due[1])}")


def queue_after(history: History, decisions: Sequence[Decision]) -> tuple[Trigger, ...]:
    """Return the triggers that wait after these decisions, in order of key."""
    waiting = {trigger.key: trigger for trigger in history.queued}
    for decision in decisions:
        if decision.code is Code.QUEUED:
            waiting[decision.trigger.key] = decision.trigger
        elif decision.code in {Code.STARTED, Code.COVERED, Code.EXPIRED}:
            waiting.pop(decision.trigger.key, None)
    return tuple(waiting[key] for key in sorted(waiting))


def _in_order(
    policy: TriggerPolicy, history: History, requests: Sequence[Trigger], due: Trigger | None
) -> list[Trigger]:
    standing = {trigger.key: trigger for trigger in (*history.queued, *requests, *([due] if due else []))}
    return sorted(standing.values(), key=lambda item: (policy.priority.get(item.kind, 99), item.at, item.key))


def _gone(trigger: Trigger, standing: frozenset[str], due: Trigger | None) -> Decision | None:
    """Return the skip of a trigger that waited until nothing asks for it any more.

    Its signal closed, a later run knows the data, or the schedule's next date came.
    """
    if trigger.kind in _SIGNALS and trigger.key not in standing:
        return Decision(trigger, "skip", Code.EXPIRED, "its signal closed while it waited")
    if trigger.kind is _K.DATA and trigger.key not in standing:
        return Decision(trigger, "skip", Code.EXPIRED, "a later run knows these data")
    if trigger.kind is _K.SCHEDULE and trigger.key not in {*standing, "" if due is None else due.key}:
        why = "the schedule has changed" if due is None else f"the next date has come: {due.reason}"
        return Decision(trigger, "skip", Code.EXPIRED, why)
    return None


def _one(policy: TriggerPolicy, history: History, trigger: Trigger, started: Trigger | None, now: datetime) -> Decision:
    if trigger.kind not in policy.kinds:
        return Decision(trigger, "skip", Code.DISABLED, f"{trigger.kind} triggers are switched off")
    worth = policy.stands_for.get(trigger.kind, policy.queue_for)
    waits = any(waiting.key == trigger.key for waiting in history.queued)
    if now - trigger.at > worth and (waits or trigger.kind not in _SIGNALS):
        return Decision(trigger, "skip", Code.EXPIRED, f"waited longer than {worth / timedelta(days=1):g} days")
    if trigger.key in history.absent:
        return Decision(trigger, "skip", Code.CODE, "waits until the project's folder holds this commit")
    excluded, fault = _faulty(policy, history, trigger)
    if fault:
        return Decision(trigger, "skip", Code.DATA_FAULT, fault)
    if started is not None:
        return Decision(trigger, "skip", Code.COVERED, f"the run started for {started.key} covers it")
    if history.run_live:
        return Decision(trigger, "skip", Code.RUNNING, "a run is under way")
    waiting = _waiting(policy, history, trigger, now)
    if waiting is not None:
        return waiting
    why = trigger.reason if not excluded else f"{trigger.reason}; without the faulty areas {', '.join(excluded)}"
    return Decision(trigger, "start", Code.STARTED, why, excluded)


def _faulty(policy: TriggerPolicy, history: History, trigger: Trigger) -> tuple[tuple[str, ...], str]:
    """Return the areas a run must leave out, or why there may be no run."""
    bad = history.faults | history.unmasked
    concerned = frozenset(trigger.areas) or history.areas | bad
    hit = sorted(concerned & bad)
    if not hit:
        return (), ""
    if len(hit) <= policy.excludable * len(concerned):
        return tuple(hit), ""
    open_on = sorted(set(hit) & history.faults)
    unmasked = sorted(set(hit) & history.unmasked)
    parts = [f"a data fault is open on {', '.join(open_on)}"] if open_on else []
    parts += [f"training data of {', '.join(unmasked)} holds unmasked faults"] if unmasked else []
    return (), "; ".join(parts) + ": no retraining on bad data"


def _waiting(policy: TriggerPolicy, history: History, trigger: Trigger, now: datetime) -> Decision | None:
    """Return the skip that makes the trigger wait for a rollout, the cooldown or the budget; None when it need not."""
    during = policy.during_rollout.get(trigger.kind, "skip")
    if history.rollout_live and during == "queue":
        return Decision(trigger, "skip", Code.QUEUED, "a rollout is under way: waits until it has ended")
    if history.rollout_live and during == "skip":
        return Decision(trigger, "skip", Code.ROLLOUT, "a rollout is under way")
    last = history.last_start()
    if last is not None and now - last < policy.cooldown and trigger.kind not in policy.cooldown_exempt:
        return Decision(trigger, "skip", Code.COOLDOWN, f"cooling down until {format_utc(last + policy.cooldown)}")
    spent = sum(1 for item in history.past if item.code is Code.STARTED and now - item.at < policy.budget_window)
    if spent >= policy.budget:
        window = f"{policy.budget_window / timedelta(days=1):g} days"
        return Decision(trigger, "skip", Code.BUDGET, f"{spent} runs within {window}: the budget is {policy.budget}")
    return None
