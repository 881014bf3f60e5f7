"""Owns the files of secrets' hashes beside the keys: written whole, for their owner alone, told to the ledger."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from recloser.app.project.files import replace_file
from recloser.app.project.layout import Layout
from recloser.app.project.settings import load_project
from recloser.core import Unavailable
from recloser.ledger import Ledger

Stamp = tuple[int, int, int]


def write_private(path: Path, content: bytes, what: str) -> None:
    """Write a file whole, readable by its owner only.

    Raises:
        Unavailable: the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    before = os.umask(0o077)
    try:
        replace_file(path, content)
    except OSError as error:
        raise Unavailable(f"the {what} cannot be written", got=error.strerror, where=str(path)) from error
    finally:
        os.umask(before)


def read_private(path: Path, what: str) -> bytes | None:
    """Return the file's content, None if there is no file.

    Raises:
        Unavailable: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"the {what} cannot be read", got=error.strerror, where=str(path)) from error


def note_access(folder: Path, now: datetime, action: str, name: str, facts: Mapping[str, Any]) -> None:
    """Write into the ledger of a project who may do what from `now` (aware UTC) on."""
    layout, project = Layout(folder), load_project(folder)
    layout.make()
    with (
        Ledger.open(layout.ledger_at(project.ledger.url, project.ledger.url_file)) as ledger,
        ledger.change("operator", now) as change,
    ):
        change.note(action, name, dict(facts))


def stamp_of(path: Path) -> Stamp | None:
    """Return the state of a file on disk, None without it: another stamp means that it was written."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
