"""Owns the in-process data plane: one request in, safe answers out. Does no I/O and keeps no durable state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from recloser.core import (
    QUANTILES,
    Refused,
    Served,
    Unavailable,
    forecast_id,
    require_utc,
    unknown_name,
)
from recloser.serving.answer import Answer, Incident, Scoring, Tally
from recloser.serving.batch import Batch, batch_of
from recloser.serving.guard import GuardPolicy
from recloser.serving.handover import Handover, Watch
from recloser.serving.limits import AssetLimits
from recloser.serving.predictor import Predictor, is_prompt, reads_of
from recloser.serving.route import Route
from recloser.serving.scoring import Course, Setting, check, score
from recloser.serving.trips import Cut, TripSwitch


@dataclass(frozen=True, slots=True)
class _Slot:
    """Everything a request needs, behind one pointer; an old slot lives until its last request is over."""

    route: Route
    setting: Setting
    switch: TripSwitch

    reads: tuple[tuple[str, ...], tuple[str, ...]] = field(init=False)
    prompt: bool = field(init=False)

    def __post_init__(self) -> None:
        predictors, route = self.setting.predictors, self.route
        first = () if route.champion is None else reads_of(predictors[route.champion])
        others = dict.fromkeys(name for other in route.challengers() for name in reads_of(predictors[other]))
        object.__setattr__(self, "prompt", all(is_prompt(predictors[name]) for name in route.names()))
        object.__setattr__(self, "reads", (first, tuple(name for name in others if name not in first)))


class Gateway:
    """Answers requests by the route in force; guard and fallback ladder run in the same call.

    Reads take no lock: a request works to its end with the slot it began with. Only `swap` replaces the slot.
    Thread safe. Needs no database, registry or controller: a trip or an expired lease acts here alone.

    Raises:
        Refused: the route names a model that is not loaded (invariant I1).
    """

    def __init__(
        self,
        predictors: Mapping[str, Predictor],
        route: Route,
        limits: Mapping[str, AssetLimits],
        policy: GuardPolicy,
        quantiles: tuple[float, ...] = QUANTILES,
    ) -> None:
        self._swapping = threading.Lock()
        self._tally = Tally()
        _refuse_unloaded(route, predictors)
        setting = Setting(dict(predictors), dict(limits), policy, quantiles)
        self._listener: Callable[[int, Cut], None] | None = None
        self._slot = _Slot(route, setting, self._switch(route))

    def on_trip(self, listener: Callable[[int, Cut], None]) -> None:
        """Tell `listener` (epoch of the route, cut) of each trip found here, before the answer that failed goes on.

        It is called on the thread that answers and must neither raise nor take long.
        """
        self._listener = listener

    def _switch(self, route: Route) -> TripSwitch:
        def tell(cut: Cut) -> None:
            if self._listener is not None:
                self._listener(route.epoch, cut)

        return TripSwitch(tell)

    @property
    def route(self) -> Route:
        """The route in force."""
        return self._slot.route

    @property
    def reads(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Columns that the champion says it reads, and those that only challengers read."""
        return self._slot.reads

    @property
    def prompt(self) -> bool:
        """Tell whether every model of the route says that it answers in bounded time."""
        return self._slot.prompt

    @property
    def tripped(self) -> frozenset[str]:
        """Challengers cut off since this route epoch began; empty means none."""
        return self._slot.switch.tripped

    @property
    def cuts(self) -> tuple[int, tuple[Cut, ...]]:
        """The route's epoch and who was cut off under it, first one first."""
        slot = self._slot
        return slot.route.epoch, slot.switch.cuts

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the loaded models."""
        return tuple(self._slot.setting.predictors)

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Levels of every answer."""
        return self._slot.setting.quantiles

    @property
    def limits(self) -> Mapping[str, AssetLimits]:
        """Physical limits by area."""
        return self._slot.setting.limits

    def counts(self) -> dict[tuple[str, str, str], int]:
        """Return (family, kind, release) -> count since the start; families are 'answers' and 'incidents'."""
        return self._tally.snapshot()

    def cut(self, release: str, reason: str, now: datetime, *, epoch: int) -> bool:
        """Cut a challenger off, for what another gateway found under the route of `epoch`; True if it was not yet.

        Under a newer route the same release is on trial by a newer decision: the cut is not one of it.
        """
        slot = self._slot
        if slot.route.epoch != epoch or release not in slot.route.challengers():
            return False
        if not slot.switch.cut(release, reason, now):
            return False
        self._tally.add_incidents([Incident("trip", reason, now, None, release, "T0")])
        return True

    def swap(
        self,
        route: Route,
        predictors: Mapping[str, Predictor],
        *,
        limits: Mapping[str, AssetLimits] | None = None,
        policy: GuardPolicy | None = None,
    ) -> None:
        """Put a route with its models in force, by one assignment; requests under way end with the old one.

        A higher epoch forgets trips. The same epoch may only renew the lease, and keeps them.

        Raises:
            Refused: a model of the route is not loaded, an older epoch, or the same epoch with another decision.
        """
        _refuse_unloaded(route, predictors)
        with self._swapping:
            old = self._slot
            same_decision = replace(route, lease_until=None) == replace(old.route, lease_until=None)
            if route.epoch < old.route.epoch or (route.epoch == old.route.epoch and not same_decision):
                raise Refused(
                    "a route that is not newer",
                    got=route.epoch,
                    expected=f"> {old.route.epoch}, or the same route with a renewed lease",
                    where="gateway.swap",
                    next_step="Read the route in force and decide again.",
                )
            setting = replace(
                old.setting,
                predictors=dict(predictors),
                limits=old.setting.limits if limits is None else dict(limits),
                policy=old.setting.policy if policy is None else policy,
            )
            switch = old.switch if route.epoch == old.route.epoch else self._switch(route)
            self._slot = _Slot(route, setting, switch)

    def answer(self, rows: pl.DataFrame, issued_at: datetime, now: datetime) -> Answer:
        """Answer for every area of one issue's feature frame; never raises because of a model.

        Args:
            rows: area, at, scale_mw and the features; sorted by area, then at.
            issued_at: the issue (aware UTC).
            now: when the answer is made (aware UTC); becomes `Served.made_at`.

        Raises:
            InvalidInput: the frame itself cannot be read as one issue.
        """
        issued_at, now = require_utc(issued_at, "issued_at"), require_utc(now, "now")
        batch = batch_of(rows, issued_at)
        scoring = self.score(batch, now)
        served, missing = [], {}
        for index, (area, targets) in enumerate(zip(batch.areas, batch.targets(), strict=True)):
            release = scoring.release[index]
            if release is None:
                missing[area] = Unavailable("no model could answer", got=scoring.reason[index], where=area)
                continue
            served.append(
                Served(
                    forecast_id(area, issued_at, now, release),
                    area,
                    issued_at,
                    now,
                    targets,
                    self.quantiles,
                    release,
                    scoring.served_by[index],
                    scoring.reason[index],
                    scoring.answers[index],
                )
            )
        divergence = {
            name: {batch.areas[index]: far for index, far in found.items()}
            for name, found in scoring.divergence.items()
        }
        return Answer(served, scoring.incidents, missing, divergence)

    def score(self, batch: Batch, now: datetime) -> Scoring:
        """Decide who answers for each group of a batch, on the caller's thread and without a deadline."""
        slot = self._slot
        scoring = score(slot.route, slot.setting, slot.switch, batch, now)
        self._tally.add(scoring)
        return scoring

    def course(self, batch: Batch, now: datetime, watch: Watch, absent: Mapping[int, str]) -> Course:
        """Begin a batch step by step, by the route in force; whoever drives it counts it with `tally`.

        Args:
            batch: what is asked.
            now: when (aware UTC).
            watch: told of every model that is asked.
            absent: id() of a predictor that must not be asked -> why.
        """
        slot = self._slot
        handover = None
        if absent:
            names = {
                name: absent[id(slot.setting.predictors[name])]
                for name in slot.route.names()
                if id(slot.setting.predictors[name]) in absent
            }
            handover = Handover(range(len(batch.areas)), {}, names)
        return Course(slot.route, slot.setting, slot.switch, batch, now, watch=watch, handover=handover)

    def predictor(self, name: str) -> Predictor:
        """Return a loaded model.

        Raises:
            InvalidInput: no such model is loaded.
        """
        predictors = self._slot.setting.predictors
        if name not in predictors:
            raise unknown_name("model", name, predictors, where="gateway")
        return predictors[name]

    @property
    def policy(self) -> GuardPolicy:
        """How strict the gateway is."""
        return self._slot.setting.policy

    @property
    def tally(self) -> Tally:
        """Running counts; `counts` reads them."""
        return self._tally

    def check(self, release: str, batch: Batch, now: datetime, watch: Watch | None = None) -> Scoring:
        """Ask one loaded model by name, guarded but without a ladder; counts towards nothing.

        Raises:
            InvalidInput: no such model is loaded.
        """
        slot = self._slot
        if release not in slot.setting.predictors:
            raise unknown_name("model", release, slot.setting.predictors, where="gateway")
        return check(release, slot.setting, batch, now, watch)


def _refuse_unloaded(route: Route, predictors: Mapping[str, Predictor]) -> None:
    for name in route.names():
        if name not in predictors:
            raise Refused(
                "a route to a model that is not loaded",
                got=name,
                expected="one of " + ", ".join(sorted(predictors)),
                where="gateway",
                next_step="Load and verify the package first.",
            )
        if predictors[name].release != name:
            raise Refused("a model under another's name", got=predictors[name].release, expected=name, where="gateway")
