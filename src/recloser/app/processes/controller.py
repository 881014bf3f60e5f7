"""Owns the controller process of `recloser up`: the loop in real time. Decides nothing; serves nothing."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from recloser.app.cluster.hosting import hosting
from recloser.app.delivery.thread import delivering
from recloser.app.logs.entries import EntryTeller
from recloser.app.logs.told import told
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.router import releases_of
from recloser.app.platform import Platform
from recloser.app.predictions.opening import PredictionUpkeep
from recloser.app.processes.alert.waker import FolderLook, pause
from recloser.app.processes.cuts import cuts_folder
from recloser.app.processes.running import RunProcesses
from recloser.app.processes.server import due_issue
from recloser.app.project.ballast import keep_ballast
from recloser.app.releases.lineage import carry_on
from recloser.core import RecloserError, Refused, Unavailable
from recloser.ledger import Leadership, PinRecord, RouteRecord
from recloser.registry import read_last_change

TICK_S = 5.0
LEAST_LEASE = timedelta(minutes=1)


def control(folder: Path, say: Callable[[str], None]) -> int:
    """Run the control loop until the process is told to stop; what is unavailable now is tried again.

    While another controller leads it stands by, and moves what the gateways of its own host have logged where the store
    is one that hosts share. It also ends, to be started again by its supervisor, when the project's code is at another
    commit: the new code is read, and the commit asks for a run. And it ends when another controller has taken the lead;
    from then on the ledger refuses whatever this one writes.

    Raises:
        Unavailable: the ledger cannot be reached now.
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with Platform.open(folder, apart=True) as platform, ExitStack() as stack:
        predictions = PredictionUpkeep(platform)
        lead = stand_by(platform, stack, Standby(ended, predictions, say))
        if lead is None:
            return 0
        runs = stack.enter_context(RunProcesses(platform, say))
        stack.enter_context(delivering(platform, say))
        traffic = stack.enter_context(hosting(platform, say))
        cut_off = FolderLook(cuts_folder(platform.layout.state))
        loop = ControlLoop(platform, LoopOptions(say=say, runs=runs, traffic=traffic))
        rounds = Rounds(loop, predictions, say, lead.keep)
        while not ended.is_set():
            keep_ballast(platform.layout)
            if why := rounds.go(platform.clock.now()):
                say(f"{why}: starting again")
                break
            pause(ended, [cut_off], TICK_S)
    return 0


@dataclass(frozen=True, slots=True)
class Standby:
    """What a controller needs that waits for the lead: when it shall end, what it moves meanwhile, whom it tells."""

    ended: threading.Event
    predictions: PredictionUpkeep
    say: Callable[[str], None]


def stand_by(platform: Platform, stack: ExitStack, standby: Standby) -> Leadership | None:
    """Return the lead once nobody else has it, entered into the stack; None if told to end first."""
    known = ""
    while not standby.ended.is_set():
        try:
            return stack.enter_context(leading(platform))
        except (Unavailable, Refused) as error:
            if error.what != known:
                standby.say(told(f"controller stands by: {error.explain()}"))
            known = error.what
        if platform.project.store.url is not None:
            try:
                standby.predictions.tick(platform.clock.now())
            except RecloserError as error:
                standby.say(told(f"controller stands by: {error.explain()}"))
        standby.ended.wait(TICK_S)
    return None


@contextmanager
def leading(platform: Platform) -> Iterator[Leadership]:
    """Lead the project's controllers in the block; what the platform writes meanwhile carries the leader's epoch.

    Raises:
        Unavailable: another controller leads.
    """
    lease = max(LEAST_LEASE, timedelta(seconds=platform.project.rollout.lease_seconds))
    plain, holder = platform.ledger, f"process {os.getpid()} on {socket.gethostname()}"
    with Leadership(plain, "controller", holder, platform.clock, lease) as lead:
        platform.ledger = lead.ledger
        try:
            yield lead
        finally:
            platform.ledger = plain


