"""Owns tables in a folder of a local disk: one writer at a time by a kernel lock, and what fsync must be told."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from recloser.core import Unavailable
from recloser.store.lock import writer_lock


class Folder:
    """A place on a local disk; the lock lies in `lock_folder`, which is the folder itself for the outermost one."""

    options: dict[str, str] | None = None
    reading: dict[str, Any] | None = None
    whole = False
    locked = True

    def __init__(self, path: Path, lock_folder: Path | None = None) -> None:
        self.path = path
        self.uri = str(path)
        self._lock_folder = lock_folder or path

    def child(self, name: str) -> Folder:
        """See Place."""
        return Folder(self.path / name, self._lock_folder)

    def sizes(self, below: str) -> Mapping[str, int]:
        """See Place."""
        top = self.path / below
        try:
            found = [path for path in ([top] if top.is_file() else top.rglob("*")) if path.is_file()]
            return {path.relative_to(self.path).as_posix(): path.stat().st_size for path in found}
        except OSError as error:
            raise Unavailable("a folder cannot be listed", got=error.strerror, where=str(self.path)) from error

    def read(self, name: str) -> bytes:
        """See Place."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise Unavailable("a file cannot be read", got=error.strerror, where=f"{self.path}/{name}") from error

    def prove(self) -> None:
        """See Place; a file system keeps what the lock needs."""

    def turn(self) -> AbstractContextManager[None]:
        """See Place."""
        return writer_lock(self._lock_folder)

    def sync(self, names: Sequence[str]) -> None:
        """See Place; deltalake leaves that to the kernel."""
        files = [self.path / name for name in names]
        folders = {path.parent for path in files} | {self.path, self._lock_folder}
        for path in [*files[:-1], *sorted(folders), *files[-1:]]:  # what tells of the others comes last
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def __repr__(self) -> str:
        """Return the path."""
        return f"Folder({self.uri!r})"
