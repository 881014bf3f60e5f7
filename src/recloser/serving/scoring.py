"""Owns who answers: asks the models of a route, guards each answer and walks the ladder. Keeps no state of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from recloser.core import FloatArray, ModelRows
from recloser.serving.answer import Incident, IncidentKind, Scoring
from recloser.serving.batch import Batch
from recloser.serving.guard import OUTSIDE, RAMP, GuardPolicy, answer_faults, distances, input_faults
from recloser.serving.handover import Handover, Unwatched, Verdicts, Watch
from recloser.serving.limits import AssetLimits
from recloser.serving.predictor import LATE, Predictor, ask, is_prompt, reads_of
from recloser.serving.route import NAIVE, Route, arm_of, chosen_for_canary
from recloser.serving.seen import unseen
from recloser.serving.trips import TripSwitch

NO_REFERENCE = "no champion's answer to compare with"
OUT_OF_TIME = "the caller's time is up"
LACKING = "the request lacks columns that it reads"
UNSEEN = "inputs beyond what it was trained on"
SHARED = "no safe answer, nor is the champion's: it lies in the inputs"
BLAMELESS = frozenset({NO_REFERENCE, OUT_OF_TIME, LACKING, UNSEEN, SHARED})
"""Faults that are not the model's own: no incident, no count towards a trip."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a request is answered with: loaded models, limits by area, the guard and the quantile levels."""

    predictors: Mapping[str, Predictor]
    limits: Mapping[str, AssetLimits]
    policy: GuardPolicy
    quantiles: tuple[float, ...]


def score(route: Route, setting: Setting, switch: TripSwitch, batch: Batch, now: datetime) -> Scoring:
    """Score champion and challengers on every group with sound inputs and choose who answers for each group.

    A failure stays with its model and its group. A trip acts at once, on the groups of this very batch too.
    """
    course = Course(route, setting, switch, batch, now)
    course.decide()
    return course.follow()


def check(release: str, setting: Setting, batch: Batch, now: datetime, watch: Watch | None = None) -> Scoring:
    """Ask one model by name and guard its answer; groups that fail get no number."""
    watch = Unwatched() if watch is None else watch
    bad = input_faults(batch, setting.limits, setting.policy)
    sound = [index for index in range(len(batch.areas)) if index not in bad]
    watch.begin(release)
    verdicts = _judge(release, setting, batch, sound)
    watch.end()
    faults = bad | verdicts.faults
    areas = range(len(batch.areas))
    incidents = [Incident("input", reason, now, batch.areas[index], group=index) for index, reason in bad.items()]
    incidents += [
        Incident("output", reason, now, batch.areas[index], release, "T0", index)
        for index, reason in verdicts.faults.items()
    ]
    return Scoring(
        [None if index in faults else release for index in areas],
        ["unavailable" if index in faults else "direct" for index in areas],
        [faults.get(index, "") for index in areas],
        [{release: verdicts.mw[index]} if index in verdicts.mw else {} for index in areas],
        incidents,
        {},
    )


def nobody(reason: str, batch: Batch) -> Scoring:
    """Return the decision that nobody answers for any group, for one reason."""
    n = len(batch.areas)
    return Scoring([None] * n, ["unavailable"] * n, [reason] * n, [{} for _ in range(n)], [], {})


def _judge(name: str, setting: Setting, batch: Batch, indices: Sequence[int]) -> Verdicts:
    """Ask a model about some groups in one call; where that fails as a whole, ask group by group."""
    verdicts = Verdicts()
    if not indices:
        return verdicts
    part = batch.take(indices)
    mw = ask(setting.predictors[name], part.rows, len(setting.quantiles))
    if isinstance(mw, str):
        if len(indices) == 1 or mw.startswith(LATE):
            verdicts.faults = dict.fromkeys(indices, mw)
            return verdicts
        for index in indices:
            alone = _judge(name, setting, batch, [index])
            verdicts.mw |= alone.mw
            verdicts.faults |= alone.faults
        return verdicts
    faults = answer_faults(mw, part, setting.limits)
    for position, index in enumerate(indices):
        verdicts.mw[index] = mw[part.rows_of(position)]
        if position in faults:
            verdicts.faults[index] = faults[position]
    return verdicts


