"""Owns a model's process as seen from the gateway: start, ask with a time limit, kill, restart with growing waits."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from recloser.core import FloatArray, ModelRows, RecloserError, Unavailable
from recloser.serving.foreign.exchange import (
    ERROR,
    READY,
    ROWS,
    Disturbed,
    Message,
    answer_from,
    receive,
    rows_to_bytes,
    send,
)
from recloser.serving.foreign.lifeline import Lifeline
from recloser.serving.predictor import PER_ROW_MS, Late

HEALTHY_S = 20.0


@dataclass(frozen=True, slots=True)
class Program:
    """How to start the model's process, and how patient to be with it.

    Attributes:
        command: number of the inherited socket -> command line; it must call `answer_requests` on that socket.
        environment: of the process, whole.
        patience_ms: one request may take so long (and PER_ROW_MS for each row); then the process is killed and started
            anew.
        start_s: loading and the first answer may take so long.
        first_wait_s, longest_wait_s: before the first restart, and the limit to which the wait doubles.
    """

    command: Callable[[int], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    patience_ms: float = 400.0
    start_s: float = 60.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0


@dataclass(slots=True, eq=False)
class _Running:
    """A process that is ready, the link to it, and what ends it with us."""

    process: subprocess.Popen[bytes]
    link: socket.socket
    lifeline: Lifeline
    since: float
    warm: bool = False

    def end(self) -> None:
        """Kill it and wait for its end."""
        self.link.close()
        self.process.kill()
        self.lifeline.cut()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5.0)


class ProcessPredictor:
    """A predictor whose model lives in a process of its own; conforms to `recloser.serving.Predictor`.

    A crash, a hang, an exhausted memory or a leak ends that process and no other. While it is being started anew,
    every request fails at once with `Unavailable`, so that the next rung answers in the same request. One request at a
    time; a caller waits for its turn no longer than the patience. The process ends with this object.

    Raises:
        Unavailable: the process does not get ready.
    """

    def __init__(self, release: str, program: Program, timer: Callable[[], float] = time.monotonic) -> None:
        self.release = release
        self._program = program
        self._timer = timer
        self._lock = threading.Lock()
        self._sample: bytes | None = None
        self._wait_s = program.first_wait_s
        self.restarts = 0
        self._held: list[_Running] = [_start(program, timer)]
        self._closed = threading.Event()
        weakref.finalize(self, _close, self._held, self._closed)

    @property
    def pid(self) -> int | None:
        """Process id, or None while none is ready."""
        held = list(self._held)
        return held[0].process.pid if held else None

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return what the model answers, MW.

        Raises:
            Late: no answer within the patience.
            Unavailable: the model raised, ended, or is being started anew.
        """
        payload = rows_to_bytes(rows)
        if not self._lock.acquire(timeout=self._program.patience_ms / 1000.0):
            raise Late("the model's process is busy", where=self.release)
        try:
            return self._ask(payload, rows)
        finally:
            self._lock.release()

    def predict_rows(self, rows: ModelRows) -> FloatArray:
        """Return what the model answers to the rows as a data frame; see `predict`."""
        return self.predict(rows.frame())

    def _ask(self, payload: bytes, rows: pl.DataFrame) -> FloatArray:
        running = self._held[0] if self._held else None
        if running is None:
            raise Unavailable("the model's process is being started anew", where=self.release)
        patience_ms = self._program.patience_ms + len(rows) * PER_ROW_MS
        patience_s = patience_ms / 1000.0 if running.warm else self._program.start_s
        try:
            mw = answer_from(_exchange(running, payload, patience_s))
        except Disturbed as error:
            self._restart(running)
            if isinstance(error.__cause__, TimeoutError):
                reason = f"the model's process gave no answer within {1000.0 * patience_s:g} ms"
                raise Late(reason, where=self.release) from error
            raise Unavailable("the model's process ended", got=str(error), where=self.release) from error
        running.warm = True
        if self._sample is None and len(rows):
            self._sample = rows_to_bytes(rows.head(1))
        return mw

    def _restart(self, broken: _Running) -> None:
        if self._timer() - broken.since > HEALTHY_S:
            self._wait_s = self._program.first_wait_s
        wait_s, self._wait_s = self._wait_s, min(2.0 * self._wait_s, self._program.longest_wait_s)
        self._held.clear()
        self.restarts += 1
        broken.end()
        plan = _Restart(self._program, self._timer, self._sample, wait_s)
        arguments = (self._held, self._closed, plan)
        threading.Thread(target=_start_again, args=arguments, daemon=True, name=f"restart {self.release}").start()


@dataclass(frozen=True, slots=True)
class _Restart:
    """What a restart needs, without the predictor, which may be released meanwhile."""

    program: Program
    timer: Callable[[], float]
    sample: bytes | None
    wait_s: float


def _exchange(running: _Running, payload: bytes, seconds: float) -> Message:
    running.link.settimeout(seconds)
    send(running.link, ROWS, payload)
    return receive(running.link)


def _start(program: Program, timer: Callable[[], float]) -> _Running:
    ours, theirs = socket.socketpair()
    lifeline = Lifeline()
    try:
        process = subprocess.Popen(  # noqa: S603 - the composition root's own program
            program.command(theirs.fileno()),
            env={**program.environment, **lifeline.environment},
            pass_fds=(theirs.fileno(), lifeline.inherited),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        lifeline.cut()
        raise Unavailable("the model's process cannot be started", got=str(error)) from error
    finally:
        theirs.close()
        lifeline.started()
    running = _Running(process, ours, lifeline, timer())
    said = "no greeting"
    try:
        ours.settimeout(program.start_s)
        greeting = receive(ours)
        if greeting.kind == READY:
            return running
        if greeting.kind == ERROR:
            said = greeting.payload.decode(errors="replace")
    except Disturbed as error:
        said = str(error)
    running.end()
    raise Unavailable("the model's process did not get ready", got=said)


def _start_again(held: list[_Running], closed: threading.Event, plan: _Restart) -> None:
    """Start the process anew until it is ready and warm, with growing waits; give up when the predictor is gone."""
    wait_s = plan.wait_s
    while not closed.wait(wait_s):
        wait_s = min(2.0 * wait_s, plan.program.longest_wait_s)
        try:
            running = _start(plan.program, plan.timer)
        except Unavailable:
            continue
        try:
            if plan.sample is not None:
                answer_from(_exchange(running, plan.sample, plan.program.start_s))
                running.warm = True
        except RecloserError:
            running.warm = True
        except Disturbed:
            running.end()
            continue
        held.append(running)
        if closed.is_set():
            _close(held, closed)
        return


def _close(held: list[_Running], closed: threading.Event) -> None:
    closed.set()
    while held:
        held.pop().end()
