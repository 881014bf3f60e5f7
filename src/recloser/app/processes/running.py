"""Owns pipeline runs in processes of their own, so that a long training delays no tick of the controller.

The ledger holds what a run came to; this only starts processes and sees that each run is done or failed there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.retraining import RunOrder
from recloser.app.platform import Platform
from recloser.app.trial.runner import with_trials
from recloser.core import RecloserError, Unavailable, format_utc, parse_utc
from recloser.engines import RunBook
from recloser.ledger import RunRecord
from recloser.pipelines import candidate_pipeline
from recloser.serving.foreign import Lifeline

NICE = 5
"""A run leaves the processor to what serves."""
GRACE_S = 3.0
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
TRIES = 8
"""So often a run is begun anew that could not begin, because another process held it or the ledger was away."""


@dataclass(slots=True)
class _Child:
    """The run under way; `process` is None while it waits to be begun (again)."""

    order: RunOrder
    process: subprocess.Popen[bytes] | None = None
    lifeline: Lifeline | None = None
    tries: int = 0
    due: float = 0.0


class RunProcesses:
    """The RunsApart of a controller: one child process at a time, which ends with the controller, however that ends.

    A child that crashes leaves a failed run with its reason. One that is stopped with the controller leaves a run that
    is still running by the ledger: the next controller resumes it. Leaving the block stops the child.

    Args:
        platform: the project.
        say: told of ends that are not good.
        program: the command line up to its last word, which is the order.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        platform: Platform,
        say: Callable[[str], None],
        program: Sequence[str] = (sys.executable, "-m", "recloser.app", "run"),
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._platform, self._say, self._timer = platform, say, timer
        self._program = [*program, str(platform.layout.root), "-", "0", str(os.getpid()), "-"]
        self._waiting: deque[RunOrder] = deque()
        self._child: _Child | None = None

    @property
    def busy(self) -> bool:
        """Whether a run is under way or waits."""
        return self._child is not None or bool(self._waiting)

    @property
    def pid(self) -> int | None:
        """Process id of the run under way, None without one."""
        return None if self._child is None or self._child.process is None else self._child.process.pid

    def start(self, order: RunOrder) -> None:
        """Begin a run, or let it wait for the one under way; one that is known already is not taken twice."""
        under_way = None if self._child is None else self._child.order.key
        if order.key != under_way and order.key not in {waiting.key for waiting in self._waiting}:
            self._waiting.append(order)
        self._go_on()

    def ended(self) -> list[RunOrder]:
        """Return the orders whose runs have ended since, each once, and begin what waits.

        Raises:
            Unavailable: the ledger cannot be reached now; ask again.
        """
        found: list[RunOrder] = []
        child = self._child
        if child is not None and child.process is not None:
            code = child.process.poll()
            if code is not None and self._settled(child, code):
                self._child = None
                found.append(child.order)
        self._go_on()
        return found

    def _go_on(self) -> None:
        if self._child is None and self._waiting:
            self._child = _Child(self._waiting.popleft())
        child = self._child
        if child is not None and child.process is None and self._timer() >= child.due:
            self._begin(child)

    def _begin(self, child: _Child) -> None:
        child.tries += 1
        child.lifeline = Lifeline()
        try:
            child.process = subprocess.Popen(  # noqa: S603 - our own program
                [*self._program, order_text(child.order)],
                env={**os.environ, **child.lifeline.environment},
                pass_fds=(child.lifeline.inherited,),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            child.lifeline.cut()
            self._say(f"run {child.order.key} cannot be started: {error}")
            self._again(child)
        finally:
            child.lifeline.started()

    def _again(self, child: _Child) -> None:
        child.process = None
        child.due = self._timer() + min(FIRST_WAIT_S * 2.0 ** (child.tries - 1), LONGEST_WAIT_S)

    def _settled(self, child: _Child, code: int) -> bool:
        """See that the run is done or failed in the ledger; False if it is begun again."""
        if child.lifeline is not None:
            child.lifeline.cut()
        run = self._platform.ledger.get(RunRecord, child.order.key)
        if run is not None and run.state != "running":
            return True
        if code == Unavailable.exit_code and child.tries < TRIES:
            self._again(child)
            return False
        why = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self._say(f"run {child.order.key} failed: its process {why}")
        self._fail(child.order, Unavailable(f"the run's process {why}", where=f"run {child.order.key}"))
        return True

    def _fail(self, order: RunOrder, error: RecloserError) -> None:
        book = RunBook(self._platform.ledger, self._platform.clock)
        known = self._platform.ledger.get(RunRecord, order.key)
        if known is None:  # it ended before it could write down that it began
            known = book.open(candidate_pipeline(), order.key, order.trigger, order.reason, order.parameters)
        book.fail(known, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        child = self._child
        if child is None or child.process is None or child.lifeline is None:
            return
        child.process.terminate()
        try:
            child.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        child.lifeline.cut()


def order_text(order: RunOrder) -> str:
    """Return an order as one word for a command line."""
    facts = {"key": order.key, "as_of": format_utc(order.as_of), "trigger": order.trigger, "reason": order.reason}
    return json.dumps({**facts, "extra": dict(order.extra)})


def order_from(text: str) -> RunOrder:
    """Return the order that `order_text` wrote."""
    facts = json.loads(text)
    as_of = parse_utc(facts["as_of"], "run order")
    return RunOrder(facts["key"], as_of, facts["trigger"], facts["reason"], facts["extra"])


def make_run(folder: Path, text: str, say: Callable[[str], None]) -> int:
    """Make one run in this process; nothing is submitted. The program of a run's process.

    Raises:
        RecloserError: a step failed, which is recorded; or the run could not begin.
    """
    os.nice(NICE)
    with Platform.open(folder) as platform:
        ControlLoop(with_trials(platform), LoopOptions(say=say)).retraining.make(order_from(text))
        platform.package_share().try_now(say)
    return 0
