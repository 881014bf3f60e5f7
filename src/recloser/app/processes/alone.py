"""Owns a watchman that no supervisor started: it keeps a log as the processes of `up` do. Watches nothing itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from recloser.app.logs.keeping import ProcessLog, begin_log, beside
from recloser.app.project.layout import Layout
from recloser.app.watchman.watching import watch_over


def watch_alone(
    folder: Path,
    say: Callable[[str], None],
    ready: Callable[[dict[str, str | None]], None] = lambda _place: None,
) -> int:
    """Watch over a project until told to stop, as `watch_over`; what is said goes into the project's logs too.

    The log is the host's watchman's, which that of an `up` on the same host writes as well; each line has its process.

    Raises:
        InvalidInput: no project.
        Unavailable: the port for figures is taken.
    """
    layout = Layout(folder)
    log = ProcessLog(layout.logs if layout.state.is_dir() else None, "watchman", os.getpid())
    begin_log(log)
    return watch_over(folder, beside(say, log), ready)
