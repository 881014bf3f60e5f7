"""Owns following the ledger in a gateway process: route, limits, online offsets, events. Decides no route."""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import replace
from datetime import datetime, timedelta

from recloser.app.logs.gateways import GatewayTeller
from recloser.app.loop.book import ONLINE
from recloser.app.loop.control_loop import ControlLoop
from recloser.app.loop.router import LEARNED_FROM, RELEARN, releases_of
from recloser.app.platform import Platform
from recloser.app.processes.alert.repeating import Repeating
from recloser.app.processes.alert.waker import LOOK_S, FolderLook, LedgerLook, Look, Waker
from recloser.app.processes.announcing import announce
from recloser.app.processes.cuts import FoundCut, cuts_folder, forget_cuts, read_cuts, write_cut
from recloser.app.processes.hosts.identity import Identity
from recloser.app.processes.hosts.word import LedgerWord, heard_cuts
from recloser.app.processes.loading import LimitsLearner, ReleaseLoader
from recloser.app.processes.reports import BEAT, Report, write_report
from recloser.app.release import LoadedRelease
from recloser.core import LOAD, InvalidInput, RecloserError
from recloser.ledger import RouteRecord, StateRecord
from recloser.models import Calibration
from recloser.serving import AssetLimits, Cut
from recloser.serving.http import EventBuffer

POLL_S = 0.5
LOOK_AGAIN = timedelta(hours=1)
CHAMPION_S = 90.0
"""A gateway that starts waits so long for its champion, and only CHALLENGERS_S for those beside it."""
CHALLENGERS_S = 5.0
DURABLE_S = 0.5
"""An answer waits so long for its trip to be durable; a disk that is slower holds no answer up."""
LOG = logging.getLogger(__name__)


