"""Owns reading logs from their ends: the latest lines of all processes in one order, by page. Writes nothing."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path

from recloser.app.logs.file import OLDER
from recloser.app.logs.line import LONGEST, LogLine, line_of
from recloser.app.logs.told import LEVELS

BLOCK, PROBE = 32_768, 8_192
"""Bytes of a read, and of one that only asks what time it was there."""
BUDGET = 4_000_000
"""Bytes that one page may read, however much there is."""
FILES = 64
"""So many processes are looked at: those that spoke last."""
PAGE = 50
_TIES = 200
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LogAsk:
    """Which lines are wanted.

    Attributes:
        process: name of one, empty for all.
        level: the least grave, one of LEVELS; any other word for all.
        find: part of the text or of an id or name.
        before: only lines from before this instant (aware UTC).
    """

    process: str = ""
    level: str = ""
    find: str = ""
    before: datetime | None = None

    def wants(self, line: LogLine) -> bool:
        """Tell whether a line is wanted, `before` aside."""
        least = LEVELS.index(self.level) if self.level in LEVELS else 0
        grave = LEVELS.index(line.level) >= least
        return grave and self.process in {"", line.process} and (not self.find or line.has(self.find))


class _Spent(Exception):
    """A page has read as much as it may."""


@dataclass(slots=True)
class _Budget:
    left: int
    damaged: int = 0

    def read(self, descriptor: int, start: int, end: int) -> bytes:
        """Return the bytes start..end of a file.

        Raises:
            _Spent: as much was read as may be.
        """
        if self.left <= 0:
            raise _Spent
        self.left -= end - start
        return os.pread(descriptor, end - start, start)


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines, newest first.

    Attributes:
        lines: those wanted.
        older: ask for lines from before this instant for the next page; None if there are none.
        looked_to: how far back was looked, None if everything was.
        damaged: lines on the way that cannot be read.
        latest: the newest line of each process, by name and host.
    """

    lines: list[LogLine]
    older: datetime | None
    looked_to: datetime | None
    damaged: int
    latest: list[LogLine] = field(default_factory=list)


def read_logs(folder: Path, ask: LogAsk, *, page: int = PAGE, budget: int = BUDGET) -> LogPage:
    """Return the latest lines that are wanted, of all processes in the order of time.

    What stops a page early is told: `looked_to` is then set and `older` goes on from there.

    Args:
        folder: of the logs; one that is not there holds none.
        ask: what is wanted.
        page: at most so many lines, more only where several are of one instant.
        budget: at most about so many bytes are read, but two blocks of each file always.
    """
    files = _files(folder)
    purse = _Budget(max(budget, (2 * len(files) + 1) * BLOCK))
    streams = [_backwards(path, ask.before, purse) for path in files]
    found: list[LogLine] = []
    older = last = looked_to = None
    try:
        for line in heapq.merge(*streams, key=attrgetter("at"), reverse=True):
            if len(found) >= page and (line.at != found[-1].at or len(found) >= page + _TIES):
                older = found[-1].at
                break
            last = line.at
            if ask.wants(line):
                found.append(line)
    except _Spent:
        older = looked_to = last
        if last is not None and (
            ask.before is None or last + _TICK < ask.before
        ):  # others of the instant may be unread
            older = last + _TICK
            found = [line for line in found if line.at > last]
    latest = sorted(_latest(files), key=lambda line: (line.host, line.process))
    return LogPage(found, older, looked_to, purse.damaged, latest)


def _files(folder: Path) -> list[Path]:
    """Return the present file of each process, those that spoke last first."""
    dated = []
    with suppress(OSError):
        for path in folder.glob("*.jsonl"):
            with suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    dated.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(dated, reverse=True)[:FILES]]


def _latest(files: list[Path]) -> Iterator[LogLine]:
    for path in files:
        line = next(_backwards(path, None, _Budget(2 * LONGEST)), None)
        if line is not None:
            yield line


def _backwards(path: Path, before: datetime | None, purse: _Budget) -> Iterator[LogLine]:
    """Yield the lines of a process from the newest on, through the file that was put aside."""
    for part in (path, path.with_name(path.name + OLDER)):
        try:
            descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            end = os.fstat(descriptor).st_size
            if before is not None:
                end = _position(descriptor, end, before)
            for raw in _raw_lines(descriptor, end, purse):
                line = line_of(raw)
                if line is None:
                    purse.damaged += 1
                elif before is None or line.at < before:
                    yield line
        except OSError:
            purse.damaged += 1
        finally:
            os.close(descriptor)


def _raw_lines(descriptor: int, end: int, purse: _Budget) -> Iterator[bytes]:
    """Yield whole lines from `end` backwards; what stands behind the last line feed is still being written."""
    rest, whole = b"", False
    while end > 0:
        start = max(0, end - BLOCK)
        block = purse.read(descriptor, start, end)
        if not block:
            return
        rest, end = block + rest, start
        if not whole:
            rest, feed, _ = rest.rpartition(b"\n")
            if not feed:
                continue
            whole = True
        rest, *lines = rest.split(b"\n")
        yield from (line for line in reversed(lines) if line)
        if len(rest) > LONGEST:  # none of ours: passed over, up to the line feed before it
            rest, whole = b"", False
            purse.damaged += 1
    if whole and rest:
        yield rest


def _position(descriptor: int, size: int, before: datetime) -> int:
    """Return where the lines from before an instant end, or a little behind; times ascend in a file."""
    low, high, end = 0, size, size
    while high - low > PROBE:
        middle = (low + high) // 2
        torn, feed, rest = os.pread(descriptor, PROBE, middle).partition(b"\n")
        line = line_of(rest.partition(b"\n")[0])
        if line is None:  # damaged, or longer than a look: what is behind is read and passed over
            break
        if line.at < before:
            low = middle
        else:
            high, end = middle, middle + len(torn) + len(feed)
    return end
