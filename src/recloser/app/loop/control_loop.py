"""Owns the control loop: one cycle per issue, the same in real and in virtual time. Rooms decide; it records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from recloser.app.events.evidence import DetectionEvidence
from recloser.app.events.windows import WindowStore
from recloser.app.loop.book import DayBook, issue_key, issue_state
from recloser.app.loop.evidence import DIVERGENCE, INCIDENTS, LedgerEvidence, counts_of
from recloser.app.loop.harm.judging import HarmWatch
from recloser.app.loop.history import FeatureFrames, History
from recloser.app.loop.retraining import Retraining, RunsApart
from recloser.app.loop.router import LocalRouter
from recloser.app.loop.watch import Watch
from recloser.app.platform import Platform
from recloser.core import FloatArray, RecloserError, Served
from recloser.ledger import ForecastRecord, RouteRecord, StateRecord, decided_again
from recloser.monitoring.shapes.fleet import LEVEL_FACTOR, LEVEL_LEAST, Usual, odd_issue
from recloser.monitoring.shapes.issue import IssueShape, issue_shape, points_an_hour
from recloser.rollout import Outcome, RolloutController, Router, Settings, record_of, trailing_exceedances
from recloser.serving import Answer
from recloser.serving.batch import batch_of

ACTOR = "gateway"
MIRROR = "registry/aliases"
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(minutes=15)
T1_FACTOR = 2.0  # over the staging quantile: hold-out days are fewer than the days of a rollout
T1_LEVEL_FACTOR = LEVEL_FACTOR  # the same for a whole day's level, whose staging quantile is a lower one
T1_LEVEL_LEAST = LEVEL_LEAST  # of the recent level: two honest models may differ by so much on an odd day


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How a loop runs.

    Attributes:
        batch: issues whose features are computed at once (1 in real time).
        last: in a replay, the latest issue.
        say: told of progress in plain sentences.
        retrain: False freezes the first model.
        engine: name of the engine that runs pipelines.
        runs: makes the runs elsewhere; None: they are made on the loop's own thread.
        traffic: makes the router of the rollouts out of the loop's own; None: its own.
    """

    batch: int = 1
    last: datetime | None = None
    say: Callable[[str], None] = lambda _line: None
    retrain: bool = True
    ahead: timedelta = timedelta(0)
    runs: RunsApart | None = None
    traffic: Callable[[LocalRouter], Router] | None = None


