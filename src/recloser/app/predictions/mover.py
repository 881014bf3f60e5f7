"""Owns moving sealed log segments into the store, each exactly once. Writes no log and judges no prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from recloser.app.predictions.rows import rows_of
from recloser.core import Refused, Unavailable
from recloser.serving.log import Segment, discard, identity_of, keep, quarantine, read_segment, segments
from recloser.store import PREDICTION_SCHEMA, PredictionTable

GROUP_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Moved:
    """What one pass did.

    Attributes:
        segments: moved and deleted.
        rows: committed to the store.
        gaps: rows among them that tell of answers which are not in the log.
        damaged: damaged places met; their bytes are in the log's quarantine.
    """

    segments: int = 0
    rows: int = 0
    gaps: int = 0
    damaged: int = 0

    def __add__(self, other: Moved) -> Moved:
        """Return both together."""
        return Moved(
            self.segments + other.segments,
            self.rows + other.rows,
            self.gaps + other.gaps,
            self.damaged + other.damaged,
        )


@dataclass(frozen=True, slots=True)
class _Group:
    """Segments moved in one commit, with their rows."""

    members: list[Segment]
    unreadable: list[Segment]
    rows: pl.DataFrame
    newest: int
    damaged: int


def move_all(
    root: Path, table: PredictionTable, now: datetime, step: Callable[[str], None] = lambda _name: None
) -> Moved:
    """Move every sealed segment of every log under `root` into the table; may be killed anywhere and repeated.

    A group of segments is committed with the sequence of its last record, and its files are deleted after that. What
    was committed but not deleted is recognised by its sequence and only deleted.

    Args:
        root: folder of the logs, one subfolder a gateway process.
        table: where to.
        now: aware UTC, for what is noted about damage.
        step: told the name of each step before it is taken.

    Raises:
        Unavailable: log or store cannot be used now; call again.
        Refused: a log folder was tampered with.
    """
    moved = Moved()
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    for folder in folders:
        while (group := _next_group(folder, now, step)) is not None:
            moved += _move(folder, group, table, step)
    return moved


def _next_group(folder: Path, now: datetime, step: Callable[[str], None]) -> _Group | None:
    """Read sealed segments, oldest first, up to the group's size; nothing behind a segment that is still open."""
    step("list")
    known = segments(folder)
    members: list[Segment] = []
    unreadable: list[Segment] = []
    parts, newest, size, damaged = [pl.DataFrame(schema=PREDICTION_SCHEMA)], 0, 0, 0
    for index, segment in enumerate(known):
        if not segment.sealed or size >= GROUP_BYTES:
            break
        step("read")
        content = segment.read()
        found = read_segment(segment, content)
        if found.damages:
            step("quarantine")
            quarantine(segment, content, found.damages)
        if found.unknown:
            unreadable.append(segment)
        end = known[index + 1].first if index + 1 < len(known) else None
        parts.append(rows_of(identity_of(folder), found, segment.first, end, now))
        newest = max(segment.first, found.newest or 0) if end is None else end - 1
        members.append(segment)
        size += len(content)
        damaged += len(found.damages)
    return _Group(members, unreadable, pl.concat(parts), newest, damaged) if members else None


def _move(folder: Path, group: _Group, table: PredictionTable, step: Callable[[str], None]) -> Moved:
    stream = identity_of(folder)
    step("look up")
    done = table.sequence(stream)
    fresh = group.rows if done is None else group.rows.filter(pl.col("sequence") > done)
    _require_same(group.rows.filter(pl.col("sequence") <= (-1 if done is None else done)), table, folder)
    if fresh.height:
        step("commit")
        table.append(fresh, stream, group.newest)
    step("delete")
    for segment in group.members:
        try:
            if segment in group.unreadable:
                keep(segment)
            else:
                discard(segment)
        except OSError as error:
            raise Unavailable("a moved segment stays", got=error.strerror, where=str(segment.path)) from error
        step("deleted")
    gaps = fresh.filter(pl.col("kind") == "gap").height
    return Moved(len(group.members), fresh.height, gaps, group.damaged)


def _require_same(moved: pl.DataFrame, table: PredictionTable, folder: Path) -> None:
    """Refuse to delete as moved what the store does not hold: a log that began anew under an old name."""
    answers = moved.filter(pl.col("kind") == "answer").head(1)
    if answers.is_empty():
        return
    made_at = answers["made_at"][0]
    held = table.read(start=made_at, end=made_at + timedelta(microseconds=1))
    keys = ["stream", "sequence", "request_id"]
    if held.join(answers.select(keys), on=keys, how="semi").is_empty():
        raise Refused(
            "the log numbers its records anew, so that what is moved cannot be told from what is not",
            got=f"sequence {answers['sequence'][0]}",
            where=str(folder),
            next_step="Stop the gateway and rename this folder: the log begins another one, and nothing is lost.",
        )
