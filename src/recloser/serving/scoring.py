"""Owns who answers: asks the models of a route, guards each answer and walks the ladder. Keeps no state of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from recloser.core import FloatArray
from recloser.serving.answer import Incident, Scoring
from recloser.serving.batch import Batch
from recloser.serving.guard import GuardPolicy, answer_faults, distances, input_faults
from recloser.serving.limits import AssetLimits
from recloser.serving.predictor import Predictor, ask
from recloser.serving.route import NAIVE, Route, arm_of, chosen_for_canary
from recloser.serving.trips import TripSwitch

NO_REFERENCE = "no champion's answer to compare with"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a request is answered with: loaded models, limits by area, the guard and the quantile levels."""

    predictors: Mapping[str, Predictor]
    limits: Mapping[str, AssetLimits]
    policy: GuardPolicy
    quantiles: tuple[float, ...]


@dataclass(slots=True)
class _Verdicts:
    """One model's answers and faults by index of the area in the whole batch."""

    mw: dict[int, FloatArray] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)


def score(route: Route, setting: Setting, switch: TripSwitch, batch: Batch, now: datetime) -> Scoring:
    """Score champion and challengers on every area with sound inputs and choose who answers for each area.

    A failure stays with its model and its area. A trip acts at once, on the areas of this very batch too.
    """
    return _Request(route, setting, switch, batch, now).run()


def check(release: str, setting: Setting, batch: Batch, now: datetime) -> Scoring:
    """Ask one model by name and guard its answer; areas that fail get no number."""
    bad = input_faults(batch, setting.limits, setting.policy)
    sound = [index for index in range(len(batch.areas)) if index not in bad]
    verdicts = _judge(release, setting, batch, sound)
    faults = bad | verdicts.faults
    areas = range(len(batch.areas))
    incidents = [Incident("input", reason, now, batch.areas[index]) for index, reason in bad.items()]
    incidents += [
        Incident("output", reason, now, batch.areas[index], release, "T0") for index, reason in verdicts.faults.items()
    ]
    return Scoring(
        [None if index in faults else release for index in areas],
        ["unavailable" if index in faults else "direct" for index in areas],
        [faults.get(index, "") for index in areas],
        [{release: verdicts.mw[index]} if index in verdicts.mw else {} for index in areas],
        incidents,
        {},
    )


def _judge(name: str, setting: Setting, batch: Batch, indices: Sequence[int]) -> _Verdicts:
    """Ask a model about some areas in one call; where that fails as a whole, ask area by area."""
    verdicts = _Verdicts()
    if not indices:
        return verdicts
    part = batch.take(indices)
    mw = ask(setting.predictors[name], part.frame, len(setting.quantiles))
    if isinstance(mw, str):
        if len(indices) == 1:
            verdicts.faults[indices[0]] = mw
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


