"""Owns doing something again and again on a thread of its own. Knows nothing of what is done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Repeating:
    """Takes a step every so many seconds on a thread of its own, until the block ends.

    Args:
        name: of the thread.
        step: what is done; it must not raise.
        every_s: from the end of a step to the next.
        patience_s: how long the end of the block waits for a step under way; None: until it is done.
    """

    def __init__(self, name: str, step: Callable[[], object], every_s: float, patience_s: float | None = None) -> None:
        self._step, self._every_s, self._patience_s = step, every_s, patience_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(self._patience_s)

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            self._step()