class Course:
    """The course of one batch; lives for one batch and belongs to one thread at a time.

    Args:
        route, setting, switch: in force when it began.
        batch: what is asked.
        now: when (aware UTC).
        watch: told of every model that is asked.
        handover: what an earlier course of the same batch left; None to begin anew.
    """

    def __init__(  # noqa: PLR0913 - the five facts of a request, the watch and what was handed over
        self,
        route: Route,
        setting: Setting,
        switch: TripSwitch,
        batch: Batch,
        now: datetime,
        *,
        watch: Watch | None = None,
        handover: Handover | None = None,
    ) -> None:
        self.route, self.setting, self.switch, self.batch, self.now = route, setting, switch, batch, now
        self.watch: Watch = Unwatched() if watch is None else watch
        self.groups = range(len(batch.areas)) if handover is None else handover.groups
        self.known: Mapping[str, Verdicts] = {} if handover is None else handover.known
        self.absent: Mapping[str, str] = {} if handover is None else handover.absent
        self.done: dict[str, Verdicts] = {}
        self.incidents: list[Incident] = []
        self.answers: list[dict[str, FloatArray]] = [{} for _ in batch.areas]
        self.release: list[str | None] = [None] * len(batch.areas)
        self.served_by = ["unavailable"] * len(batch.areas)
        self.reasons: list[list[str]] = [[] for _ in batch.areas]
        self.divergence: dict[str, dict[int, float]] = {}
        self.sound: list[int] = []
        self.champion = Verdicts()

    def decide(self) -> Scoring:
        """Choose who answers for each group, by champion, canary and ladder; the shadow is not asked yet."""
        if not self.groups:
            return self._scoring()
        bad = input_faults(self.batch, self.setting.limits, self.setting.policy)
        for index in self.groups:
            if index in bad:
                self.incidents.append(Incident("input", bad[index], self.now, self.batch.areas[index], group=index))
                self.reasons[index].append(f"input: {bad[index]}")
        self.sound = [index for index in self.groups if index not in bad]
        self.champion = self._ask_champion()
        canary = None
        if self.route.canary is not None and self.route.canary not in self.switch.tripped:
            canary = self._ask_challenger(self.route.canary)
        for index in self.sound:
            self._choose(index, canary)
        self._walk_ladder(bad)
        return self._scoring()

    def follow(self) -> Scoring:
        """Ask the shadow too, after the answers are settled, and return the whole evidence."""
        shadow = self.route.shadow
        if shadow is not None and shadow not in self.switch.tripped and self.groups:
            self._ask_challenger(shadow)
        return self._scoring()

    def evidence(self) -> Scoring:
        """Return what is known so far, for a course that ends before its shadow came back."""
        return self._scoring()

    def _scoring(self) -> Scoring:
        reasons = ["; ".join(parts) if parts else "" for parts in self.reasons]
        return Scoring(self.release, self.served_by, reasons, self.answers, self.incidents, self.divergence)

    def resumed(self, groups: Sequence[int], absent: Mapping[str, str], watch: Watch) -> Course:
        """Return a course that goes on with some groups where this one stands, without asking the absent models."""
        known = dict(self.done)
        handover = Handover(groups, {**self.known, **known}, {**self.absent, **absent})
        return Course(self.route, self.setting, self.switch, self.batch, self.now, watch=watch, handover=handover)

    def predictor(self, name: str) -> Predictor:
        """Return a model of the route."""
        return self.setting.predictors[name]

    @property
    def prompt(self) -> bool:
        """Tell whether every model of the route says that it answers in bounded time."""
        return all(is_prompt(self.setting.predictors[name]) for name in self.route.names())

    def blame(self, name: str, reason: str) -> list[Incident]:
        """Count a model that is late although nobody waits for it; return the incidents."""
        incidents = [Incident("late", reason, self.now, self.batch.areas[0], name, "T0", 0)]
        if name in self.route.challengers():
            incidents += self._count(name, dict.fromkeys(range(len(self.batch.areas)), reason), 0)
        return incidents

    def _count(self, name: str, failures: Mapping[int, str], group: int) -> list[Incident]:
        """Count a challenger's failures, by group; return the incident of its trip, blamed on `group`, if it trips."""
        policy, areas = self.setting.policy, self.batch.areas
        words = [f"{areas[index]}: {reason}" for index, reason in list(failures.items())[-policy.trip_after :]]
        cut = self.switch.note(name, words, self.now, policy.trip_window, policy.trip_after)
        return [] if cut is None else [Incident("trip", cut.reason, self.now, areas[group], name, "T0", group)]

    def _ask(self, name: str, indices: Sequence[int]) -> Verdicts:
        """Return a model's verdicts on some groups; what it answered before the course changed hands is kept."""
        known = self.known.get(name)
        if known is None:
            return self._ask_now(name, indices)
        rest = [index for index in indices if index not in known.mw and index not in known.faults]
        verdicts = self._ask_now(name, rest) if rest else Verdicts()
        verdicts.mw |= {index: mw for index, mw in known.mw.items() if index in indices}
        verdicts.faults |= {index: why for index, why in known.faults.items() if index in indices}
        return verdicts

    def _ask_now(self, name: str, indices: Sequence[int]) -> Verdicts:
        if name in self.absent:
            return Verdicts(faults=dict.fromkeys(indices, self.absent[name]))
        self.watch.begin(name)
        verdicts = _judge(name, self.setting, self.batch, indices)
        self.watch.end()
        self.done[name] = Verdicts(verdicts.mw, dict(verdicts.faults))
        return verdicts

    def _ask_champion(self) -> Verdicts:
        if self.route.champion is None:
            return Verdicts(faults=dict.fromkeys(self.sound, "there is none yet"))
        verdicts = self._ask(self.route.champion, self.sound)
        self._record(self.route.champion, verdicts)
        return verdicts

    def _ask_challenger(self, name: str) -> Verdicts:
        """Judge a challenger by the guard and by its distance to the champion; count failures and trip."""
        if isinstance(self.batch.rows, ModelRows) and not self._has_all(name):
            return Verdicts(faults=dict.fromkeys(self.sound, LACKING))
        odd = unseen(self.batch, self.setting.policy.seen.get(name, ()), self.setting.limits)
        verdicts = self._ask(name, [index for index in self.sound if index not in odd] if odd else self.sound)
        for index, reason in verdicts.faults.items():
            if reason in (OUTSIDE, RAMP) and self.champion.faults.get(index) == reason:
                verdicts.faults[index] = SHARED
        self._compare(name, verdicts)
        if odd:
            verdicts.faults |= {index: UNSEEN for index in self.sound if index in odd}
        self._record(name, verdicts)
        blamed = [index for index, reason in verdicts.faults.items() if reason not in BLAMELESS]
        if name in self.known:  # the course that asked it has counted its failures
            return verdicts
        if blamed:
            self.incidents += self._count(name, {index: verdicts.faults[index] for index in blamed}, blamed[-1])
        return verdicts

    def _has_all(self, name: str) -> bool:
        """Tell whether the caller's rows have the columns that a model reads."""
        return set(reads_of(self.setting.predictors[name])).issubset(self.batch.names)

    def _compare(self, name: str, verdicts: Verdicts) -> None:
        """Measure the distance to the champion and add the faults that follow from it."""
        limit, champion = self.setting.policy.divergence_limit(name), self.champion
        both = [i for i in sorted(verdicts.mw) if i in champion.mw and i not in champion.faults]
        if both:
            ours, theirs = (
                side.mw[both[0]] if len(both) == 1 else np.concatenate([side.mw[i] for i in both])
                for side in (verdicts, champion)
            )
            found = distances(ours, theirs, self.batch.take(both))
            self.divergence[name] = {i: far for i, far in zip(both, found, strict=True) if far - far == 0.0}
            for index, distance in zip(both, found, strict=True):
                if limit is not None and not distance <= limit:
                    reason = f"{distance:.3g} recent levels from the champion, allowed {limit:.3g}"
                    verdicts.faults.setdefault(index, reason)
        if limit is not None and len(both) < len(verdicts.mw):
            for index in sorted(verdicts.mw.keys() - set(both)):
                verdicts.faults.setdefault(index, NO_REFERENCE)

    def _record(self, name: str, verdicts: Verdicts) -> None:
        """Keep finite answers as evidence and write an incident per fault of the model's own."""
        for index, mw in verdicts.mw.items():
            if verdicts.faults.get(index) != "not finite":
                self.answers[index][name] = mw
        for index, reason in verdicts.faults.items():
            if reason not in BLAMELESS:
                kind: IncidentKind = "late" if reason.startswith(LATE) else "output"
                self.incidents.append(Incident(kind, reason, self.now, self.batch.areas[index], name, "T0", index))

    def _choose(self, index: int, verdicts: Verdicts | None) -> None:
        """Let the intended model answer, else the champion; leave the rest to the ladder."""
        area, canary, reasons, champion = self.batch.areas[index], self.route.canary, self.reasons[index], self.champion
        if canary is not None and chosen_for_canary(self.route, area):
            if arm_of(self.route, area, self.now) == "champion":
                reasons.append("lease expired")
            elif canary in self.switch.tripped:
                reasons.append(f"canary {canary} tripped")
            elif verdicts is not None and index not in verdicts.faults:
                self._serve(index, canary, "canary")
                return
            if verdicts is not None and index in verdicts.faults:
                reasons.append(f"canary {canary}: {verdicts.faults[index]}")
        if index in champion.faults:
            reasons.append(f"champion {self.route.champion or ''}: {champion.faults[index]}".replace(" :", ":"))
        elif self.route.champion is not None:
            self._serve(index, self.route.champion, "champion")

    def _serve(self, index: int, name: str, served_by: str) -> None:
        self.release[index], self.served_by[index] = name, served_by

    def _walk_ladder(self, bad: Mapping[int, str]) -> None:
        """Ask rung after rung about the groups still without an answer; bad inputs go to the naive rungs only."""
        waiting = [index for index in self.groups if self.release[index] is None]
        if not waiting:
            return
        for name in self.route.fallback:
            asked = [
                index
                for index in waiting
                if self.release[index] is None
                and self.batch.areas[index] in self.setting.limits
                and (name in NAIVE or index not in bad)
            ]
            if not asked:
                continue
            verdicts = self._ask(name, asked)
            self._record(name, verdicts)
            for index in asked:
                if index in verdicts.faults:
                    self.reasons[index].append(f"{name}: {verdicts.faults[index]}")
                else:
                    self._serve(index, name, f"fallback:{name}")
        for index in waiting:
            if self.release[index] is None:
                reason = "; ".join(self.reasons[index])
                self.incidents.append(Incident("unavailable", reason, self.now, self.batch.areas[index], group=index))
