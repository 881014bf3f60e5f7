"""Owns compaction and vacuum of the table. Does not know who pinned what: the pinned versions are handed in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from recloser.core import InvalidInput, Refused
from recloser.store.delta import SampleTable
from recloser.store.lock import writer_lock
from recloser.store.resolution import in_order

SMALL_FILE_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class MaintenanceResult:
    """What a maintenance run did.

    Attributes:
        at: when it was asked to run (aware UTC, as given).
        version: latest version afterwards.
        compacted: number of (quantity, month) partitions rewritten.
        files_before, files_after: data files of the latest version.
        removed: data files deleted from the disk.
        kept: pinned versions, all readable afterwards.
    """

    at: datetime
    version: int
    compacted: int
    files_before: int
    files_after: int
    removed: int
    kept: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How thorough maintenance is.

    Attributes:
        small_files: a partition with at least so many files below 32 MiB is rewritten as one sorted run.
        grace_hours: unneeded files younger than this stay, for readers that are still at work on them.
    """

    small_files: int = 4
    grace_hours: int = 1


def maintain(
    table: SampleTable, lock_folder: Path, pinned: Sequence[int], now: datetime, upkeep: Upkeep
) -> MaintenanceResult:
    """Compact what is fragmented, then delete files that neither the latest nor a pinned version needs.

    Each step holds the writer lock for itself, so that appends wait seconds at most; killed at any point it leaves
    a whole table, and a second run finishes the work.

    Raises:
        InvalidInput: a pinned version that does not exist.
        Refused: a pinned version is unreadable already; nothing is deleted then.
        Unavailable: another process keeps the lock.
    """
    latest = table.refresh()
    kept = tuple(sorted(set(pinned)))
    if latest < 0:
        if kept:
            raise InvalidInput("the store is empty, so no version can be pinned", got=list(kept), where="maintain")
        return MaintenanceResult(now, -1, 0, 0, 0, 0, ())
    before = table.files(latest).height
    needed = _files_of(table, kept)
    compacted = 0
    for partition in _fragmented(table.files(latest), upkeep.small_files):
        with writer_lock(lock_folder):
            compacted += _compact(table, partition, upkeep.small_files)
    with writer_lock(lock_folder):
        version = table.refresh()
        needed |= set(table.files(version)["path"])
        doomed = table.vacuum([*kept], upkeep.grace_hours, dry_run=True)
        lost = needed.intersection(doomed)
        if lost:
            raise Refused(
                "vacuum would remove files of a pinned version", got=sorted(lost)[:3], where=str(table.folder)
            )
        removed = table.vacuum([*kept], upkeep.grace_hours, dry_run=False) if doomed else []
        version = table.refresh()
        after = table.files(version).height
    return MaintenanceResult(now, version, compacted, before, after, len(removed), kept)


def _files_of(table: SampleTable, versions: Sequence[int]) -> set[str]:
    """Return the paths that the versions need, after checking that every one of them is there."""
    needed: set[str] = set()
    for version in versions:
        files = table.files(version)
        absent = table.absent(files)
        if absent:
            raise Refused(
                "a pinned version has already lost files",
                got={"version": version, "file": absent[0], "absent": len(absent)},
                where=str(table.folder),
                next_step="Restore the files from a backup, or release the pin; nothing was deleted.",
            )
        needed.update(files["path"])
    return needed


def _fragmented(files: pl.DataFrame, small_files: int) -> list[tuple[str, str]]:
    small = files.filter(pl.col("bytes") < SMALL_FILE_BYTES)
    counts = small.group_by("quantity", "month").len().filter(pl.col("len") >= small_files)
    return [(str(q), str(m)) for q, m in counts.sort("quantity", "month").select("quantity", "month").iter_rows()]


def _compact(table: SampleTable, partition: tuple[str, str], small_files: int) -> int:
    """Rewrite one partition in canonical order; 1 if done, 0 if someone else has done it meanwhile."""
    files = table.files(table.refresh())
    if partition not in _fragmented(files, small_files):
        return 0
    quantity, month = partition
    chosen = files.filter((pl.col("quantity") == quantity) & (pl.col("month") == month))
    rows = in_order(table.read(chosen))
    if rows.is_empty():
        raise Refused("a partition with files but without rows", got=json.dumps(partition), where=str(table.folder))
    table.rewrite(partition, rows)
    return 1
