"""Owns the controller process of `recloser up`: the loop in real time. Decides nothing; serves nothing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.platform import Platform
from recloser.app.predictions.opening import PredictionUpkeep
from recloser.app.processes.server import due_issue
from recloser.core import RecloserError
from recloser.ledger import PinRecord
from recloser.registry import CodeCommit, read_commit

TICK_S = 5.0


def control(folder: Path, say: Callable[[str], None]) -> int:
    """Run the control loop until the process is told to stop; what is unavailable now is tried at the next tick.

    It also ends, to be started again by its supervisor, when the project's code is at another commit: the new code is
    read, and the commit asks for a run.
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with Platform.open(folder) as platform, platform.ledger.hold("controller"):
        loop, predictions = ControlLoop(platform, LoopOptions(say=say)), PredictionUpkeep(platform)
        hour, day = -1, platform.clock.now().date()
        minute, begun_with = -1, read_commit(folder)
        while not ended.is_set():
            try:
                now = platform.clock.now()
                issue = due_issue(platform, now)
                if issue is not None:
                    loop.cycle(issue)
                elif now.hour != hour:
                    loop.watch.check_data(now)
                    loop.watch.close_days(now)
                if now.date() != day:
                    day = now.date()
                    maintain(platform)
                if now.minute != minute and loop.retraining.tick(now, loop.watch.unmasked()):
                    loop.advance()
                if now.minute != minute and (why := _outdated(platform, begun_with)):
                    say(f"{why}: starting again with it")
                    break
                hour, minute = now.hour, now.minute
                loop.advance()
                predictions.tick(now)
            except RecloserError as error:
                say(f"control: {error.explain()}")
            ended.wait(TICK_S)
    return 0


def _outdated(platform: Platform, begun_with: CodeCommit | None) -> str:
    """Return why this process should begin anew, or an empty text; changes that are not committed do not count."""
    found = read_commit(platform.layout.root)
    if found is not None and (begun_with is None or found.commit != begun_with.commit):
        return "the project's code is at another commit"
    if platform.wanted_features().digest != platform.features.digest:
        return "there is weather in the store now"
    return ""


def maintain(platform: Platform) -> None:
    """Compact and vacuum the store once a day; versions that something was trained on stay readable."""
    pinned = sorted({record.version for record in platform.ledger.find(PinRecord)})
    now = platform.clock.now()
    result = platform.store.maintain(pinned, now)
    with platform.ledger.change("controller", now) as change:
        change.note("store.maintain", "store", {"pinned": pinned, "result": str(result)})
