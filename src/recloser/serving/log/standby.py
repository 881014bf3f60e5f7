"""Owns what a transport may ask of a log, and serving on while the log's folder cannot be opened. Writes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from recloser.core import Unavailable
from recloser.serving.log.policy import LogStatus
from recloser.serving.log.prediction_log import PredictionLog
from recloser.serving.log.record import Decided


class AnswerLog(Protocol):
    """Where answers are written down. Thread safe; never blocks on the disk, never raises because of it."""

    @property
    def holds_answers(self) -> bool:
        """Tell whether an answer may leave only after `settled`."""
        ...

    def append(self, decided: Decided) -> int | None:
        """Hand over one answer; None if it could not be kept, which is counted."""
        ...

    async def settled(self) -> bool:
        """Return once everything appended so far is durable, or False as soon as that is not to be expected."""
        ...

    def status(self) -> LogStatus:
        """Return how the log does."""
        ...


class StandbyLog:
    """A log that may not be there yet: opened at once or, after a failure, again and again in a thread.

    Answers given before that are counted and become one gap record.

    Args:
        open_log: opens the log; may raise Unavailable.
        retry_s: time between two attempts.
    """

    def __init__(self, open_log: Callable[[], PredictionLog], retry_s: float = 5.0) -> None:
        self._open = open_log
        self._retry_s = retry_s
        self._lock = threading.Lock()
        self._log: PredictionLog | None = None
        self._missed: list[datetime] = []
        self._count = 0
        self._ended = threading.Event()
        self._status = LogStatus(state="stalled", error="not opened yet")
        self._thread: threading.Thread | None = None
        if not self._attempt():
            self._thread = threading.Thread(target=self._retry, name="prediction-log-standby", daemon=True)
            self._thread.start()

    @property
    def holds_answers(self) -> bool:
        """Tell whether an answer may leave only after `settled`; never while there is no log."""
        return self._log is not None and self._log.holds_answers

    def append(self, decided: Decided) -> int | None:
        """Hand over one answer; see `AnswerLog`."""
        if self._log is None:
            with self._lock:
                if self._log is None:
                    self._count += 1
                    self._missed = [*self._missed[:1], decided.made_at]
                    return None
        return self._log.append(decided)

    async def settled(self) -> bool:
        """Return once everything appended so far is durable; see `AnswerLog`."""
        return self._log is not None and await self._log.settled()

    def status(self) -> LogStatus:
        """Return how the log does; 'stalled' while it is not open."""
        log = self._log
        return replace(self._status, dropped=self._count, gaps=int(self._count > 0)) if log is None else log.status()

    def close(self) -> bool:
        """Close the log; False if it never was open or did not take its last records."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        return self._log is not None and self._log.close()

    def _retry(self) -> None:
        while not self._ended.wait(self._retry_s):
            if self._attempt():
                return

    def _attempt(self) -> bool:
        try:
            log = self._open()
        except Unavailable as error:
            self._status = LogStatus(state="stalled", error=error.explain())
            return False
        with self._lock:
            if self._count:
                log.note_gap(self._count, self._missed[0], self._missed[-1])
            self._log = log
        return True
