"""A whole world of rollouts small enough to be explored: the real controller over a ledger and a gateway in memory.

All that a crash would leave behind is in `Kept`; the controller is made anew for every event, so nothing else can
matter. Times are whole days but for the events that are about clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from recloser.core import Refused, Unavailable
from recloser.ledger import Change, NoticeRecord, PairedDayRecord, ReleaseRecord, RolloutRecord, RouteRecord
from recloser.rollout import (
    CanaryStep,
    Evidence,
    PairedDay,
    Promotion,
    Rollout,
    RolloutController,
    RolloutPlan,
    RolloutState,
    Settings,
)
from recloser.rollout.paired.pairing import day_from_record
from recloser.serving import Route, arm_of
from recloser.testing import MemoryLedger
from recloser.testing.memory_ledger import Moment

S = RolloutState
T0 = datetime(2020, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
AREAS = ("east", "north", "south", "west")
SETTINGS = Settings(resolution=HOUR, lease=2 * DAY)
SCALE = 0.1
PROPOSER = "eve"
# alpha is large so that one day may decide: the exploration is about the machine, the statistics have their own tests.
PLAIN = RolloutPlan(
    shadow_days=1,
    steps=(CanaryStep(0.0, 1, ("north",)), CanaryStep(0.5, 1)),
    probation_days=1,
    alpha=0.8,
    deadline_days=4,
    label_deadline_days=0.5,
    promotion=Promotion.NO_EVIDENCE_OF_HARM,
    harmless_days=2,
)
PEOPLE = replace(
    PLAIN,
    steps=(CanaryStep(0.5, 1),),
    approve_before=("traffic", "promotion"),
    approvers=2,
    approver_roles=("lead",),
)
PLANS: Mapping[str, RolloutPlan] = {"plain": PLAIN, "people": PEOPLE}


class Crash(BaseException):
    """The process is gone: nothing catches it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left when every process has died: ledger, gateways, packages, labels, and the time of day."""

    moment: Moment = field(default_factory=Moment)
    now: datetime = T0
    told: RouteRecord | None = None
    down: bool = False
    tampered: frozenset[str] = frozenset()
    freeze: str = ""
    pending: tuple[tuple[str, tuple[PairedDay, ...]], ...] = ()
    submitted: int = 0


class World:
    """The world at one moment, and what is known while one event happens.

    Args:
        plan: name of a plan.
        releases: how many may be submitted.
        lasting: whether packages may change on disk, gateways go away and freezes begin.

    Attributes:
        kept: what survives.
        evidence: by release, what the guard, the gateways and the monitors say during this event.
        verified: releases verified during this event.
        points: places at which this event could have been interrupted, in order.
        at_point: called at each of them.
    """

    def __init__(self, plan: str = "plain", *, releases: int = 3, lasting: bool = True) -> None:
        self.plan = PLANS[plan]
        self.releases_at_most = releases
        self.lasting = lasting
        self.people = plan == "people"
        self.kept = Kept()
        self.ledger = MemoryLedger()
        self.ledger.on_write(self._seen)
        self.evidence: dict[str, Evidence] = {}
        self.verified: set[str] = set()
        self.points: list[str] = []
        self.at_point: Callable[[int, str], None] | None = None
        self.begin(self.kept)

    # What a controller stands on: clock, router, verifier and source of evidence are this world.

    def now(self) -> datetime:
        return self.kept.now

    def set_route(self, route: RouteRecord) -> None:
        self.reach("before", "router")
        self._require_up()
        told = self.kept.told
        if told is None or route.epoch >= told.epoch:
            routed = as_route(route)
            known = set() if told is None else set(as_route(told).names())
            bad = (set(routed.names()) - known) & self.kept.tampered
            if bad:
                raise Refused("a release of the route does not verify", got=min(bad))
            if told is not None and told.epoch == route.epoch:
                assert replace(told, lease_until=None) == replace(route, lease_until=None), "two routes of one epoch"
            self.kept = replace(self.kept, told=route)
        self.reach("after", "router")

    def current(self) -> RouteRecord | None:
        self._require_up()
        return self.kept.told

    def settled(self, epoch: int) -> bool:
        self._require_up()
        return self.kept.told is not None and self.kept.told.epoch == epoch

    def verify(self, release: str) -> str:
        self.verified.add(release)
        return "golden rows differ" if release in self.kept.tampered else ""

    def gather(self, rollout: Rollout, now: datetime) -> Evidence:
        del now
        found = self.evidence.get(rollout.release, Evidence())
        days = dict(self.kept.pending).get(rollout.key, ())
        return replace(found, days=days, freeze=self.kept.freeze)

    def _require_up(self) -> None:
        if self.kept.down:
            raise Unavailable("the gateways do not answer")

    # Events.

    def begin(self, kept: Kept) -> None:
        """Set the world to a moment, with nothing under way."""
        self.kept = kept
        self.ledger.moment = kept.moment
        self.evidence = {}
        self.verified = set()
        self.points = []
        self.at_point = None

    def end(self) -> Kept:
        """Return what is left; labels that the ledger holds by now are not offered again."""
        keys = {record.key for record in self.ledger.find(RolloutRecord, finished_at=None)}
        pending = tuple((key, days) for key, days in self.kept.pending if key in keys and not self._stored(key, days))
        self.kept = replace(self.kept, moment=self.ledger.moment, pending=pending)
        return self.kept

    def _stored(self, key: str, days: tuple[PairedDay, ...]) -> bool:
        known = {record.day for record in days_of(self.ledger, key)}
        return all(item.day.isoformat() in known for item in days)

    def controller(self) -> RolloutController:
        return RolloutController(self.ledger, self, self, self.verify, SETTINGS)

    def rest(self) -> None:
        """Take over what the ledger holds now."""
        self.kept = replace(self.kept, moment=self.ledger.moment)

    def reach(self, where: str, what: str) -> None:
        self.points.append(f"{where} {what}")
        if self.at_point is not None:
            self.at_point(len(self.points) - 1, f"{where} {what}")

    def _seen(self, where: str, change: Change) -> None:
        self.reach(where, "ledger " + "+".join(note.action for note in change.notes))

    @contextmanager
    def aside(self) -> Iterator[MemoryLedger]:
        """Write what another program writes: no place where the controller could die."""
        self.ledger.on_write(None)
        try:
            yield self.ledger
        finally:
            self.ledger.on_write(self._seen)

    # What tests ask.

    def rollouts(self) -> list[Rollout]:
        return rollouts_of(self.ledger)

    def route(self) -> RouteRecord | None:
        return self.ledger.get(RouteRecord, "route")

    def releases(self) -> dict[str, ReleaseRecord]:
        return {record.key: record for record in self.ledger.find(ReleaseRecord)}

    def alarms(self) -> int:
        return len(self.ledger.find(NoticeRecord, kind="alarm"))

    def stored_days(self, key: str) -> list[PairedDay]:
        return [day_from_record(record) for record in days_of(self.ledger, key)]

    def canary_areas(self) -> frozenset[str]:
        """Return for which areas the gateways let a canary answer now."""
        return weight(self.kept.told, self.kept.now)


def rollouts_of(ledger: MemoryLedger) -> list[Rollout]:
    return [Rollout.from_record(record) for record in ledger.find(RolloutRecord, order_by="started_at")]


def days_of(ledger: MemoryLedger, key: str) -> list[PairedDayRecord]:
    return ledger.find(PairedDayRecord, rollout=key, order_by="day")


def as_route(record: RouteRecord) -> Route:
    """Return what a gateway makes of a route record; contradictions are errors."""
    return Route(
        record.epoch,
        record.champion,
        record.canary,
        record.share,
        tuple(record.cohort),
        record.shadow,
        tuple(record.fallback),
        record.lease_until,
    )


def weight(record: RouteRecord | None, now: datetime) -> frozenset[str]:
    """Return for which areas a canary answers by a route at `now`, by the gateways' own rule."""
    if record is None:
        return frozenset()
    route = as_route(record)
    return frozenset(area for area in AREAS if arm_of(route, area, now) == "canary")
