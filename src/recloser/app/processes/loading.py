"""Owns what takes long beside the following of the route: loading releases, learning the limits of assets.

Decides neither what is wanted nor who serves, and puts nothing into force.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime

from recloser.app.release import LoadedRelease
from recloser.core import RecloserError
from recloser.serving import AssetLimits

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
LOG = logging.getLogger(__name__)
Learned = tuple[dict[str, AssetLimits], datetime]


@dataclass(slots=True)
class _Attempt:
    """How far the loading of one release is; `problem` tells why the last try failed."""

    thread: threading.Thread | None = None
    found: LoadedRelease | None = None
    problem: str = ""
    wait_s: float = FIRST_WAIT_S
    due: float = 0.0


class ReleaseLoader:
    """Loads what is wanted, each release in a thread of its own: one that hangs keeps no other waiting.

    What failed is tried again after waits that grow from FIRST_WAIT_S to LONGEST_WAIT_S, and at once when another
    decision wants it. Whatever is no longer wanted when it has loaded is given up. Thread safe.

    Args:
        load: returns a release ready to answer; may take long and may raise anything.
        woken: called when a try has ended, on its thread.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        load: Callable[[str], LoadedRelease],
        woken: Callable[[], None] = lambda: None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load, self._woken, self._timer = load, woken, timer
        self._changed = threading.Condition()
        self._decision: Hashable = None
        self._attempts: dict[str, _Attempt] = {}

    def want(self, releases: Collection[str], decision: Hashable) -> list[LoadedRelease]:
        """Say what is wanted now, and by which decision; return what of it has loaded since, each once."""
        with self._changed:
            if decision != self._decision:
                self._decision = decision
                for attempt in self._attempts.values():
                    attempt.wait_s, attempt.due = FIRST_WAIT_S, 0.0
            self._attempts = {
                name: attempt
                for name, attempt in self._attempts.items()
                if name in releases or attempt.thread is not None
            }
            found = []
            for name in releases:
                attempt = self._attempts.setdefault(name, _Attempt())
                if attempt.found is not None:
                    found.append(self._attempts.pop(name).found)
                elif attempt.thread is None and self._timer() >= attempt.due:
                    self._start(name, attempt)
            return [release for release in found if release is not None]

    def problems(self) -> Mapping[str, str]:
        """Return why the last try of what is wanted and could not be loaded failed, by release."""
        with self._changed:
            return {name: attempt.problem for name, attempt in self._attempts.items() if attempt.problem}

    def wait(self, releases: Collection[str], within_s: float) -> bool:
        """Wait until none of these is being loaded; False if that takes too long."""
        with self._changed:
            return self._changed.wait_for(
                lambda: all(self._attempts.get(name, _Attempt()).thread is None for name in releases), within_s
            )

    def _start(self, name: str, attempt: _Attempt) -> None:
        attempt.thread = threading.Thread(target=self._try, args=(name, attempt), daemon=True, name=f"load {name}")
        attempt.thread.start()

    def _try(self, name: str, attempt: _Attempt) -> None:
        found, problem = None, ""
        try:
            found = self._load(name)
        except RecloserError as error:
            problem = error.explain()
        # The outermost loop of the thread: what code of a project raises must not end the trying.
        except Exception as error:  # noqa: BLE001
            problem = f"{type(error).__name__}: {error}"
        with self._changed:
            attempt.thread, attempt.found, attempt.problem = None, found, problem
            if found is None:
                attempt.due = self._timer() + attempt.wait_s
                attempt.wait_s = min(2.0 * attempt.wait_s, LONGEST_WAIT_S)
            self._changed.notify_all()
        self._woken()


class LimitsLearner:
    """Learns limits on a thread of its own, one at a time; what it learned is taken once. Thread safe.

    Args:
        learn: returns the limits by what is known at an instant, None where nothing can be learned; may take long.
        woken: called when it has learned them, on its thread.
    """

    def __init__(
        self, learn: Callable[[datetime], dict[str, AssetLimits] | None], woken: Callable[[], None] = lambda: None
    ) -> None:
        self._learn, self._woken = learn, woken
        self._changed = threading.Condition()
        self._busy = False
        self._learned: Learned | None = None

    def begin(self, now: datetime) -> bool:
        """Begin to learn by what is known now; return False while it is still at it."""
        with self._changed:
            if self._busy:
                return False
            self._busy = True
        threading.Thread(target=self._run, args=(now,), daemon=True, name="limits").start()
        return True

    def taken(self) -> Learned | None:
        """Return what was learned since the last call, and as of when."""
        with self._changed:
            learned, self._learned = self._learned, None
            return learned

    def wait(self, within_s: float) -> bool:
        """Wait until it has ended; return whether there is something to take."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy, within_s)
            return self._learned is not None

    def _run(self, now: datetime) -> None:
        learned: Learned | None = None
        try:
            found = self._learn(now)
            learned = None if found is None else (found, now)
        except RecloserError as error:
            LOG.warning("the limits of assets cannot be learned: %s", error)
        finally:
            with self._changed:
                self._busy, self._learned = False, learned or self._learned
                self._changed.notify_all()
            if learned is not None:
                self._woken()
