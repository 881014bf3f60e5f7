"""Owns live updates: one watcher of the ledger for all open pages, and the stream that tells each browser."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator

from recloser.app import ControlRoom
from recloser.core import RecloserError, format_utc
from recloser.ledger import LedgerWatch

LOOK_S = 0.25
BEAT_S = 5.0
RETRY_S = 1.0
MOST = 200
"""Browsers that are told at once; the pages of further ones ask by themselves."""


class Pulse:
    """Looks at the ledger four times a second, in a thread of its own, while there is anybody to tell.

    `length` is the number of audit entries, None while the project cannot be read.

    Args:
        room: the project.
    """

    def __init__(self, room: ControlRoom) -> None:
        self._room = room
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.length: int | None = None
        self.listeners = 0

    def start(self) -> None:
        """Begin to look, once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="console-pulse", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    @property
    def ended(self) -> bool:
        """True once it was stopped."""
        return self._ended.is_set()

    def _get_ready(self) -> None:
        """Have at hand what a rollback would need, where anybody may ask for one."""
        if self._room.gatehouse.required:
            self._room.get_ready()

    def _look(self) -> None:
        watch: LedgerWatch | None = None
        while not self._ended.wait(LOOK_S):
            try:
                watch = watch or self._room.watch()
                if watch.changed():
                    self.length = self._room.length()
                    self._get_ready()
            except RecloserError:
                self.length = None
                if watch is not None:
                    watch.close()
                watch = None
                self._ended.wait(RETRY_S)
        if watch is not None:
            watch.close()


async def stream(pulse: Pulse, room: ControlRoom) -> AsyncIterator[bytes]:
    """Yield server-sent events: `state` when the ledger has changed and every few seconds; silence means trouble.

    The data is {"length": audit entries or null, "now": ISO 8601 UTC}.
    """
    pulse.start()
    pulse.listeners += 1
    loop = asyncio.get_running_loop()
    told: object = ...
    due = 0.0
    try:
        yield b"retry: 2000\n\n"
        while not pulse.ended:
            length = pulse.length
            if length != told or loop.time() >= due:
                told, due = length, loop.time() + BEAT_S
                yield await asyncio.to_thread(_event, pulse, room)
            await asyncio.sleep(LOOK_S)
    finally:
        pulse.listeners -= 1


def state_of(pulse: Pulse, room: ControlRoom) -> dict[str, int | str | None]:
    """Return {"length": audit entries or null, "now": ISO 8601 UTC or null} of this moment."""
    length = pulse.length
    try:
        return {"length": length, "now": format_utc(room.now())}
    except RecloserError:
        return {"length": None, "now": None}


def _event(pulse: Pulse, room: ControlRoom) -> bytes:
    return f"event: state\ndata: {json.dumps(state_of(pulse, room))}\n\n".encode()
