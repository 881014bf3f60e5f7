"""Owns turning trigger decisions into pipeline runs and passed candidates into rollouts. Decides neither."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from recloser.app.loop.past.walking import Walked, check_past
from recloser.app.people.proposers import ask_for_run, proposers_of
from recloser.app.platform import Platform
from recloser.app.requests import absent_commits, answered, commit_request, data_request, standing_requests
from recloser.core import RecloserError, Refused, VirtualClock, format_utc, parse_utc, short_id
from recloser.engines import Engine, LocalEngine, ProgressListener, RetryPolicy, RunOutcome, StepProgress
from recloser.ledger import ReleaseRecord, RolloutRecord, RunRecord, StateRecord
from recloser.rollout import RolloutController, RolloutPlan
from recloser.triggers import Surroundings, Trigger, TriggerDesk, TriggerKind, TriggerPolicy


@dataclass(frozen=True, slots=True)
class RunOrder:
    """A run to make.

    Attributes:
        key: of the run.
        as_of: its point of view (aware UTC).
        trigger, reason: what started it, and why.
        extra: further parameters, JSON-ready.
    """

    key: str
    as_of: datetime
    trigger: str
    reason: str
    extra: Mapping[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the run."""
        return {"as_of": format_utc(self.as_of), "run": self.key, "trigger": self.trigger, **self.extra}


class RunsApart(Protocol):
    """Makes runs somewhere else than on the caller's thread, one after the other; their records are in the ledger."""

    @property
    def busy(self) -> bool:
        """Whether a run is under way or waits."""
        ...

    def start(self, order: RunOrder) -> None:
        """Take an order in; returns at once."""
        ...

    def ended(self) -> list[RunOrder]:
        """Return the orders whose runs have ended since, each once; a run that ended is done or failed in the ledger.

        Raises:
            Unavailable: the ledger cannot be reached now; ask again.
        """
        ...


def merged(triggers: Iterable[Trigger]) -> list[Trigger]:
    """Return triggers of one key as one with the people of all: a push that was told, and its authors in the folder."""
    found: dict[str, Trigger] = {}
    for trigger in triggers:
        first = found.setdefault(trigger.key, trigger)
        found[trigger.key] = replace(first, asked_by=tuple(dict.fromkeys((*first.asked_by, *trigger.asked_by))))
    return list(found.values())


BEGUN = "triggers.begun"
ON_CLUSTER = "kubeflow"
LIVE = ("queued", "shadow", "canary", "probation", "held", "awaiting_approval")


