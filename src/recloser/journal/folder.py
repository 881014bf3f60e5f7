"""Owns the files of one log folder: names, lock, identity, directory syncs, quarantine. Knows no record."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from recloser.core import Unavailable
from recloser.journal.frame import Damage

_NAME = re.compile(r"(\d{20})-([0-9a-f]{8})\.(open|seg)")
IDENTITY = "identity"
LOCK = "writer.lock"
QUARANTINE = "quarantine"


class LogInUse(Unavailable):
    """Another process writes this log."""


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One segment file.

    Attributes:
        first: lowest sequence it may hold.
        salt: start of its checksums, 32 bits.
        sealed: whole and durable, never written again.
        folder: where it lies.
    """

    first: int
    salt: int
    sealed: bool
    folder: Path

    @property
    def path(self) -> Path:
        """Return its file."""
        return self.folder / f"{self.first:020d}-{self.salt:08x}.{'seg' if self.sealed else 'open'}"

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            Unavailable: it cannot be read.
        """
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise Unavailable("a log segment cannot be read", got=error.strerror, where=str(self.path)) from error


def segments(folder: Path) -> list[Segment]:
    """Return the segments of a folder, oldest first; other files are left alone."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unavailable("a log folder cannot be read", got=error.strerror, where=str(folder)) from error
    found = [match for match in map(_NAME.fullmatch, names) if match is not None]
    return sorted(Segment(int(m[1]), int(m[2], 16), m[3] == "seg", folder) for m in found)


def fresh_segment(folder: Path, first: int) -> Segment:
    """Return a segment of that first sequence with a salt of its own; creates no file."""
    return Segment(first, secrets.randbits(32), sealed=False, folder=folder)


def seal(segment: Segment) -> Segment:
    """Rename an open segment to its sealed name, durably; its bytes must be durable already."""
    sealed = Segment(segment.first, segment.salt, sealed=True, folder=segment.folder)
    segment.path.rename(sealed.path)
    sync_folder(segment.folder)
    return sealed


def discard(segment: Segment) -> None:
    """Delete a segment, durably; one that is gone already is fine."""
    segment.path.unlink(missing_ok=True)
    sync_folder(segment.folder)


def keep(segment: Segment) -> None:
    """Move a whole segment into quarantine: it holds records that this release cannot read."""
    folder = segment.folder / QUARANTINE
    folder.mkdir(exist_ok=True)
    if segment.path.exists():
        segment.path.rename(folder / segment.path.name)
    sync_folder(folder)
    sync_folder(segment.folder)


def sync_folder(folder: Path) -> None:
    """Make the creation, renaming and deletion of files in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, durably."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def identity_of(folder: Path) -> str:
    """Return the name that this stream of records has for ever; a folder made anew is another stream.

    Raises:
        Unavailable: the folder cannot be read or written.
    """
    path = folder / IDENTITY
    try:
        if not path.exists():
            write_durably(path, secrets.token_hex(8).encode())
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable("a log folder cannot be used", got=str(error), where=str(path)) from error


def quarantine(segment: Segment, content: bytes, damages: list[Damage]) -> list[Path]:
    """Keep the damaged bytes of a segment beside it, for people to look at; done twice, it is done once."""
    kept = []
    for damage in damages:
        folder = segment.folder / QUARANTINE
        folder.mkdir(exist_ok=True)
        path = folder / f"{segment.first:020d}-{segment.salt:08x}.{damage.start}.bad"
        write_durably(path, content[damage.start : damage.end])
        kept.append(path)
    return kept


def take_lock(folder: Path) -> int:
    """Return a handle that holds the folder's writer lock until it is closed.

    Raises:
        Unavailable: another process holds it, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Unavailable("the log folder cannot be used", got=error.strerror, where=str(folder)) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise LogInUse("another process writes this log", where=str(folder)) from error
        raise Unavailable("the log cannot be locked", got=error.strerror, where=str(folder)) from error
    return handle