class _Request:
    """The course of one request; lives for one call."""

    def __init__(self, route: Route, setting: Setting, switch: TripSwitch, batch: Batch, now: datetime) -> None:
        self.route, self.setting, self.switch, self.batch, self.now = route, setting, switch, batch, now
        self.incidents: list[Incident] = []
        self.answers: list[dict[str, FloatArray]] = [{} for _ in batch.areas]
        self.release: list[str | None] = [None] * len(batch.areas)
        self.served_by = ["unavailable"] * len(batch.areas)
        self.reasons: list[list[str]] = [[] for _ in batch.areas]
        self.divergence: dict[str, dict[str, float]] = {}

    def run(self) -> Scoring:
        if not self.batch.areas:
            return self._scoring()
        bad = input_faults(self.batch, self.setting.limits, self.setting.policy)
        for index, reason in bad.items():
            self.incidents.append(Incident("input", reason, self.now, self.batch.areas[index]))
            self.reasons[index].append(f"input: {reason}")
        sound = [index for index in range(len(self.batch.areas)) if index not in bad]
        champion = self._ask_champion(sound)
        challengers = {
            name: self._ask_challenger(name, sound, champion)
            for name in self.route.challengers()
            if name not in self.switch.tripped
        }
        for index in sound:
            self._choose(index, champion, challengers)
        self._walk_ladder(frozenset(bad))
        return self._scoring()

    def _scoring(self) -> Scoring:
        reasons = ["; ".join(parts) for parts in self.reasons]
        return Scoring(self.release, self.served_by, reasons, self.answers, self.incidents, self.divergence)

    def _ask_champion(self, sound: Sequence[int]) -> _Verdicts:
        if self.route.champion is None:
            return _Verdicts(faults=dict.fromkeys(sound, "there is none yet"))
        verdicts = _judge(self.route.champion, self.setting, self.batch, sound)
        self._record(self.route.champion, verdicts)
        return verdicts

    def _ask_challenger(self, name: str, sound: Sequence[int], champion: _Verdicts) -> _Verdicts:
        """Judge a challenger by the guard and by its distance to the champion; count failures and trip."""
        verdicts = _judge(name, self.setting, self.batch, sound)
        self._compare(name, verdicts, champion)
        self._record(name, verdicts)
        blamed = [index for index, reason in verdicts.faults.items() if reason != NO_REFERENCE]
        policy = self.setting.policy
        if blamed and self.switch.note(name, len(blamed), self.now, policy.trip_window, policy.trip_after):
            last = verdicts.faults[blamed[-1]]
            reason = f"{policy.trip_after} failed answers within {policy.trip_window}; the last: {last}"
            self.incidents.append(Incident("trip", reason, self.now, self.batch.areas[blamed[-1]], name, "T0"))
        return verdicts

    def _compare(self, name: str, verdicts: _Verdicts, champion: _Verdicts) -> None:
        """Measure the distance to the champion and add the faults that follow from it."""
        limit = self.setting.policy.divergence_limit(name)
        both = [i for i in sorted(verdicts.mw) if i in champion.mw and i not in champion.faults]
        if both:
            ours, theirs = (np.concatenate([side.mw[i] for i in both]) for side in (verdicts, champion))
            found = distances(ours, theirs, self.batch.take(both)).tolist()
            self.divergence[name] = {
                self.batch.areas[i]: distance for i, distance in zip(both, found, strict=True) if np.isfinite(distance)
            }
            for index, distance in zip(both, found, strict=True):
                if limit is not None and not distance <= limit:
                    reason = f"{distance:.3g} recent levels from the champion, allowed {limit:.3g}"
                    verdicts.faults.setdefault(index, reason)
        if limit is not None:
            for index in sorted(verdicts.mw.keys() - set(both)):
                verdicts.faults.setdefault(index, NO_REFERENCE)

    def _record(self, name: str, verdicts: _Verdicts) -> None:
        """Keep finite answers as evidence and write an incident per fault of the model's own."""
        for index, mw in verdicts.mw.items():
            if verdicts.faults.get(index) != "not finite":
                self.answers[index][name] = mw
        for index, reason in verdicts.faults.items():
            if reason != NO_REFERENCE:
                self.incidents.append(Incident("output", reason, self.now, self.batch.areas[index], name, "T0"))

    def _choose(self, index: int, champion: _Verdicts, challengers: Mapping[str, _Verdicts]) -> None:
        """Let the intended model answer, else the champion; leave the rest to the ladder."""
        area, canary, reasons = self.batch.areas[index], self.route.canary, self.reasons[index]
        if canary is not None and chosen_for_canary(self.route, area):
            if arm_of(self.route, area, self.now) == "champion":
                reasons.append("lease expired")
            elif canary in self.switch.tripped:
                reasons.append(f"canary {canary} tripped")
            elif index not in challengers[canary].faults:
                self._serve(index, canary, "canary")
                return
            if canary in challengers and index in challengers[canary].faults:
                reasons.append(f"canary {canary}: {challengers[canary].faults[index]}")
        if index in champion.faults:
            reasons.append(f"champion {self.route.champion or ''}: {champion.faults[index]}".replace(" :", ":"))
        elif self.route.champion is not None:
            self._serve(index, self.route.champion, "champion")

    def _serve(self, index: int, name: str, served_by: str) -> None:
        self.release[index], self.served_by[index] = name, served_by

    def _walk_ladder(self, bad: frozenset[int]) -> None:
        """Ask rung after rung about the areas still without an answer; bad inputs go to the naive rungs only."""
        for name in self.route.fallback:
            waiting = [index for index, release in enumerate(self.release) if release is None]
            asked = [
                index
                for index in waiting
                if self.batch.areas[index] in self.setting.limits and (name in NAIVE or index not in bad)
            ]
            verdicts = _judge(name, self.setting, self.batch, asked)
            self._record(name, verdicts)
            for index in asked:
                if index in verdicts.faults:
                    self.reasons[index].append(f"{name}: {verdicts.faults[index]}")
                else:
                    self._serve(index, name, f"fallback:{name}")
        for index, release in enumerate(self.release):
            if release is None:
                reason = "; ".join(self.reasons[index])
                self.incidents.append(Incident("unavailable", reason, self.now, self.batch.areas[index]))
