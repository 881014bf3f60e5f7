"""Owns the one-writer-at-a-time lock of a store folder. Readers never take it."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recloser.core import Unavailable

PAUSE_S = 0.02


@contextmanager
def writer_lock(folder: Path, patience_s: float = 120.0) -> Iterator[None]:
    """Hold the folder's writer lock; the kernel drops it when the process dies, however it dies.

    Raises:
        Unavailable: another process holds it longer than `patience_s`, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Unavailable(
            "the store cannot be written", got=error.strerror, where=str(folder), next_step="Check path and rights."
        ) from error
    try:
        _acquire(handle, folder, patience_s)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, folder: Path, patience_s: float) -> None:
    for _ in range(max(1, int(patience_s / PAUSE_S))):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise Unavailable("the store cannot be locked", got=error.strerror, where=str(folder)) from error
            time.sleep(PAUSE_S)
        else:
            return
    raise Unavailable(
        "another process is writing to the store",
        got=f"no lock within {patience_s:g} s",
        where=str(folder),
        next_step="Try again; if it stays, look for a hung ingest or maintenance process.",
    )
