"""Owns looking many times a second whether there is something to do. Does none of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from recloser.app.processes.alert.repeating import Repeating
from recloser.core import Unavailable
from recloser.ledger import LedgerWatch

LOOK_S = 0.05
AGAIN_S = 1.0
Look = Callable[[], bool]
"""Tells whether something happened since it was last asked; cheap, and never raises."""


class FolderLook:
    """Tells whether files came or went in a folder; a change in the same tick of the disk's clock may be missed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._stamp()

    def __call__(self) -> bool:
        """Return whether the folder changed since the last call."""
        stamp = self._stamp()
        changed, self._seen = stamp != self._seen, stamp
        return changed

    def _stamp(self) -> int:
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:
            return 0


class LedgerLook:
    """Tells whether the ledger was written to; while it cannot be reached it is asked once a second only.

    Args:
        watch: of the ledger.
        timer: monotonic seconds.
    """

    def __init__(self, watch: LedgerWatch, timer: Callable[[], float] = time.monotonic) -> None:
        self._watch, self._timer = watch, timer
        self._due = 0.0

    def __call__(self) -> bool:
        """Return whether there was a change since the last call."""
        if self._timer() < self._due:
            return False
        try:
            return self._watch.changed()
        except Unavailable:
            self._due = self._timer() + AGAIN_S
            return False


class Waker(Repeating):
    """Sets an event soon after one of its looks saw something, on a thread of its own, until the block ends.

    Args:
        looks: what is looked at.
        woken: set when there is something.
        every_s: how often.
    """

    def __init__(self, looks: Sequence[Look], woken: threading.Event, every_s: float = LOOK_S) -> None:
        self._looks, self._woken = tuple(looks), woken
        super().__init__("waker", self._look, every_s)

    def _look(self) -> None:
        if sum(look() for look in self._looks):  # all of them are asked
            self._woken.set()


def pause(
    ended: threading.Event, looks: Sequence[Look], seconds: float, timer: Callable[[], float] = time.monotonic
) -> None:
    """Wait until there is something to look at, the process is to end, or the seconds are over."""
    until = timer() + seconds
    while timer() < until and not ended.wait(LOOK_S) and not any(look() for look in looks):
        pass
