"""Owns the file that a process's lines are appended to, bounded and mended after a crash. Knows no line's form."""

from __future__ import annotations

import os
from pathlib import Path

MOST_BYTES = 4_000_000
OLDER = ".1"
"""Ending of the file before: there are two, so a process keeps between one and two times MOST_BYTES."""


class LogFile:
    """Appends whole lines to a file; a full disk or a folder that is gone costs lines, never the process.

    Several processes may append to one file: each line is one write at its end, and who finds that another one has
    put the file aside goes on in the new one. Not thread safe.

    Args:
        path: the file, made with its folder at the first line; only its owner may read it.
        most_bytes: it is put aside before it would grow beyond.
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._most = path, most_bytes
        self._descriptor: int | None = None
        self.lost = 0

    def add(self, line: bytes) -> bool:
        """Append a line that ends in a line feed; return whether it is in the file, counting those that are not."""
        try:
            self._write(line)
        except OSError:
            self.lost += 1
            self.close()
            return False
        return True

    def close(self) -> None:
        """Give the file back; the next line opens it again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _write(self, line: bytes) -> None:
        descriptor = self._current()
        if os.fstat(descriptor).st_size + len(line) > self._most:
            self._path.replace(f"{self._path}{OLDER}")
            descriptor = self._current()
        written = os.write(descriptor, line)
        if written < len(line):  # the disk is full: what is there of the line ends where the next opening mends it
            raise OSError(f"only {written} of {len(line)} bytes were taken")

    def _current(self) -> int:
        """Return the descriptor of the file that has the name now."""
        if self._descriptor is not None and not self._still_there(self._descriptor):
            self.close()
        if self._descriptor is None:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
            size = os.fstat(self._descriptor).st_size
            if size and os.pread(self._descriptor, 1, size - 1) != b"\n":  # its writer was killed in a line
                os.write(self._descriptor, b"\n")
        return self._descriptor

    def _still_there(self, descriptor: int) -> bool:
        mine = os.fstat(descriptor)
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        return (mine.st_dev, mine.st_ino) == (named.st_dev, named.st_ino)
