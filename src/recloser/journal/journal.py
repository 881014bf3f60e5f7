"""Owns the chain of segment files of one writer: append, sync, rotate. Raises what the disk says; retries nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from recloser.journal.file import OpenFile
from recloser.journal.folder import Segment, discard, fresh_segment, seal
from recloser.journal.frame import MAGIC, frame


class Journal:
    """The open segment of a folder and the way to the next one. For one thread.

    There is an open segment at every moment, and it is the newest: it alone names the next sequence once all others
    were moved away.

    Args:
        folder: of the log, owned by the caller.
        first: sequence of the next record.
        timer: monotonic seconds.
        open_file: makes the file of a segment.
    """

    def __init__(
        self, folder: Path, first: int, timer: Callable[[], float], open_file: Callable[[Segment], OpenFile]
    ) -> None:
        self._folder = folder
        self._timer = timer
        self._open_file = open_file
        self._unsealed: list[Segment] = []
        self._suspect = False
        self._newest = first - 1
        self._start()

    def _start(self) -> None:
        # Numbers that were dropped belong to the new segment, as the record of their gap does.
        segment = fresh_segment(self._folder, self._newest + 1)
        self._file = self._open_file(segment)
        self._segment, self._size, self._begun = segment, len(MAGIC), self._timer()

    @property
    def size(self) -> int:
        """Return the bytes of the open segment."""
        return self._size

    @property
    def empty(self) -> bool:
        """Tell whether the open segment holds no record."""
        return self._size == len(MAGIC)

    @property
    def age_s(self) -> float:
        """Return how long ago the first record of the open segment was written."""
        return 0.0 if self.empty else self._timer() - self._begun

    def append(self, bodies: Sequence[tuple[int, bytes]], *, sync: bool) -> None:
        """Write the records (sequence, body) and, if wanted, make them durable; all or, to a reader, none of them new.

        Raises:
            OSError: the disk did not take them; the same call may be repeated. After a failed sync the repeat goes
                into another segment, because the kernel may have dropped what it could not write.
        """
        if self._suspect:
            self._renew()
        content = b"".join([frame(body, sequence, self._segment.salt) for sequence, body in bodies])
        self._file.write(self._size, content)
        if sync:
            self._sync()
        if self.empty:
            self._begun = self._timer()
        self._size += len(content)
        self._newest = bodies[-1][0]

    def rotate(self) -> None:
        """Begin a new segment and seal the present one.

        Raises:
            OSError: the disk did not allow it; the present segment stays in use, or its sealing is made up for later.
        """
        self._sync()
        old, file = self._segment, self._file
        self._start()
        file.close()
        self._unsealed.append(old)
        while self._unsealed:
            seal(self._unsealed[0])
            del self._unsealed[0]

    def close(self) -> None:
        """Give the file back; the segment stays open for the next writer to seal."""
        self._file.close()

    def _sync(self) -> None:
        try:
            self._file.sync()
        except OSError:
            self._suspect = True
            raise

    def _renew(self) -> None:
        """Leave a segment whose last sync failed, cut back to what was durable before."""
        old, file, size = self._segment, self._file, self._size
        self._start()
        self._suspect = False
        file.close()
        with suppress(OSError):
            os.truncate(old.path, size)
            if size == len(MAGIC):
                discard(old)
                return
        self._unsealed.append(old)
