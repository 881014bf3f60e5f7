"""Owns the start of a supervised process: `python -m recloser.app gateway|controller|...`. Restarts nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recloser.app.events.watching import watch_phasors
from recloser.app.links.collecting import collect
from recloser.app.links.linking import run_link
from recloser.app.logs.beginning import log_of
from recloser.app.logs.keeping import ProcessLog
from recloser.app.logs.told import told
from recloser.app.processes.controller import control
from recloser.app.processes.garbage import look_rarely_for_garbage
from recloser.app.processes.running import make_run
from recloser.app.processes.server import LISTENING, WORKER, Place, serve
from recloser.app.watchman.watching import watch_over
from recloser.core import Clock, RecloserError, VirtualClock, parse_utc
from recloser.serving.foreign import hang_on

GRACE_S = 4.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a supervised process is told: project, address, its supervisor's pid, and a standing clock or None."""

    folder: Path
    host: str
    port: int
    clock: Clock | None


def assigned(words: Sequence[str]) -> Assignment:
    """Read the words that the supervisor passes, and end this process when the supervisor is gone."""
    folder, host, port, parent, at = words
    threading.Thread(target=end_with_parent, args=(int(parent),), daemon=True).start()
    return Assignment(Path(folder), host, int(port), None if at == "-" else VirtualClock(parse_utc(at)))


def say_of(name: str, task: Assignment) -> ProcessLog:
    """Return what a process says things to; what a standing clock shows is over, and goes to stderr alone."""
    return log_of(task.folder, name, kept=task.clock is None)


def main(words: Sequence[str]) -> int:
    """Run the named process and return its exit code."""
    name, task = words[0], assigned(words[1:6])
    hang_on(os.environ)
    say = say_of(known_as(name, words[6:]), task)
    if name != "gateway":
        look_rarely_for_garbage()
    try:
        if name == "run":
            return make_run(task.folder, words[6], say)
        if name == "link":
            return run_link(task.folder, words[6], say)
        if name == "collector":
            return collect(task.folder, say)
        if name == "detector":
            return watch_phasors(task.folder, task.port, say)
        if name == "watchman":
            return watch_over(task.folder, say)
        if name == "gateway":
            inherited = os.environ.get(LISTENING)
            worker = os.environ.get(WORKER, "1")
            place = Place(task.host, task.port, worker, None if inherited is None else int(inherited))
            return serve(task.folder, place, task.clock, lambda url: say(told(f"gateway serves on {url}")))
        return control(task.folder, say)
    except RecloserError as error:
        say(told(f"{name}: {error.explain()}", "error"))
        return error.exit_code


def known_as(name: str, more: Sequence[str]) -> str:
    """Return how the supervisor calls a process: links by their device, gateways by their number if there are more."""
    if name == "link":
        return f"link {more[0]}"
    worker = os.environ.get(WORKER, "")
    return f"{name} {worker}" if name == "gateway" and LISTENING in os.environ else name


def end_with_parent(parent: int) -> None:
    """End this process when its supervisor is gone (killed without a chance to stop its children)."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)  # in the middle of a long step; what it had not written down is done again
