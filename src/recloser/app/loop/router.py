"""Owns bringing the ledger's route to the gateway of this process. Decides no route."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from recloser.app.events.answers import detector_policy, probability_limits
from recloser.app.platform import Platform
from recloser.app.processes.hosts.word import all_follow
from recloser.app.processes.reports import read_reports, settled
from recloser.core import LOAD, RecloserError, format_utc, parse_utc
from recloser.ledger import RouteRecord, StateRecord
from recloser.serving import AssetLimits, Gateway, GuardPolicy, Predictor, Route, limits_from, ranges_of

LEARNED_FROM = timedelta(days=400)
RELEARN = timedelta(days=91)
LIMITS = "gateway/limits"


def route_of(record: RouteRecord) -> Route:
    """Return the gateway's route of a ledger record."""
    return Route(
        epoch=record.epoch,
        champion=record.champion,
        canary=record.canary,
        share=record.share,
        cohort=tuple(record.cohort),
        shadow=record.shadow,
        fallback=tuple(record.fallback),
        lease_until=record.lease_until,
    )


def releases_of(record: RouteRecord) -> tuple[str, ...]:
    """Return the packages that a ledger record's route needs; the rungs of the naive ladder need none."""
    return tuple(name for name in route_of(record).names() if name.startswith("rel-"))


class LocalRouter:
    """The Router of one embedded gateway: loads what a route names, then swaps by pointer.

    Args:
        platform: where releases, the ladder and the assets' history come from.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._record: RouteRecord | None = None
        self._limits: dict[str, AssetLimits] = {}
        self._limits_at: datetime | None = None
        self._asked = -1, platform.clock.now()
        rungs = platform.ladder(None)
        nobody = Route(0, None, fallback=tuple(rungs))
        self.gateway = Gateway(rungs, nobody, {}, GuardPolicy(), platform.quantiles)

    def set_route(self, route: RouteRecord) -> None:
        """Load, then swap; a route of an older epoch is ignored.

        Raises:
            Refused: a release of the route does not verify.
        """
        if self._record is not None and route.epoch < self._record.epoch:
            return
        wanted = route_of(route)
        releases = {name: self._platform.load(name) for name in releases_of(route)}
        champion = releases.get(wanted.champion or "")
        predictors: dict[str, Predictor] = {**self._platform.ladder(champion), **releases}
        tracing = self._platform.tracing
        if tracing is not None:
            predictors = {name: tracing.predictor(name, model) for name, model in predictors.items()}
        divergence, seen = {}, {}
        for name in wanted.challengers():
            limit = releases[name].package.facts.scales.get("area_divergence")
            divergence[name] = max(0.25, 2.0 * float(limit)) if limit else 0.5
            seen[name] = ranges_of(releases[name].package.facts.notes.get("feature_ranges"))
        policy = (
            detector_policy(wanted.challengers(), seen)
            if self._platform.detects
            else GuardPolicy(
                divergence=divergence, required=self._required(), seen=seen, late_after_ms=self._late_after_ms()
            )
        )
        self.gateway.swap(wanted, predictors, limits=self._limits, policy=policy)
        self._record = route

    def _late_after_ms(self) -> float:
        """Return when a model is late; one that runs elsewhere says so itself, once its patience is over."""
        usual = GuardPolicy().late_after_ms
        return (
            usual if self._platform.elsewhere is None else max(usual, self._platform.project.kserve.patience_ms + 100)
        )

    def _required(self) -> tuple[str, ...]:
        return tuple(name for name in ("load_level_24h",) if name in self._platform.features.names)

    def refresh(self, now: datetime, after: timedelta = RELEARN) -> None:
        """Learn the assets' limits anew `after` the last time, and take the present online offsets into the slot."""
        if self._limits_at is None:
            self.restore(now)
        if self._limits_at is None or now - self._limits_at >= after:
            self._limits, self._limits_at = self.learn(now), now
        if self._record is not None:
            self.set_route(self._record)

    def remember(self, now: datetime) -> None:
        """Note in the ledger when the limits in force were learned, if that is news; for the loop that issues."""
        learned_at = None if self._limits_at is None else format_utc(self._limits_at)
        known = self._platform.ledger.get(StateRecord, LIMITS)
        if learned_at is None or (known is not None and known.state["learned_at"] == learned_at):
            return
        with self._platform.ledger.change("gateway", now) as change:
            change.put(StateRecord(LIMITS, now, {"learned_at": learned_at}))
            change.note("gateway.limits", LIMITS, {"areas": len(self._limits)})

    def restore(self, now: datetime) -> None:
        """Bring back the limits that were in force before a restart: learned from what was known then.

        What was learned later than `now` is not: the project was up by today's clock, and lives in its data's time now.
        """
        state = self._platform.ledger.get(StateRecord, LIMITS)
        learned_at = None if state is None else parse_utc(state.state["learned_at"])
        if learned_at is not None and timedelta(0) <= now - learned_at < RELEARN:
            self._limits, self._limits_at = self.learn(learned_at), learned_at

    def learn(self, now: datetime) -> dict[str, AssetLimits]:
        """Return the assets' limits by what is known now; changes nothing, and may take seconds.

        Raises:
            RecloserError: the store cannot be read.
        """
        platform = self._platform
        if platform.detects:
            return probability_limits(platform.areas)
        year = platform.store.read(list(platform.areas), [LOAD], now - LEARNED_FROM, as_of=now)
        return limits_from(year, ramp_margin=1.0)

    def use(self, limits: dict[str, AssetLimits], learned_at: datetime) -> None:
        """Put limits that were learned into force."""
        self._limits, self._limits_at = limits, learned_at
        if self._record is not None:
            self.set_route(self._record)

    def current(self) -> RouteRecord | None:
        """Return the route last set."""
        return self._record

    def verify(self, release: str) -> str:
        """Return an empty text if the release loads and answers its golden rows, else why not."""
        try:
            self._platform.load(release)
        except RecloserError as error:
            return error.explain()
        return ""

    def settled(self, epoch: int) -> bool:
        """Return whether this gateway, and every gateway process that reports, follows this epoch."""
        platform, now = self._platform, self._platform.clock.now()
        if self._asked[0] != epoch:
            self._asked = epoch, now
        own = self.gateway.route.epoch == epoch
        if not own or not settled(read_reports(platform.layout.state, now), epoch):
            return False
        lease = timedelta(seconds=platform.project.rollout.lease_seconds)
        return all_follow(platform.ledger, epoch, now - self._asked[1], lease)

    @property
    def limits(self) -> Mapping[str, AssetLimits]:
        """Return the assets' limits in force."""
        return self._limits
