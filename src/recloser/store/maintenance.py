"""Owns compaction and vacuum of the table. Does not know who pinned what: the pinned versions are handed in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import polars as pl

from recloser.core import InvalidInput, Refused
from recloser.store.delta import SampleTable
from recloser.store.places import Place, in_turn
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
    table: SampleTable, place: Place, pinned: Sequence[int], now: datetime, upkeep: Upkeep
) -> MaintenanceResult:
    """Compact what is fragmented, then delete files that neither the latest nor a pinned version needs.

    Each step takes its own turn as a writer, so that appends wait seconds at most; killed at any point it leaves
    a whole table, and a second run finishes the work.

    Raises:
        InvalidInput: a pinned version that does not exist; no grace time where others may be writing meanwhile.
        Refused: a pinned version is unreadable already; nothing is deleted then.
        Unavailable: another process keeps the lock, or always commits first.
    """
    if not place.locked and upkeep.grace_hours < 1:
        raise InvalidInput(
            "without a grace time the files of writers at work would be deleted",
            got=upkeep.grace_hours,
            expected="at least 1 hour",
            where=place.uri,
        )
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
        compacted += in_turn(place, partial(_compact, table, partition, upkeep.small_files))
    removed = in_turn(place, lambda: _vacuum(table, needed, kept, upkeep.grace_hours))
    version = table.refresh()
    return MaintenanceResult(now, version, compacted, before, table.files(version).height, removed, kept)


def _vacuum(table: SampleTable, needed: set[str], kept: Sequence[int], grace_hours: int) -> int:
    """Delete what nothing needs, after comparing the list with what is needed; return how many files went."""
    version = table.refresh()
    doomed = table.vacuum([*kept], grace_hours, dry_run=True)
    lost = (needed | set(table.files(version)["path"])).intersection(doomed)
    if lost:
        raise Refused("vacuum would remove files of a pinned version", got=sorted(lost)[:3], where=table.place.uri)
    return len(table.vacuum([*kept], grace_hours, dry_run=False)) if doomed else 0


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
                where=table.place.uri,
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
    version = table.refresh()
    files = table.files(version)
    if partition not in _fragmented(files, small_files):
        return 0
    quantity, month = partition
    chosen = files.filter((pl.col("quantity") == quantity) & (pl.col("month") == month))
    rows = in_order(table.read(chosen))
    if rows.is_empty():
        raise Refused("a partition with files but without rows", got=json.dumps(partition), where=table.place.uri)
    table.rewrite(partition, rows, version)
    return 1