class RouteFollower(threading.Thread):
    """Brings the ledger's route to this process's gateway within a moment, and announces what happened.

    Releases are loaded beside it: until those of a new route are ready the gateway goes on with the route it has, or,
    where it has missed decisions in between, with the new champion alone. With the ledger gone the gateway goes on with
    the route it has; its lease then ends a canary by itself. Workers that share the port tell each other which route
    they follow and whom they cut off; a trip of one is one of all, also after its death.
    """

    def __init__(
        self, platform: Platform, loop: ControlLoop, events: EventBuffer, seen: int, who: Identity | None = None
    ) -> None:
        super().__init__(daemon=True, name="route-follower")
        self._platform = platform
        self._who = who or Identity.here()
        self._reported: Report | None = None
        self._reported_at: datetime | None = None
        self._word = LedgerWord(platform.ledger, self._who)
        self._loop = loop
        self._events = events
        self._ended = False
        self._woken = threading.Event()
        self._seen = seen
        self._routed: tuple[str, ...] = ()
        self._learned: dict[str, datetime] = {}
        self._limits_at: datetime | None = None
        self._loader = ReleaseLoader(self._open, self._woken.set)
        self._learner = LimitsLearner(self._known_limits, self._woken.set)
        self._told: dict[str, str] = {}
        self._teller = GatewayTeller(loop.router.gateway)
        self._cuts_changed = FolderLook(cuts_folder(platform.layout.state))
        loop.router.gateway.on_trip(self._keep_trip)

    def begin(self, champion_s: float = CHAMPION_S, challengers_s: float = CHALLENGERS_S) -> None:
        """Take the present route over before anything is served, as far as it loads within these times."""
        with contextlib.suppress(RecloserError):
            self._take_route()
            route = self._platform.ledger.get(RouteRecord, "route")
            everyone = () if route is None else releases_of(route)
            self._loader.wait([name for name in everyone if route is not None and name == route.champion], champion_s)
            self._loader.wait(everyone, challengers_s)
        self.follow()
        if self._learner.wait(champion_s):
            self.follow()

    def run(self) -> None:
        """Follow until told to stop: soon after somebody wrote to the ledger or cut somebody off, and now and then."""
        watch = self._platform.ledger.watch()
        looks: list[Look] = [LedgerLook(watch), FolderLook(cuts_folder(self._platform.layout.state))]
        cutting = Repeating("cuts", self._look_for_cuts, LOOK_S)
        with contextlib.closing(watch), contextlib.closing(self._word), Waker(looks, self._woken), cutting:
            while not self._ended:
                self._woken.wait(POLL_S)
                self._woken.clear()
                try:
                    self.follow()
                # The outermost loop of the thread: a gateway that no longer follows would miss the next rollback.
                except Exception:
                    LOG.exception("following the ledger met a defect; it goes on")

    def follow(self) -> None:
        """Take over the present route and announce new entries; what cannot be reached now is tried again.

        Each step stands for itself: a release that cannot be loaded keeps no forecast from being announced.
        """
        for step in (self._take_route, self._learn_limits, self._learn_online, self._announce, self._tell):
            try:
                step()
            except RecloserError:
                continue
        self._teller.look()
        try:
            self._agree()
        except OSError:  # the disk is full or gone: the others learn nothing new from us for now
            return

    def _take_route(self) -> None:
        route, router = self._platform.ledger.get(RouteRecord, "route"), self._loop.router
        if route is None or route == router.current():
            self._loader.want((), 0 if route is None else route.epoch)
            self._tell_problems()
            return
        missing = [name for name in releases_of(route) if not self._platform.loaded(name)]
        elsewhere = self._platform.elsewhere
        places = () if elsewhere is None else tuple(elsewhere.address(name) for name in missing)
        for release in self._loader.want(missing, (route.epoch, places)):  # told where it runs: tried again at once
            self._platform.adopt(release)
            missing.remove(release.release)
        self._tell_problems()
        if not missing:
            router.set_route(route)
            self._teller.follows(route)
            self._cut_off(route.epoch)
            self._release()
        elif route.champion not in missing and router.gateway.route.epoch < route.epoch - 1:
            # Decisions were missed, the end of a canary perhaps: what holds of the newest one is its champion.
            router.set_route(
                replace(route, epoch=route.epoch - 1, canary=None, share=0.0, cohort=[], shadow=None, lease_until=None)
            )

    def _open(self, name: str) -> LoadedRelease:
        """Return a release ready to answer; on the loader's thread."""
        try:
            return self._platform.open_verified(name)
        except InvalidInput:  # a release with columns that the project's code did not have when this process began
            self._platform.reload_code()
            return self._platform.open_verified(name)

    def _tell_problems(self) -> None:
        problems = dict(self._loader.problems())
        for name, problem in problems.items():
            if self._told.get(name) != problem:
                LOG.warning("%s cannot be loaded: %s", name, problem)
        self._told = problems

    def _learn_online(self) -> None:
        """Take over the online offsets that the controller has learned for the releases of the route."""
        router, fresh = self._loop.router, False
        for name in router.gateway.route.names():
            state = self._platform.ledger.get(StateRecord, f"{ONLINE}/{name}")
            if state is None or not self._platform.loaded(name):
                continue
            # Without offsets: given up since and loaded anew, as when a rollback returns to it.
            if self._learned.get(name) != state.at or self._platform.load(name).online is None:
                self._platform.set_online(name, Calibration.from_dict(state.state["calibration"]))
                self._learned[name], fresh = state.at, True
        current = router.current()
        if fresh and current is not None:
            router.set_route(current)

    def _learn_limits(self) -> None:
        """Learn the assets' limits once there are loads to learn from: without them an area is unknown here.

        Again now and then, and sooner while an area of the project is unknown. They are learned beside the following:
        reading a year of loads takes seconds, in which a rollback or another worker's cut would have to wait.
        """
        router, now = self._loop.router, self._platform.clock.now()
        learned = self._learner.taken()
        if learned is not None:
            router.use(*learned)
            if router.current() is None:  # before the first champion the ladder answers
                router.gateway.swap(router.gateway.route, self._platform.ladder(None), limits=router.limits)
        after = RELEARN if router.limits.keys() >= set(self._platform.areas) else LOOK_AGAIN
        if router.limits and self._limits_at is not None and now - self._limits_at < after:
            return
        if self._learner.begin(now):
            self._limits_at = now

    def _known_limits(self, now: datetime) -> dict[str, AssetLimits] | None:
        """Return the limits, None without loads; on the learner's thread, as a bucket may be slow or out of reach."""
        if self._platform.detects:  # what limits a probability is known
            return self._loop.router.learn(now)
        extent = self._platform.store.extent(LOAD)
        if extent is None or extent[1] <= now - LEARNED_FROM:
            return None
        return self._loop.router.learn(now)

    def _release(self) -> None:
        """Give up the models of neither this route nor the one before, to which a rollback may return."""
        names = self._loop.router.gateway.route.names()
        if names != self._routed:  # not only a longer lease
            self._platform.forget({*names, *self._routed})
            self._routed = names

    def _agree(self) -> None:
        """Tell the other workers which route is followed here and who was cut off; cut off whom they cut off."""
        gateway, state = self._loop.router.gateway, self._platform.layout.state
        epoch, cuts = gateway.cuts
        for cut in cuts:
            if cut.failures:  # found here; what the disk did not take at once is written now
                write_cut(state, FoundCut(epoch, self._who.worker, cut))
        self._cut_off(epoch)
        report, now = self._report(), self._platform.clock.now()
        if report != self._reported or self._reported_at is None or now - self._reported_at >= BEAT:
            write_report(state, report, now)
            forget_cuts(state, before=epoch - 1)
            self._reported, self._reported_at = report, now

    def _report(self) -> Report:
        gateway = self._loop.router.gateway
        problem = "; ".join(f"{name}: {why}" for name, why in sorted(self._told.items()))
        return Report.of(self._who, gateway.cuts[0], sorted(gateway.tripped), problem)

    def _tell(self) -> None:
        """Tell gateways of other hosts and the controller what files tell those of this one; cut off as they did."""
        gateway = self._loop.router.gateway
        epoch, cuts = gateway.cuts
        own = [FoundCut(epoch, self._who.worker, cut) for cut in cuts if cut.failures]
        self._word.tell(self._report(), own, self._platform.clock.now())
        for found in heard_cuts(self._platform.ledger, epoch, gateway.route.challengers()):
            gateway.cut(found.cut.release, found.reason, found.cut.at, epoch=found.epoch)

    def _cut_off(self, epoch: int) -> None:
        """Cut off whom any worker, this one before its restart too, cut off under this route."""
        for found in read_cuts(self._platform.layout.state, epoch):
            self._loop.router.gateway.cut(found.cut.release, found.reason, found.cut.at, epoch=found.epoch)

    def _look_for_cuts(self) -> None:
        """Cut off whom another worker cut off, on a thread of its own: a ledger that is slow to read delays it not."""
        if self._cuts_changed():
            self._cut_off(self._loop.router.gateway.route.epoch)

    def _keep_trip(self, epoch: int, cut: Cut) -> None:
        """Make a trip that was found here durable, on the thread that answers; a hanging disk holds it up briefly."""

        def write() -> None:
            try:
                write_cut(self._platform.layout.state, FoundCut(epoch, self._who.worker, cut))
            except OSError as error:
                LOG.warning("the trip of %s is not durable yet: %s", cut.release, error)
            self._woken.set()

        writing = threading.Thread(target=write, daemon=True, name=f"trip of {cut.release}")
        writing.start()
        writing.join(DURABLE_S)

    def stop(self) -> None:
        """End the thread."""
        self._ended = True
        self._woken.set()

    def _announce(self) -> None:
        while (reached := announce(self._platform.ledger, self._events, self._seen)) != self._seen:
            self._seen = reached
