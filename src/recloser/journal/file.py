"""Owns the bytes of the one open segment. Decides nothing about what is written or when."""

from __future__ import annotations

import os
from typing import Protocol

from recloser.journal.folder import Segment, sync_folder
from recloser.journal.frame import MAGIC


class OpenFile(Protocol):
    """A segment being written; every method may raise OSError, after which the same call may be repeated."""

    def write(self, offset: int, content: bytes) -> None:
        """Write all of `content` at `offset`; a failure may leave a part of it there."""
        ...

    def sync(self) -> None:
        """Return once everything written is durable."""
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


class SegmentFile:
    """The OpenFile of a real segment; created durably, with its magic, by the constructor."""

    def __init__(self, segment: Segment) -> None:
        self._handle = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            self.write(0, MAGIC)
            self.sync()
            sync_folder(segment.folder)
        except OSError:
            self.close()
            segment.path.unlink(missing_ok=True)
            raise

    def write(self, offset: int, content: bytes) -> None:
        """Write all of `content` at `offset`."""
        view = memoryview(content)
        while view:
            done = os.pwrite(self._handle, view, offset)
            view, offset = view[done:], offset + done

    def sync(self) -> None:
        """Return once everything written is durable; the length of the file is as well."""
        os.fdatasync(self._handle)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._handle)
