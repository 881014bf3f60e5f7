"""Owns the watchman's process: looks every few seconds, tells what is absent, delivers while nobody else can."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from recloser.app.delivery.channels import channels_of
from recloser.app.delivery.courier import Courier
from recloser.app.logs.beginning import log_of
from recloser.app.platform import Platform
from recloser.app.watchman.alarms import AbsenceAlarms
from recloser.app.watchman.attendance import Roll, plan_of
from recloser.app.watchman.exporter import Board, told
from recloser.app.watchman.figures import AuditCounts, control_families
from recloser.core import RecloserError
from recloser.monitoring.absence import AbsenceKind, absences
from recloser.serving.wire.figures import text_of

EVERY_S = 5.0


class Watchman:
    """One look after the other at what a project's processes leave behind in its ledger and store.

    It is no part of what it watches: it makes no forecast and leads nothing. While no controller leads it delivers the
    ledger's notices itself, for the courier lives in the controller; both may then send one notice, under one id.

    Args:
        platform: the project.
        board: where figures are shown.
    """

    def __init__(self, platform: Platform, board: Board) -> None:
        self._platform, self._board = platform, board
        self._roll, self._alarms = Roll(platform), AbsenceAlarms(platform.ledger)
        self._audit = AuditCounts(platform.ledger)
        self._courier = Courier(platform.ledger, channels_of(platform), platform.clock)

    def look(self, now: datetime, *, changed: bool = True) -> list[str]:
        """Look once at `now` (aware UTC); return what began or ended, as sentences.

        Raises:
            Unavailable: ledger or store cannot be used now; look again.
        """
        plan = plan_of(self._platform)
        found = self._roll.call(now, plan, changed=changed)
        absent = absences(found, plan, now)
        news = self._alarms.update(absent, now)
        if any(absence.kind is AbsenceKind.CONTROLLER for absence in absent):
            self._courier.tick()
        self._audit.read()
        open_ = self._alarms.open_()
        self._board.write(text_of(control_families(self._platform, found, open_, self._audit, now)))
        return news


def watch_over(
    folder: Path,
    say: Callable[[str], None],
    ready: Callable[[dict[str, str | None]], None] = lambda _place: None,
) -> int:
    """Watch over a project until told to stop; what cannot be looked at now is looked at again.

    Args:
        folder: project.
        say: told of what began and ended, and of trouble once.
        ready: told {"metrics": URL of the figures, None where the project wants none} before the first look.

    Raises:
        InvalidInput: no project.
        Unavailable: the port for figures is taken.
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with ExitStack() as stack:
        platform = stack.enter_context(Platform.open(folder))
        board, where = Board(), platform.project.observability
        url = None
        if where.port:
            url = f"http://{where.host}:{stack.enter_context(told(board, where.host, where.port))}/metrics"
        ready({"metrics": url})
        watch = stack.enter_context(contextlib.closing(platform.ledger.watch()))
        watchman, trouble = Watchman(platform, board), ""
        while not ended.is_set():
            try:
                for sentence in watchman.look(platform.clock.now(), changed=watch.changed()):
                    say(f"watchman: {sentence}")
                trouble = ""
            except RecloserError as error:
                if error.explain() != trouble:
                    trouble = error.explain()
                    say(f"watchman: {trouble}")
                board.write("", trouble)
            ended.wait(EVERY_S)
    return 0


def watch_alone(folder: Path, ready: Callable[[dict[str, str | None]], None]) -> int:
    """Watch over a project as `watch_over`, in a process that no supervisor started; it keeps a log as those do.

    Raises:
        InvalidInput: no project.
        Unavailable: the port for figures is taken.
    """
    return watch_over(folder, log_of(folder, "watchman"), ready)
