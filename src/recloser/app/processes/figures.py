"""Owns how the gateway processes on one port tell each other their figures, by files. Counts nothing.

A process publishes before it tells, and goes on from what the one before it under its name had published: what was once
told never goes backwards, whoever dies.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from recloser.app.processes.hosts.identity import Identity, alive
from recloser.app.processes.reports import FOLDER as REPORTS
from recloser.app.processes.reports import read_reports
from recloser.serving.wire.figures import Figures, carried_on, without_gauges

FOLDER = "figures"
EVERY_S = 1.0
LOG = logging.getLogger(__name__)


class Published(msgspec.Struct, frozen=True):
    """What one process told, and its pid."""

    worker: str
    pid: int
    figures: Figures


ENCODER = msgspec.json.Encoder()
DECODER = msgspec.json.Decoder(Published)


class SharedFigures:
    """The Colleagues of a gateway process.

    Args:
        state: the project's state folder.
        who: this process.
        workers: how many share the port; one alone publishes nothing.
    """

    def __init__(self, state: Path, who: Identity, workers: int) -> None:
        self._state, self._who, self._worker, self._several = state, who, who.worker, workers > 1
        self._folder = state / REPORTS / FOLDER
        self._lock = threading.Lock()
        self._unwritten = False
        before = self._read().get(who.worker)
        self._before = Figures() if before is None else without_gauges(before.figures)

    def share(self, own: Callable[[], Figures]) -> Mapping[str, Figures] | None:
        """See Colleagues; with a disk that takes nothing the others' last words and our own present ones."""
        if not self._several:
            return None
        with self._lock:
            total = carried_on(self._before, own())
            try:
                self._write(total)
                self._unwritten = False
            except OSError as error:
                if not self._unwritten:
                    LOG.warning("the figures of this process are not published: %s", error)
                self._unwritten = True
        found = {
            name: one.figures if alive(one.pid) else without_gauges(one.figures) for name, one in self._read().items()
        }
        return dict(sorted({**found, self._worker: total}.items()))

    def states(self) -> Sequence[Mapping[str, Any]]:
        """See Colleagues."""
        return [report.document() for report in read_reports(self._state)]

    def _write(self, total: Figures) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{self._who.seat}.{os.getpid()}"
        draft.write_bytes(ENCODER.encode(Published(self._worker, os.getpid(), total)))
        draft.replace(self._folder / f"{self._who.seat}.json")

    def _read(self) -> dict[str, Published]:
        found = {}
        for path in self._folder.glob(f"{self._who.host}_{self._who.port}_*.json"):
            try:
                one = DECODER.decode(path.read_bytes())
            except (OSError, msgspec.MsgspecError):
                continue
            found[one.worker] = one
        return found


class Publishing(threading.Thread):
    """Publishes this process's figures every second, so that the others can tell them.

    Args:
        publish: does it once.
    """

    def __init__(self, publish: Callable[[], object]) -> None:
        super().__init__(daemon=True, name="publishing")
        self._publish = publish
        self._ended = threading.Event()

    def run(self) -> None:
        """Publish at once, until told to stop, and once more."""
        self._publish()
        while not self._ended.wait(EVERY_S):
            self._publish()
        self._publish()

    def stop(self) -> None:
        """End the thread after its last words."""
        self._ended.set()
        if self.is_alive():
            self.join()
