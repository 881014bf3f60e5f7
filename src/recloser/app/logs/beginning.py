"""Owns how a process of a project begins its log: where it is kept, and in which form it is shown. Keeps no line."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from recloser.app.logs.keeping import ProcessLog, begin_log
from recloser.app.project.layout import Layout
from recloser.app.project.settings import load_project
from recloser.core import RecloserError


def log_of(folder: Path, process: str, *, kept: bool = True) -> ProcessLog:
    """Return what this process says things to, after everything that is logged in it goes there too.

    Lines go to stderr, in the form that the project asks for, and into the project's logs.

    Args:
        folder: project.
        process: its name.
        kept: False shows them on stderr alone.
    """
    layout, as_json = Layout(folder), False
    with suppress(RecloserError):  # a project file that is wrong is told by who needs it, here too
        as_json = load_project(folder).observability.logs == "json"
    logs = layout.logs if kept and layout.state.is_dir() else None
    log = ProcessLog(logs, process, os.getpid(), sys.stderr, as_json=as_json)
    begin_log(log)
    return log
