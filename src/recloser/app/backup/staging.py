"""Owns a still picture of a project's files while processes go on writing them. Reads no ledger and signs nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from recloser.app.project.ballast import BALLAST
from recloser.app.project.layout import Layout
from recloser.core import Unavailable
from recloser.registry.shipping.archive import Content
from recloser.store.lock import writer_lock

STAGING = ".backup"
_OTHER_ARCHIVES = (".backup", ".bundle")
_DATABASES = ("ledger.db", "mlflow.db")
# Written once, replaced at most, so that a second name for the same bytes is a copy.
_OPEN, _FULL = ".open", ".seg"
_NEVER_CHANGED = (".parquet", _FULL)
LOOKS = 100
# A lock; and a hint that may be newer than the picture, without which readers list the log.
_PASSING = ("writer.lock", "_last_checkpoint", BALLAST)


def stage(layout: Layout, staging: Path, *, private: bool) -> dict[str, Content]:
    """Return the project's files by their path in it; what may change meanwhile was copied into `staging`.

    Logs and the tables that they are moved into are pictured while nobody moves: nothing is in neither, and what is in
    both is told apart by its sequence. Files are linked where they never change, so that a vacuum cannot take them
    away. Left out: the ledger (copied by itself), locks, hidden files, caches, other backups and bundles.

    Args:
        layout: of the project.
        staging: empty folder on the same disk.
        private: with the private signing key.

    Raises:
        Unavailable: a file cannot be read, or a table is written to for minutes on end.
    """
    try:
        found: dict[str, Content] = dict(_project_files(layout, staging))
        # What others refer to comes after them: series are newer than cursors, packages than the ledger.
        for folder in (layout.links, layout.predictions, layout.store):
            if folder.is_dir():
                with ExitStack() as locked:
                    locked.enter_context(writer_lock(folder))
                    found |= _pictured(folder, layout, staging)
        apart = {layout.links, layout.predictions, layout.store, layout.logs, layout.state / STAGING}
        for path in sorted(layout.state.iterdir()):
            if path.is_dir() and path not in apart:
                found |= _pictured(path, layout, staging)
            elif path.is_file() and not path.name.startswith(_DATABASES) and _wanted(path):
                found |= _one(path, layout, staging)
        tracking = layout.state / "mlflow.db"
        if tracking.is_file():
            _copy_database(tracking, staging / tracking.name)
            found["state/mlflow.db"] = staging / tracking.name
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(
            "the project cannot be pictured now", got=str(error), where=str(layout.root), next_step="Try again."
        ) from error
    if not private:
        found.pop(layout.key.relative_to(layout.root).as_posix(), None)
    return found


def _project_files(layout: Layout, staging: Path) -> Iterator[tuple[str, Content]]:
    """Yield the user's own files: settings, code, registries of points, scenarios."""
    for folder, names, files in os.walk(layout.root):
        here = Path(folder)
        names[:] = sorted(name for name in names if _own(here / name, layout))
        for name in sorted(files):
            path = here / name
            if (
                path.is_file()
                and not path.is_symlink()
                and not name.startswith(".")
                and path.suffix not in _OTHER_ARCHIVES
            ):
                yield from _one(path, layout, staging).items()


def _own(folder: Path, layout: Layout) -> bool:
    return folder != layout.state and not folder.name.startswith(".") and folder.name != "__pycache__"


def _wanted(path: Path) -> bool:
    return path.suffix != ".hold" and path.name not in _PASSING


def _pictured(folder: Path, layout: Layout, staging: Path) -> Mapping[str, Content]:
    """Return all files below a folder; the logs of tables first, for what they name was there before them.

    A file that is gone when its turn comes may have got another name, as a segment does that is full: then the folder
    is looked at again, and of a segment under both names the full one counts.
    """
    found: dict[str, Content] = {}
    for _ in range(LOOKS):
        gone = False
        for path in _files_of(folder):
            if path.relative_to(layout.root).as_posix() not in found:
                try:
                    found |= _one(path, layout, staging)
                except FileNotFoundError:
                    gone = True
        if not gone:
            full = {name.removesuffix(_FULL) for name in found if name.endswith(_FULL)}
            return {name: path for name, path in found.items() if name.removesuffix(_OPEN) not in full}
    raise Unavailable("files come and go too fast to picture them", where=str(folder), next_step="Try again.")


def _files_of(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and _wanted(path)]
    return sorted(files, key=lambda path: (path.parent.name != "_delta_log", path))


def _one(path: Path, layout: Layout, staging: Path) -> dict[str, Content]:
    name = path.relative_to(layout.root).as_posix()
    into = staging / name
    into.parent.mkdir(parents=True, exist_ok=True)
    if not (_never_changes(path, layout) and _linked(path, into)):
        shutil.copyfile(path, into)
    return {name: into}


def _never_changes(path: Path, layout: Layout) -> bool:
    return path.suffix in _NEVER_CHANGED or path.parent.name == "_delta_log" or path.is_relative_to(layout.packages)


def _linked(path: Path, into: Path) -> bool:
    """Give the file a second name; False where the file system has none."""
    try:
        into.hardlink_to(path)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _copy_database(path: Path, into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source, closing(sqlite3.connect(into)) as target:
        source.backup(target)