class ControlLoop:
    """Runs a project: watch the data, close days, move rollouts, retrain, issue forecasts.

    Everything it needs to go on after a crash is in the ledger and the store; `cycle` may be repeated for the same
    issue: what was issued is not issued again.
    """

    def __init__(self, platform: Platform, options: LoopOptions) -> None:
        self.platform = platform
        self.options = options
        self.history = History(platform.store, platform.watched, ahead=options.ahead)
        self.frames = FeatureFrames(platform.features, self.history, platform.areas, batch=options.batch)
        self.router = LocalRouter(platform)
        lease = timedelta(seconds=platform.project.rollout.lease_seconds)
        approvals = timedelta(hours=platform.project.rollout.approval.expires_hours)
        settings = Settings(
            resolution=platform.project.resolution,
            lease=lease,
            fallback=tuple(platform.ladder(None)),
            approvals_last=approvals,
        )
        router: Router = self.router if options.traffic is None else options.traffic(self.router)
        router = router if platform.tracing is None else platform.tracing.router(router)
        self.controller = RolloutController(platform.ledger, router, platform.clock, platform.verify, settings)
        self.watch = Watch(platform, self.history)
        self.harm = HarmWatch(platform, self.watch.book)
        self.evidence = evidence_of(platform, self.watch.book)
        self._mirror_wait = FIRST_WAIT
        self._mirror_after: datetime | None = None
        self._unanswered: tuple[datetime, tuple[str, ...]] | None = None
        self.retraining = Retraining(platform, self.controller, options.say, options.runs)

    def restore(self) -> None:
        """Bring back what an earlier process held in memory and a re-issue needs: the assets' limits."""
        self.router.restore(self.platform.clock.now())

    def cycle(self, issued_at: datetime) -> None:
        """Run one cycle of the issue at `issued_at` (aware UTC); the clock says when it really is."""
        now = self.platform.clock.now()
        self.watch.check_data(now)
        self.watch.close_days(now)
        self.harm.look(now)
        self.advance()
        if self.options.retrain and self.retraining.tick(now, self.watch.unmasked()):
            self.advance()
        self.watch.calibrate(now)
        self.router.refresh(now)
        self.router.remember(now)
        self.issue(issued_at)
        self.advance()

    def advance(self) -> None:
        """Let the rollout take its steps until nothing changes; at most a few, one per tick."""
        self.watch.book.restore()
        for _ in range(4):
            outcome = self._tick()
            if outcome.action is None or outcome.rollout is None or not outcome.action.changes(outcome.rollout):
                break
        self.mirror()

    def _tick(self) -> Outcome:
        tracing = self.platform.tracing
        tick = self.controller.tick

        def look() -> Outcome:
            return tick(self.evidence) if tracing is None else tracing.tick(tick, self.evidence)

        return decided_again(look)

    def mirror(self) -> None:
        """Make the model registry's aliases as the ledger's route says; it is told, never asked, and may be down."""
        ledger, now = self.platform.ledger, self.platform.clock.now()
        route, state = ledger.get(RouteRecord, "route"), ledger.get(StateRecord, MIRROR)
        if route is None or (state is not None and state.state["epoch"] == route.epoch):
            return
        if (
            self._mirror_after is not None and now < self._mirror_after
        ):  # a server that hangs takes half a minute to ask
            return
        desired = {"champion": route.champion, "challenger": route.canary or route.shadow}
        try:
            changes = self.platform.registry.sync_aliases(desired)
        except RecloserError as error:
            self._mirror_wait = min(2 * self._mirror_wait, LONGEST_WAIT) if self._mirror_after else FIRST_WAIT
            self._mirror_after = self.platform.clock.now() + self._mirror_wait
            self.options.say(f"the model registry is not in step: {error.explain()}")
            return
        self._mirror_after = None
        with ledger.change(ACTOR, now) as change:
            change.put(StateRecord(MIRROR, now, {"epoch": route.epoch}))
            change.note("registry.aliases", route.champion or "", {"changed": [item.alias for item in changes]})

    def issue(self, issued_at: datetime) -> Answer | None:
        """Answer the issue for all areas and record every forecast; None if it was done before or no route was set."""
        platform = self.platform
        if self.router.current() is None:
            return None
        now = platform.clock.now()
        if platform.ledger.find(ForecastRecord, issued_at=issued_at, limit=1):
            return None
        rows = self.frames.frame(issued_at, now, self.options.last)
        answer = self.router.gateway.answer(rows, issued_at, now)
        records = [record_of(served) for served in self._with_standby(answer, rows, issued_at, now)]
        nobody = (issued_at, tuple(sorted(answer.unavailable)))
        if not records and nobody == self._unanswered and not any(found.release for found in answer.incidents):
            return answer  # tried again and again until there are loads to go by: that is told once
        self._unanswered = None if records else nobody
        by = sorted({f"{served.served_by}:{served.release}" for served in answer.served})
        scale = dict(rows.group_by("area").agg(pl.col("scale_mw").first()).iter_rows())
        states = [*self._evidence_states(answer, scale, now), self._issue_memory(issued_at, scale, now)]
        with platform.ledger.change(ACTOR, now) as change:
            change.add_all(records)
            for state in states:
                change.put(state)
            facts: dict[str, Any] = {"areas": len(records), "served_by": by}
            if answer.incidents:
                facts["incidents"] = [incident.to_dict() for incident in answer.incidents[:20]]
            if answer.unavailable:
                facts["unavailable"] = sorted(answer.unavailable)
            change.note("forecast.issue", issued_at.isoformat(), facts)
        return answer

    def _with_standby(self, answer: Answer, rows: pl.DataFrame, issued_at: datetime, now: datetime) -> list[Served]:
        """Return what was served with an answer of the ladder beside each: what a recall falls back to.

        The first rung that can answer for an area, where none of the ladder was asked anyhow.
        """
        gateway, bare = self.router.gateway, {served.area for served in answer.served}
        found: dict[str, dict[str, FloatArray]] = {}
        batch = batch_of(rows, issued_at)
        for rung in gateway.route.fallback:
            bare -= {served.area for served in answer.served if rung in served.answers}
            if bare and rung in gateway.loaded:
                scoring = gateway.check(rung, batch, now)
                for index, area in enumerate(batch.areas):
                    if area in bare and scoring.release[index] == rung:
                        found[area] = scoring.answers[index]
                        bare.discard(area)
        return [replace(served, answers={**served.answers, **found.get(served.area, {})}) for served in answer.served]

    def _issue_memory(self, issued_at: datetime, scale: Mapping[str, float], now: datetime) -> StateRecord:
        route = self.router.gateway.route
        releases = [name for name in (route.champion, *route.challengers()) if name is not None]
        online = {name: item for name in releases if (item := self.platform.load(name).online) is not None}
        return StateRecord(issue_key(issued_at), now, issue_state(scale, online))

    def _evidence_states(self, answer: Answer, scale: Mapping[str, float], now: datetime) -> list[StateRecord]:
        """Return the T0 and T1 evidence after this answer: guard incidents by release, consecutive divergent steps."""
        states = []
        route = self.router.gateway.route
        for release in route.challengers():
            old = self.platform.ledger.get(StateRecord, f"{INCIDENTS}/{release}")
            counts = counts_of(old, "challenger")
            mine = [i for i in answer.incidents if i.release == release and i.kind == "output"]
            inputs = [i for i in answer.incidents if i.kind == "input"]
            if mine or inputs or old is None:
                counts |= {"output": counts["output"] + len(mine), "input": counts["input"] + len(inputs)}
                states.append(StateRecord(f"{INCIDENTS}/{release}", now, counts))
            states.append(self._divergence_state(release, route.champion, answer, scale))
        states += self._champion_states(answer, now)
        if route.champion is not None and route.shadow is not None:  # in probation the former champion is the shadow
            states.append(self._divergence_state(route.champion, route.shadow, answer, scale))
        return states

    def _champion_states(self, answer: Answer, now: datetime) -> list[StateRecord]:
        """Return in how many issues in a row the guard refused the champion for most areas; nothing if that is known.

        A challenger's refused answers are counted one by one; a champion serves for months, so that only a run of bad
        issues tells of the model and not of a day.
        """
        champion = self.router.gateway.route.champion
        if champion is None:
            return []
        key, refused = f"{INCIDENTS}/{champion}", set()
        for incident in answer.incidents:
            if incident.kind == "output" and incident.release == champion:
                refused.add(incident.area)
        old = self.platform.ledger.get(StateRecord, key)
        known = counts_of(old, "champion")
        most = 2 * len(refused) > len(answer.served) + len(answer.unavailable)
        counts = {**known, "output": known["output"] + 1 if most else 0}
        return [] if old is not None and counts == old.state else [StateRecord(key, now, counts)]

    def _divergence_state(
        self, release: str, other: str | None, answer: Answer, scale: Mapping[str, float]
    ) -> StateRecord:
        key = f"{DIVERGENCE}/{release}"
        scales = self.platform.load(release).package.facts.scales
        limit = scales.get("step_divergence")
        limit = None if limit is None else T1_FACTOR * float(limit)
        distances = step_distances(answer, release, other, scale)
        trailing = 0 if limit is None else longest_exceedance(distances, float(limit))
        usual, shapes = scales.get("level_divergence"), scales.get("issue_shape")
        odd = [] if shapes is None else odd_issue(issue_shapes(answer, release, other, scale), Usual.from_dict(shapes))
        state = {
            "trailing": trailing,
            "limit": limit,
            "worst": max(distances, default=None),
            "level": level_gap(answer, release, other, scale),
            "level_limit": None if usual is None else max(T1_LEVEL_LEAST, T1_LEVEL_FACTOR * float(usual)),
            "odd": [[item.cause, list(item.areas), item.of_model] for item in odd],
        }
        return StateRecord(key, self.platform.clock.now(), state)


