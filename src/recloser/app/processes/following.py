"""Owns following the ledger in a gateway process: route, limits, online offsets, events. Decides no route."""

from __future__ import annotations

import logging
import os
import threading
from datetime import datetime, timedelta

from recloser.app.loop.book import ONLINE
from recloser.app.loop.control_loop import ControlLoop
from recloser.app.loop.router import LEARNED_FROM, RELEARN
from recloser.app.platform import Platform
from recloser.app.processes.announcing import announce
from recloser.app.processes.reports import Report, cut_off, read_reports, write_report
from recloser.core import LOAD, InvalidInput, RecloserError
from recloser.ledger import RouteRecord, StateRecord
from recloser.models import Calibration
from recloser.serving.http import EventBuffer

POLL_S = 0.5
LOOK_AGAIN = timedelta(hours=1)
LOG = logging.getLogger(__name__)


class RouteFollower(threading.Thread):
    """Brings the ledger's route to this process's gateway every half second, and announces what happened.

    With the ledger gone the gateway goes on with the route it has; its lease then ends a canary by itself. Workers
    that share the port tell each other which route they follow and whom they cut off; a trip of one is one of all.
    """

    def __init__(
        self, platform: Platform, loop: ControlLoop, events: EventBuffer, seen: int, worker: str = "1"
    ) -> None:
        super().__init__(daemon=True, name="route-follower")
        self._platform = platform
        self._worker = worker
        self._reported: Report | None = None
        self._loop = loop
        self._events = events
        self._ended = threading.Event()
        self._seen = seen
        self._routed: tuple[str, ...] = ()
        self._learned: dict[str, datetime] = {}
        self._limits_at: datetime | None = None

    def run(self) -> None:
        """Follow until told to stop."""
        while not self._ended.wait(POLL_S):
            try:
                self.follow()
            # The outermost loop of the thread: a gateway that no longer follows would miss the next rollback.
            except Exception:
                LOG.exception("following the ledger met a defect; it goes on")

    def follow(self) -> None:
        """Take over the present route and announce new entries; what cannot be reached now is tried again.

        Each step stands for itself: a release that cannot be loaded keeps no forecast from being announced.
        """
        for step in (self._take_route, self._learn_limits, self._learn_online, self._announce):
            try:
                step()
            except RecloserError:
                continue
        try:
            self._agree()
        except OSError:  # the disk is full or gone: the others learn nothing new from us for now
            return

    def _take_route(self) -> None:
        route = self._platform.ledger.get(RouteRecord, "route")
        if route is None or route == self._loop.router.current():
            return
        try:
            self._loop.router.set_route(route)
        except InvalidInput:  # a release with columns that the project's code did not have when this process began
            self._platform.reload_code()
            self._loop.router.set_route(route)
        self._release()

    def _learn_online(self) -> None:
        """Take over the online offsets that the controller has learned for the releases of the route."""
        router, fresh = self._loop.router, False
        for name in router.gateway.route.names():
            state = self._platform.ledger.get(StateRecord, f"{ONLINE}/{name}")
            if state is None:
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

        Again now and then, and sooner while an area of the project is unknown.
        """
        router, now = self._loop.router, self._platform.clock.now()
        after = RELEARN if router.limits.keys() >= set(self._platform.areas) else LOOK_AGAIN
        if router.limits and self._limits_at is not None and now - self._limits_at < after:
            return
        extent = self._platform.store.extent(LOAD)
        if extent is not None and extent[1] > now - LEARNED_FROM:
            router.refresh(now, after=timedelta(0))
            self._limits_at = now
            if router.current() is None:  # before the first champion the ladder answers
                router.gateway.swap(router.gateway.route, self._platform.ladder(None), limits=router.limits)

    def _release(self) -> None:
        """Give up the models of neither this route nor the one before, to which a rollback may return."""
        names = self._loop.router.gateway.route.names()
        self._platform.forget({*names, *self._routed})
        self._routed = names

    def _agree(self) -> None:
        """Tell the other workers which route is followed here and who was cut off; cut off whom they cut off."""
        gateway, state = self._loop.router.gateway, self._platform.layout.state
        epoch = gateway.route.epoch
        for name in cut_off(read_reports(state), epoch):
            gateway.cut(name, "another worker cut it off", self._platform.clock.now())
        report = Report(self._worker, os.getpid(), epoch, tuple(sorted(gateway.tripped)))
        if report != self._reported:
            write_report(state, report)
            self._reported = report

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()

    def _announce(self) -> None:
        while (reached := announce(self._platform.ledger, self._events, self._seen)) != self._seen:
            self._seen = reached
