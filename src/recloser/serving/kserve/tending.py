"""Owns the two threads that keep a keeper at work: its rounds, and the watch that wakes it. Decides nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from recloser.core import RecloserError
from recloser.serving.kserve.api import Busy, Expired, KServeApi
from recloser.serving.kserve.keeper import ServiceKeeper

LOG = logging.getLogger(__name__)


class Tending:
    """Tends InferenceServices while the block lasts: soon after something happened, and now and then.

    A watch that breaks, is too old or is refused only costs time: each round reads everything anew.

    Args:
        keeper: does it.
        api: is watched.
        every_s: between two rounds at most.
        first_wait_s: after a failure; the wait doubles up to `every_s`.
        silence_s: of a watch.
        say: told of failures, of the same one in a row only once.
    """

    def __init__(
        self,
        keeper: ServiceKeeper,
        api: KServeApi,
        *,
        every_s: float = 30.0,
        first_wait_s: float = 0.5,
        silence_s: float = 60.0,
        say: Callable[[str], None] = LOG.warning,
    ) -> None:
        self._keeper, self._api, self._say = keeper, api, say
        self._every_s, self._first_wait_s, self._silence_s = every_s, first_wait_s, silence_s
        self._woken, self._ended = threading.Event(), threading.Event()
        self._listed = threading.Event()
        keeper.woken = self._woken.set
        self._threads = [
            threading.Thread(target=target, daemon=True, name=name)
            for target, name in ((self._tend, "kserve-keeper"), (self._watch, "kserve-watch"))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._woken.set()
        self._listed.set()
        self._threads[0].join(5.0)  # the watch may hang on a silent connection; it changes nothing

    def _tend(self) -> None:
        wait_s, told = self._first_wait_s, ""
        while not self._ended.is_set():
            self._woken.clear()
            try:
                pause_s = 0.05 if self._keeper.tend() else self._every_s
                wait_s, told = self._first_wait_s, ""
            except Exception as error:  # noqa: BLE001 - the outermost loop of its thread: without it nobody mends releases
                if _said(error) != told:
                    told = _said(error)
                    self._say(f"kserve: {told}")
                pause_s = max(wait_s, error.wait_s if isinstance(error, Busy) else 0.0)
                wait_s = min(2 * wait_s, self._every_s)
                self._ended.wait(pause_s)  # nobody wakes it sooner: a server in trouble is left alone
                continue
            finally:
                if self._keeper.version:
                    self._listed.set()
            self._woken.wait(pause_s)

    def _watch(self) -> None:
        wait_s, version = self._first_wait_s, ""
        while not self._ended.is_set():
            self._listed.wait()
            if not version:
                version = self._keeper.version
            try:
                for event in self._api.watch(version, silence_s=self._silence_s):
                    version = event.version or version
                    self._keeper.note(event)
                    wait_s = self._first_wait_s
                    if self._ended.is_set():
                        return
                pause_s = 0.05  # the server ends each watch after a while; that is no failure
            except Expired:
                version, pause_s = "", wait_s
                self._listed.clear()
                self._woken.set()
            except Exception as error:  # noqa: BLE001 - the outermost loop of its thread
                if not isinstance(error, RecloserError):
                    self._say(f"kserve: the watch met {_said(error)}")
                pause_s = wait_s
                wait_s = min(2 * wait_s, self._every_s)
            self._ended.wait(pause_s)


def _said(error: Exception) -> str:
    return error.explain() if isinstance(error, RecloserError) else f"{type(error).__name__}: {error}"
