"""Owns that a child process ends with its parent, however either ends or hangs: the kernel sees to it. Starts none."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
from collections.abc import Mapping

VARIABLE = "RECLOSER_LIFELINE"
"""Environment variable with the descriptor that a child hangs on."""


class Lifeline:
    """The parent's end: a pipe on which nothing is ever written. The child is killed when this end is closed or gone.

    Give `inherited` to the child with `environment`, and call `started` once it has been started.
    """

    def __init__(self) -> None:
        self.inherited, self._held = os.pipe()

    @property
    def environment(self) -> Mapping[str, str]:
        """What the child's environment needs."""
        return {VARIABLE: str(self.inherited)}

    def started(self) -> None:
        """Close the child's end in this process."""
        os.close(self.inherited)

    def cut(self) -> None:
        """Let the kernel kill the child; may be called again."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1


def hang_on(environment: Mapping[str, str]) -> None:
    """End this process, whatever it is doing then, when the parent's end is gone; nothing without a lifeline.

    Only where the kernel can (Linux); a process that holds Python's lock for ever cannot watch for itself.
    """
    number = environment.get(VARIABLE)
    if number is None or sys.platform != "linux":
        return
    end = int(number)
    fcntl.fcntl(end, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(end, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC)
    os.set_inheritable(end, False)
    poll = select.poll()
    poll.register(end)
    if poll.poll(0):  # gone before we hung on it
        os.kill(os.getpid(), signal.SIGKILL)
