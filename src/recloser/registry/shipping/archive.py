"""Owns tar archives that are the same bytes for the same content: no time, no owner. Compresses nothing."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

Content = bytes | Path

BLOCK = 512
FILE_MODE, FOLDER_MODE = 0o444, 0o755


def write_tar(stream: IO[bytes], files: Mapping[str, Content], *, folders: bool = False) -> None:
    """Write files into a tar archive in the order of the mapping, read-only, owned by nobody in particular.

    Args:
        stream: where to; opened for writing.
        files: content by relative POSIX path: bytes, or a file that is read piece by piece.
        folders: write an entry for every parent folder too, as image layers need.
    """
    made: set[str] = set()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            for folder in _parents(name) if folders else ():
                if folder not in made:
                    made.add(folder)
                    archive.addfile(_entry(folder, 0, tarfile.DIRTYPE))
            if isinstance(content, bytes):
                archive.addfile(_entry(name, len(content)), io.BytesIO(content))
            else:
                with content.open("rb") as file:
                    archive.addfile(_entry(name, content.stat().st_size), file)


def tar_bytes(files: Mapping[str, Content], *, folders: bool = False) -> bytes:
    """Return the archive of small files as bytes."""
    stream = io.BytesIO()
    write_tar(stream, files, folders=folders)
    return stream.getvalue()


def first_entry(name: str, content: bytes) -> bytes:
    """Return the bytes with which `write_tar` begins an archive whose first file is this one, its padding included."""
    whole = tar_bytes({name: content})
    return whole[: BLOCK + -(-len(content) // BLOCK) * BLOCK]


def _parents(name: str) -> Iterator[str]:
    for parent in reversed(PurePosixPath(name).parents):
        if parent.as_posix() != ".":
            yield parent.as_posix()


def _entry(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, kind
    entry.mode = FOLDER_MODE if kind == tarfile.DIRTYPE else FILE_MODE
    return entry