class Retraining:
    """Starts runs that the triggers decided on, and queues what passed staging.

    Args:
        platform: the project.
        controller: takes passed candidates.
        say: told of progress.
        apart: makes the runs; None: they are made here and now.
    """

    def __init__(
        self,
        platform: Platform,
        controller: RolloutController,
        say: Callable[[str], None],
        apart: RunsApart | None = None,
    ) -> None:
        self._apart = apart
        self._platform = platform
        self._controller = controller
        self._say = say
        self._desk = TriggerDesk(platform.ledger, self._policy(), platform.clock)
        self._begun_at = platform.clock.now()
        self._resumed = False
        self.engine: Engine | None = None  # None: runs are made in this process
        self._offered: set[str] = set()
        self.requests: list[tuple[Trigger, dict[str, Any]]] = []

    def _policy(self) -> TriggerPolicy:
        triggers = self._platform.project.triggers
        drift = {TriggerKind.DRIFT, TriggerKind.DEGRADATION}
        kinds = frozenset(TriggerKind) if triggers.on_drift else frozenset(set(TriggerKind) - drift)
        return TriggerPolicy(
            kinds=kinds if triggers.budget_per_90_days else frozenset(),
            schedule=triggers.recurrence(self._platform.horizon.zone),
            cooldown=timedelta(days=triggers.cooldown_days),
            budget=max(1, triggers.budget_per_90_days),
            budget_window=timedelta(days=90),
            excludable=0.25,
        )

    def tick(self, now: datetime, unmasked: frozenset[str]) -> bool:
        """Decide on all standing triggers and run what was started; return whether anything was.

        While a run is under way elsewhere nothing is decided.
        """
        started = self._resume() if not self._resumed else False
        self._resumed = True
        started |= self.collect()
        if self.busy:
            return started
        due = [(trigger, extra) for trigger, extra in self.requests if trigger.at <= now]
        self.requests = [item for item in self.requests if item[0].at > now or not answered(self._platform, item[0])]
        due += [(trigger, {}) for trigger in self._asked(now)]
        around = Surroundings(
            begun_at=self._begun(now),
            areas=frozenset(self._platform.areas),
            unmasked=unmasked,
            rollout_live=bool(self._platform.ledger.find(RolloutRecord, state=list(LIVE), limit=1)),
            absent=absent_commits(self._platform, (trigger for trigger, _ in due)),
        )
        extras = {trigger.key: extra for trigger, extra in due}
        for decision in self._desk.tick([trigger for trigger, _ in due], around):
            if decision.decision == "start":
                extra = {"excluded": list(decision.excluded), **extras.get(decision.trigger.key, {})}
                key = self.run_key(now, decision.trigger.key)
                self._desk.attach(decision, key)
                started |= self._tried(RunOrder(key, now, str(decision.kind), decision.reason, extra))
        return started

    @property
    def busy(self) -> bool:
        """Whether a run is under way elsewhere."""
        return self._apart is not None and self._apart.busy

    def collect(self) -> bool:
        """Take in the runs that ended elsewhere, and submit what passed; return whether there was any."""
        orders = [] if self._apart is None else self._apart.ended()
        for order in orders:
            run = self._platform.ledger.get(RunRecord, order.key)
            if run is not None:
                self._submit_passed(run)
        return self._submit_of_cluster() or bool(orders)

    def _submit_of_cluster(self) -> bool:
        """Queue once what the newest run of a cluster brought; tell if so."""
        for run in self._platform.ledger.find(
            RunRecord, state="done", order_by="finished_at", descending=True, limit=1
        ):
            if run.parameters.get("engine") == ON_CLUSTER and run.key not in self._offered:
                self._offered.add(run.key)
                return self._submit_forgotten()
        return False

    def _submit_passed(self, run: RunRecord) -> None:
        if run.state == "done" and run.verdict == "pass" and run.candidate is not None:
            self.submit(run.candidate, run.reason)

    def _begun(self, now: datetime) -> datetime:
        """Return when this project first watched its triggers: a due date that falls into a restart is not lost."""
        state = self._platform.ledger.get(StateRecord, BEGUN)
        if state is not None:
            return parse_utc(state.state["at"], BEGUN)
        with self._platform.ledger.change("triggers", now) as change:
            change.put(StateRecord(BEGUN, now, {"at": format_utc(self._begun_at)}), expected_version=0)
            change.note("trigger.begin", BEGUN, {"at": format_utc(self._begun_at)})
        return self._begun_at

    def _asked(self, now: datetime) -> list[Trigger]:
        """Return what people and programs asked for, a new commit, new data; a replay has the last alone."""
        data = data_request(self._platform, now)
        found = [] if data is None else [data]
        if isinstance(self._platform.clock, VirtualClock):
            return found
        asked, commit = standing_requests(self._platform), commit_request(self._platform, now)
        return merged([*asked, *found, *([] if commit is None else [commit])])

    def _resume(self) -> bool:
        """Go on with what a killed process left: starts without a run, and runs without an end."""
        ledger = self._platform.ledger
        found = self._submit_forgotten()
        for record in self._desk.unattended():
            key = record.run or self.run_key(record.at, record.key.rpartition("/")[0])
            if record.run is None:
                with ledger.change("triggers", self._platform.clock.now()) as change:
                    change.put(replace(record, run=key))
                    change.note("trigger.run", record.key, {"run": key})
            extra = {"excluded": self._desk.excluded(record)}
            found |= self._tried(RunOrder(key, record.at, record.kind, record.reason, extra))
        for run in ledger.find(RunRecord, state="running"):
            if run.parameters.get("engine") == ON_CLUSTER:  # its steps go on there
                continue
            extra = {name: item for name, item in run.parameters.items() if name not in {"as_of", "run", "trigger"}}
            as_of = parse_utc(run.parameters["as_of"], run.key)
            found |= self._tried(RunOrder(run.key, as_of, run.trigger, run.reason, extra))
        return found

    def _submit_forgotten(self) -> bool:
        """Queue what the newest run brought and nobody rolled out: the process ended between the two; tell if so."""
        ledger = self._platform.ledger
        for run in ledger.find(RunRecord, state="done", order_by="finished_at", descending=True, limit=1):
            release = ledger.get(ReleaseRecord, run.candidate or "")
            accepted = release is not None and release.state == "accepted"
            if accepted and not ledger.find(RolloutRecord, release=run.candidate, limit=1):
                self._submit_passed(run)
                return True
        return False

    def _tried(self, order: RunOrder) -> bool:
        """Run, and tell a failure instead of raising it: forecasts go on without a new model."""
        if self._apart is not None:
            self._apart.start(order)
            return False
        try:
            self.run(order)
        except RecloserError as error:
            self._say(f"run {order.key} failed: {error.explain()}")
        return True

    def run_key(self, now: datetime, trigger: str) -> str:
        """Return the deterministic key of a run: equal request, equal data, equal key."""
        return short_id("run", [trigger, now, self._platform.features.digest])

    def run(self, order: RunOrder, asked_by: str | None = None) -> RunOutcome:
        """Run the pipeline and submit what passed; the same key resumes what was killed or failed.

        Args:
            order: the run.
            asked_by: the person who asks for it; None: nobody, or its trigger says who.

        Raises:
            RecloserError: a step failed; it is recorded, and nothing is deployed.
        """
        if asked_by is not None:
            ask_for_run(self._platform, order.key, asked_by)
        outcome = self.make(order)
        if outcome.verdict == "pass" and outcome.candidate is not None:
            self.submit(outcome.candidate, order.reason, asked_by)
        return outcome

    def make(self, order: RunOrder) -> RunOutcome:
        """Run the pipeline and submit nothing; before the first model, history that was never checked is.

        Raises:
            RecloserError: a step failed; it is recorded.
        """
        past = Walked() if self._platform.champion() is not None else check_past(self._platform, order.as_of)
        if past.flagged:
            self._say(past.told())
        tracing = self._platform.tracing
        if tracing is None:
            return self._made(order, ())
        with tracing.run(order.key, {"trigger": order.trigger, "reason": order.reason}) as listener:
            return self._made(order, (listener,))

    def _made(self, order: RunOrder, listeners: tuple[ProgressListener, ...]) -> RunOutcome:
        platform = self._platform

        def progress(step: StepProgress) -> None:
            for listener in (*listeners, self._progress):
                listener(step)

        local = LocalEngine(platform.ledger, platform.clock, RetryPolicy(), self._sleep, progress)
        engine = self.engine or local
        pipeline, bench = platform.hooks.pipeline(), platform.workbench()
        return engine.run(pipeline, bench, order.key, order.trigger, order.reason, order.parameters)

    def _sleep(self, seconds: float) -> None:
        """Wait before a step is tried again; virtual time does not wait."""
        if not isinstance(self._platform.clock, VirtualClock):
            time.sleep(seconds)

    def _progress(self, step: StepProgress) -> None:
        if step.state in {"failed", "retrying"}:
            self._say(f"  {step.run} {step.name}: {step.state} {step.detail}")

    def submit(self, release: str, reason: str, asked_by: str | None = None) -> None:
        """Queue the rollout of a release that passed staging; `asked_by` is the person who asks for that now."""
        record = self._platform.ledger.get(ReleaseRecord, release)
        scale = None if record is None else record.facts["scales"].get("paired_sd")
        try:
            proposers = proposers_of(self._platform, release, () if asked_by is None else (asked_by,))
            self._controller.submit(release, self.plan(), scale=scale, reason=reason, proposers=proposers)
        except Refused as error:
            self._say(f"{release} is not rolled out: {error.explain()}")

    def plan(self) -> RolloutPlan:
        """Return the rollout plan of the project file."""
        project = self._platform.project
        return project.rollout.plan(divergence_steps=max(2, int(timedelta(hours=3) / project.resolution)))
