"""Owns the table of logged predictions on Delta Lake: exactly-once appends, reads, upkeep. Knows no log segment."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
from deltalake import (
    CommitProperties,
    DeltaTable,
    Field,
    PostCommitHookProperties,
    Schema,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.schema import ArrayType

from recloser.core import TIME, InvalidInput, Refused, Unavailable, require_utc
from recloser.store.delta import foreign_errors
from recloser.store.lock import writer_lock

FORMAT = 1
NAME = "predictions"
PREDICTION_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "stream": pl.String(),
    "sequence": pl.Int64(),
    "request_id": pl.String(),
    "asked": pl.String(),
    "epoch": pl.Int64(),
    "made_at": TIME,
    "issued_at": TIME,
    "latency_us": pl.Int64(),
    "area": pl.String(),
    "row": pl.Int64(),
    "at": TIME,
    "served_by": pl.String(),
    "release": pl.String(),
    "reason": pl.String(),
    "model": pl.String(),
    "fault": pl.String(),
    "quantiles": pl.List(pl.Float64()),
    "mw": pl.List(pl.Float64()),
    "inputs_digest": pl.String(),
    "inputs": pl.Binary(),
    "gap_first": pl.Int64(),
    "gap_last": pl.Int64(),
}
"""One row is one model's answer to one target, or a gap in the log; docs/rooms/store.md tells the columns."""

_KINDS = {pl.String: "string", pl.Int64: "long", pl.Datetime: "timestamp", pl.Binary: "binary"}
# Unlike samples, no version of predictions is ever pinned: old log entries may go.
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=True)
_WRITER = WriterProperties(compression="ZSTD", compression_level=3)


class PredictionTable:
    """Append-only table of predictions in one folder; thread safe, several processes may hold one each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table_folder = folder / NAME
        self._guard = threading.Lock()
        self._latest: DeltaTable | None = None

    def sequence(self, source: str) -> int | None:
        """Return the highest sequence that `source` has committed, None if it never did.

        Raises:
            Refused: the table was written by another release or program.
            Unavailable: the table cannot be read.
        """
        with self._guard, foreign_errors(self._table_folder):
            table = self._refreshed()
            found = None if table is None else table.transaction_version(source)
            return None if found is None else int(found)

    def append(self, rows: pl.DataFrame, source: str, sequence: int) -> bool:
        """Store rows as one durable commit; False, storing nothing, if the source has committed the sequence before.

        Args:
            rows: columns of PREDICTION_SCHEMA.
            source: names the sequence.
            sequence: ascending at its source.

        Raises:
            InvalidInput: other columns.
            Unavailable: another process keeps the lock, or the disk failed; the call may be repeated.
        """
        if dict(rows.schema) != PREDICTION_SCHEMA:
            raise InvalidInput("other columns than a prediction has", got=dict(rows.schema), where=source)
        with writer_lock(self._folder):
            done = self.sequence(source)
            if done is not None and done >= sequence:
                _sync_everything()
                return False
            with self._guard, foreign_errors(self._table_folder):
                table = self._refreshed() or self._create()
                write_deltalake(
                    table,
                    rows.with_columns(day=pl.col("made_at").dt.strftime("%Y-%m-%d")),
                    mode="append",
                    writer_properties=_WRITER,
                    commit_properties=CommitProperties(app_transactions=[Transaction(source, sequence)]),
                    post_commithook_properties=_HOOKS,
                )
                self._sync_commit(int(table.version()))
        return True

    def read(
        self, areas: Sequence[str] | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> pl.DataFrame:
        """Return the rows with `made_at` in [start, end) (aware UTC), sorted by stream, sequence, area, row and model.

        Args:
            areas: names, None for all; rows of gaps belong to no area and come only with None.
            start: None for the first.
            end: None for the last.

        Raises:
            Unavailable: files are missing or damaged.
        """
        with self._guard, foreign_errors(self._table_folder):
            table = self._refreshed()
            paths = [] if table is None else table.file_uris()
        if not paths:
            return pl.DataFrame(schema=PREDICTION_SCHEMA)
        rows = pl.scan_parquet(paths, hive_partitioning=False).select(*PREDICTION_SCHEMA)
        if areas is not None:
            rows = rows.filter(pl.col("area").is_in(list(areas)))
        if start is not None:
            rows = rows.filter(pl.col("made_at") >= require_utc(start, "predictions.start"))
        if end is not None:
            rows = rows.filter(pl.col("made_at") < require_utc(end, "predictions.end"))
        try:
            return rows.sort("stream", "sequence", "area", "row", "model").collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise Unavailable(
                "the table of predictions cannot be read", got=str(error)[:200], where=str(self._table_folder)
            ) from error

    def tidy(self, grace_hours: int = 1) -> int:
        """Merge small files, delete unneeded ones older than the grace time, and return how many files are in use."""
        with writer_lock(self._folder), self._guard, foreign_errors(self._table_folder):
            table = self._refreshed()
            if table is None:
                return 0
            table.optimize.compact(writer_properties=_WRITER, post_commithook_properties=_HOOKS)
            table.vacuum(
                retention_hours=grace_hours,
                enforce_retention_duration=False,
                dry_run=False,
                post_commithook_properties=_HOOKS,
            )
            return len(table.file_uris())

    def _refreshed(self) -> DeltaTable | None:
        if self._latest is not None:
            self._latest.update_incremental()
        elif DeltaTable.is_deltatable(str(self._table_folder)):
            table = DeltaTable(str(self._table_folder))
            if table.metadata().description != _description():
                raise Refused(
                    "this Delta table was not written by this release's store",
                    got=table.metadata().description,
                    expected=_description(),
                    where=str(self._table_folder),
                    next_step="Use the release that wrote it, or an empty folder.",
                )
            self._latest = table
        return self._latest

    def _create(self) -> DeltaTable:
        fields = [Field(name, _delta_kind(kind), nullable=True) for name, kind in PREDICTION_SCHEMA.items()]
        self._latest = DeltaTable.create(
            str(self._table_folder),
            Schema([*fields, Field("day", "string", nullable=False)]),
            partition_by=["day"],
            name=NAME,
            description=_description(),
        )
        return self._latest

    def _sync_commit(self, version: int) -> None:
        """Make the files of a commit durable; deltalake leaves that to the kernel."""
        entry = self._table_folder / "_delta_log" / f"{version:020}.json"
        actions = [json.loads(line) for line in entry.read_text(encoding="utf-8").splitlines()]
        files = [self._table_folder / action["add"]["path"] for action in actions if "add" in action]
        folders = {path.parent for path in files} | {entry.parent, self._table_folder, self._folder}
        for path in [*files, *sorted(folders), entry]:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _sync_everything() -> None:
    """Make an earlier commit durable whose process may have died before it could."""
    os.sync()


def _description() -> str:
    return json.dumps({"format": FORMAT, "table": NAME})


def _delta_kind(kind: pl.DataType) -> str | ArrayType:
    return ArrayType("double", contains_null=True) if isinstance(kind, pl.List) else _KINDS[type(kind)]
