"""Owns how a process keeps its log: sentences, library messages and defects become lines. Reads none."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from recloser.app.logs.file import LogFile
from recloser.app.logs.line import TRACE, LogLine, cleaned, names_in, one_line
from recloser.app.logs.told import LEVELS, Told, level_of
from recloser.app.processes.hosts.identity import host_name

FORGOTTEN_S = 30 * 86_400.0
"""Of processes that have said nothing for so long, such as containers that are gone, the files go."""
Raised = tuple[type[BaseException], BaseException, TracebackType | None]


class ProcessLog:
    """The log of one process: a file under `state/logs`, if wanted a stream too. Thread safe, never raises.

    Args:
        folder: of all logs; None keeps no file.
        process: name of this process, as the supervisor calls it.
        pid: its number.
        stream: also told every line; None for nothing.
        as_json: the stream gets the same JSON as the file, not the text alone.
    """

    def __init__(
        self, folder: Path | None, process: str, pid: int, stream: TextIO | None = None, *, as_json: bool = False
    ) -> None:
        self._process, self._pid, self._host = process, pid, host_name()
        self._file = None if folder is None else LogFile(folder / file_name(self._host, process))
        self._stream, self._as_json = stream, as_json
        self._lock = threading.RLock()

    def __call__(self, sentence: str) -> None:
        """Keep a sentence; one that was `told` brings its level and names, others are warnings."""
        about = sentence.about if isinstance(sentence, Told) else {}
        self.keep(str(sentence), level_of(sentence), about)

    def keep(
        self,
        text: str,
        level: str,
        about: Mapping[str, list[str]],
        raised: Raised | None = None,
        at: float | None = None,
    ) -> None:
        """Keep a line.

        Args:
            text: what happened.
            level: one of LEVELS.
            about: names by kind.
            raised: the defect behind it.
            at: seconds since 1970, None for now.
        """
        found = "" if raised is None else "".join(traceback.format_exception(*raised))
        trace = cleaned(found.encode("utf-8", "replace").decode())
        shown = one_line(cleaned(text))
        when = datetime.fromtimestamp(time.time() if at is None else at, UTC)
        line = LogLine(when, level, self._process, self._host, self._pid, shown, names_in(text, about), trace[-TRACE:])
        with self._lock:
            self._append(line)
            self._show(line, trace)

    def _append(self, line: LogLine) -> None:
        if self._file is None:
            return
        lost = self._file.lost
        if self._file.add(line.encoded()) and lost:
            self._file.lost = 0
            words = f"{lost} lines before this one were lost: the disk took none"
            self._file.add(replace(line, level="error", text=words, about={}, trace="").encoded())

    def _show(self, line: LogLine, trace: str) -> None:
        if self._stream is None or (line.level == "debug" and not self._as_json):
            return
        words = line.encoded().decode() if self._as_json else f"{line.text}\n{trace}"
        with suppress(OSError, ValueError):  # whoever read it is gone
            self._stream.write(words)
            self._stream.flush()


class LogHandler(logging.Handler):
    """Brings what libraries and our own modules log into the process's log."""

    def __init__(self, log: ProcessLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record; a message that cannot be made is told as it was given."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            text = f"{record.msg} {record.args}"
        about = dict(record.msg.about) if isinstance(record.msg, Told) else {}
        raised = record.exc_info if record.exc_info and record.exc_info[0] is not None else None
        level = record.levelname.lower() if record.levelname.lower() in LEVELS else "error"
        self._log.keep(text, level, {**about, "logger": [record.name]}, raised, record.created)


def begin_log(log: ProcessLog) -> None:
    """Bring into this process's log what is logged, warned of and not caught anywhere; once, at its start."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(LogHandler(log))
    root.setLevel(logging.WARNING)
    logging.getLogger("recloser").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            log.keep(f"ended by a defect: {kind.__name__}: {error}", "error", {}, (kind, error, trace))

    def uncaught_in_thread(args: Any) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            name = args.thread.name if args.thread is not None else "of no name"
            raised = (args.exc_type, args.exc_value, args.exc_traceback)
            log.keep(
                f"thread {name} ended by a defect: {args.exc_type.__name__}: {args.exc_value}", "error", {}, raised
            )

    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread


def file_name(host: str, process: str) -> str:
    """Return the name of a process's file."""
    return f"{re.sub(r'[^A-Za-z0-9.-]', '-', host)}_{re.sub(r'[^A-Za-z0-9.-]', '-', process)[:100]}.jsonl"


def forget_logs(folder: Path, now: float) -> None:
    """Delete the files of processes that have been silent for long; `now` in seconds since 1970."""
    for path in folder.glob("*.jsonl*"):
        with suppress(OSError):
            if now - path.stat().st_mtime > FORGOTTEN_S:
                path.unlink()


def beside(say: Callable[[str], None], log: ProcessLog) -> Callable[[str], None]:
    """Return what tells somebody and keeps the same in a log."""

    def both(sentence: str) -> None:
        say(sentence)
        log(sentence)

    return both