class Rounds:
    """What the controller does every few seconds. Each step stands for itself: one that fails keeps no other waiting.

    Args:
        loop: issues, watches, moves rollouts.
        predictions: moves what gateways logged.
        say: told of failures, of the same one in a row only once.
        leads: tells whether this is still the controller that leads.
    """

    def __init__(
        self,
        loop: ControlLoop,
        predictions: PredictionUpkeep,
        say: Callable[[str], None],
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._loop, self._predictions, self._say, self._leads = loop, predictions, say, leads
        self._platform = platform = loop.platform
        self._share = platform.package_share()
        self._begun_with = read_last_change(platform.layout.root)
        self._day, self._hour = platform.clock.now().date(), -1
        self._minute = -1
        self._steady: bool | None = None
        self._told: dict[str, str] = {}
        self._entries = EntryTeller(platform.ledger, say)

    def go(self, now: datetime) -> str:
        """Do what is due at `now` (aware UTC); return why this process should begin anew, or an empty text.

        Code is looked at first, so that no run that a commit asks for is made with the code before it.
        """
        leads: list[bool] = []
        self._tried("lead", lambda: leads.append(self._leads()))
        if leads == [False]:
            return "another controller leads"
        issue: list[datetime] = []
        self._tried("due", lambda: issue.extend(_due(self._platform, now)))
        fresh = now.minute != self._minute
        self._minute = now.minute
        why: list[str] = []
        if (issue or fresh) and not self._loop.retraining.busy:  # a run goes on with the code that it began with
            self._tried("code", lambda: why.append(self._outdated()))
        if any(why):
            return why[0]
        if issue:
            self._tried("issue", lambda: self._loop.cycle(issue[0]))
        elif fresh and now.hour != self._hour:
            self._tried("watch", lambda: self._look(now))
        if now.date() != self._day:
            self._day = now.date()
            self._tried("maintain", lambda: maintain(self._platform))
        if fresh:
            self._tried("retrain", lambda: self._retrain(now))
        self._tried("runs", self._loop.retraining.collect)
        self._tried("rollout", self._loop.advance)
        if fresh:
            self._tried("packages", self._share.tick)
            self._tried("lineage", lambda: carry_on(self._platform))
        self._tried("predictions", lambda: self._predictions.tick(now))
        self._tried("log", self._entries.tick)
        return ""

    def _tried(self, name: str, step: Callable[[], object]) -> None:
        try:
            step()
        except RecloserError as error:
            sentence = error.explain()
            if self._told.get(name) != sentence:
                self._say(f"control: {sentence}")
            self._told[name] = sentence
        else:
            self._told.pop(name, None)

    def _look(self, now: datetime) -> None:
        if not self._platform.detects:
            self._loop.watch.check_data(now)
            self._loop.watch.close_days(now)
        self._hour = now.hour

    def _retrain(self, now: datetime) -> None:
        if self._loop.retraining.tick(now, self._loop.watch.unmasked()):
            self._loop.advance()

    def _outdated(self) -> str:
        """Return why to begin anew, or an empty text; changes that are not committed do not count.

        Columns that come out differently each time they are made tell nothing, and are not looked at again.
        """
        platform = self._platform
        found = read_last_change(platform.layout.root)
        if found is not None and found != self._begun_with:
            return "the project's code is at another commit"
        differs = platform.wanted_features().digest != platform.features.digest
        if self._steady is None:
            self._steady = not differs
        return "there is weather in the store now" if differs and self._steady else ""


def _due(platform: Platform, now: datetime) -> list[datetime]:
    issue = due_issue(platform, now)
    return [] if issue is None else [issue]


def maintain(platform: Platform) -> None:
    """Compact and vacuum the store once a day; versions that something was trained on stay readable.

    Releases that the route no longer names are given up, and the processes of those with code of their own.
    """
    route = platform.ledger.get(RouteRecord, "route")
    platform.forget(() if route is None else releases_of(route))
    pinned = sorted({record.version for record in platform.ledger.find(PinRecord)})
    now = platform.clock.now()
    result = platform.store.maintain(pinned, now)
    with platform.ledger.change("controller", now) as change:
        change.note("store.maintain", "store", {"pinned": pinned, "result": str(result)})
