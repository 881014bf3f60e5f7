"""Owns disk space that is kept for the one act that must work on a full disk: a rollback. Nothing is read from it."""

from __future__ import annotations

import os
import shutil

from recloser.app.project.layout import Layout

BALLAST = "ballast"
SIZE = 16_000_000
"""Bytes: enough to write the recall of a thousand areas."""
SPARE = 8 * SIZE
"""Bytes that must be free beside it: who runs short of space gets none of it taken."""


def keep_ballast(layout: Layout) -> None:
    """Take the space if it is not taken yet and the disk has plenty; else, and where it fails, do nothing."""
    path = layout.state / BALLAST
    draft = path.with_name(f".{BALLAST}.{os.getpid()}.tmp")
    try:
        if path.exists() or shutil.disk_usage(layout.state).free < SPARE:
            return
        with draft.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, SIZE)  # blocks, not a length alone
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)


def spend_ballast(layout: Layout) -> bool:
    """Give the space back if the disk is full; return whether any was given."""
    path = layout.state / BALLAST
    try:
        if shutil.disk_usage(layout.state).free >= SIZE:
            return False
        path.unlink()
    except OSError:
        return False
    return True