def evidence_of(platform: Platform, book: DayBook) -> LedgerEvidence:
    """Return what rollouts are decided on: days of forecasts with truth, or days of windows with labels and drills."""
    if platform.detects:
        return DetectionEvidence(platform, book, WindowStore(platform.layout.windows))
    return LedgerEvidence(platform, book)


def step_distances(answer: Answer, release: str, champion: str | None, scale_mw: Mapping[str, float]) -> list[float]:
    """Return per target step the median over areas of |challenger - champion| / scale_mw, as staging measured it.

    The median, so that one feeder with faulty inputs cannot blame the challenger. Areas without both answers are left
    out; empty without any.
    """
    gaps = [np.abs(gap).max(axis=1) for gap in _gaps(answer, release, champion, scale_mw)]
    steps = min((len(gap) for gap in gaps), default=0)
    if not steps:
        return []
    result: list[float] = np.median(np.stack([gap[:steps] for gap in gaps]), axis=0).tolist()
    return result


def level_gap(answer: Answer, release: str, champion: str | None, scale_mw: Mapping[str, float]) -> float | None:
    """Return how far the challenger's medians lie above the champion's over the whole issue, in units of scale_mw.

    The median over areas of each area's mean; None where no area has both answers.
    """
    means = [float(gap[:, gap.shape[1] // 2].mean()) for gap in _gaps(answer, release, champion, scale_mw)]
    return float(np.median(means)) if means else None


def issue_shapes(
    answer: Answer, release: str, champion: str | None, scale_mw: Mapping[str, float]
) -> dict[str, IssueShape]:
    """Return each area's shape of the challenger's medians beside the champion's; areas without both are left out."""
    shapes = {}
    for served in answer.served:
        ours, theirs = served.answers.get(release), served.answers.get(champion or "")
        scale = scale_mw.get(served.area)
        if ours is not None and theirs is not None and ours.shape == theirs.shape and scale:
            middle, per_hour = ours.shape[1] // 2, points_an_hour(served.targets)
            shapes[served.area] = issue_shape(ours[:, middle] / scale, theirs[:, middle] / scale, per_hour)
    return shapes


def _gaps(answer: Answer, release: str, champion: str | None, scale_mw: Mapping[str, float]) -> list[FloatArray]:
    """Return (challenger - champion) / scale_mw of each area with both answers, shape (n_points, n_quantiles)."""
    gaps = []
    for served in answer.served:
        ours, theirs = served.answers.get(release), served.answers.get(champion or "")
        scale = scale_mw.get(served.area)
        if ours is not None and theirs is not None and ours.shape == theirs.shape and scale:
            gaps.append((ours - theirs) / scale)
    return gaps


def longest_exceedance(distances: list[float], limit: float) -> int:
    """Return the longest run of consecutive steps over the limit within one issue."""
    return max((trailing_exceedances(distances[: k + 1], limit) for k in range(len(distances))), default=0)
