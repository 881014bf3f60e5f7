"""Owns tables of what processes have logged, on Delta Lake: exactly-once durable appends, upkeep. Knows no column."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Mapping
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
from deltalake.exceptions import CommitFailedError
from deltalake.schema import ArrayType

from recloser.core import InvalidInput, Refused
from recloser.store.delta import LOG, created_once, entry_of, foreign_errors, landed
from recloser.store.places import Folder, Overtaken, Place, in_turn

FORMAT = 1
_KINDS = {pl.String: "string", pl.Int64: "long", pl.Float64: "double", pl.Datetime: "timestamp", pl.Binary: "binary"}
# Unlike samples, no version of a log is ever pinned: old log entries may go.
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=True)
_WRITER = WriterProperties(compression="ZSTD", compression_level=3)


class LogTable:
    """Append-only table in one place, partitioned by day; thread safe, several processes may hold one each.

    Args:
        place: local folder of the table and its lock, or a place in a bucket.
        name: of the table.
        schema: columns; `sequence` numbers the rows of a source.
        day: text such as 2026-01-31 that a row is filed under.
    """

    def __init__(self, place: Place | Path, name: str, schema: Mapping[str, pl.DataType], day: pl.Expr) -> None:
        self._name, self._schema, self._day = name, dict(schema), day
        self._outer: Place = Folder(place) if isinstance(place, Path) else place
        self.place = self._outer.child(name)
        self._guard = threading.Lock()
        self._latest: DeltaTable | None = None

    def sequence(self, source: str) -> int | None:
        """Return the highest sequence that `source` has committed, None if it never did.

        Raises:
            Refused: the table was written by another release or program.
            Unavailable: the table cannot be read.
        """
        with self._guard, foreign_errors(self.place):
            table = self._refreshed()
            found = None if table is None else table.transaction_version(source)
            return None if found is None else int(found)

    def append(self, rows: pl.DataFrame, source: str, sequence: int) -> bool:
        """Store rows as one durable commit; False, storing nothing, if the source has committed the sequence before.

        Args:
            rows: of the table's columns; those of sequences that the source has committed before are left out.
            source: names the sequence.
            sequence: ascending at its source.

        Raises:
            InvalidInput: other columns.
            Unavailable: another process keeps the lock, or the disk failed; the call may be repeated.
        """
        if dict(rows.schema) != self._schema:
            raise InvalidInput(f"other columns than {self._name} have", got=dict(rows.schema), where=source)
        return in_turn(self._outer, lambda: self._append_once(rows, source, sequence))

    def _append_once(self, rows: pl.DataFrame, source: str, sequence: int) -> bool:
        done, mark = self.sequence(source), uuid.uuid4().hex
        if done is not None and done >= sequence:
            if not self.place.whole:
                _sync_everything()
            return False
        fresh = rows if done is None else rows.filter(pl.col("sequence") > done)
        with self._guard, foreign_errors(self.place):
            table = self._refreshed() or self._create()
            if table.transaction_version(source) != done:
                raise Overtaken("another writer committed first", where=self.place.uri)
            try:
                write_deltalake(
                    table,
                    fresh.with_columns(day=self._day),
                    mode="append",
                    writer_properties=_WRITER,
                    commit_properties=CommitProperties(
                        app_transactions=[Transaction(source, sequence)],
                        custom_metadata={"recloser": mark},
                        max_commit_retries=0,
                    ),
                    post_commithook_properties=_HOOKS,
                )
            except CommitFailedError:
                if landed(table, self.place, mark) is None:
                    raise
            if not self.place.whole:
                self._sync_commit(int(table.version()))
        return True

    def scan(self) -> pl.LazyFrame:
        """Return the lazy rows as of now, in no order.

        Raises:
            Refused, Unavailable: as `sequence`.
        """
        with self._guard, foreign_errors(self.place):
            table = self._refreshed()
            paths = [] if table is None else table.file_uris()
        if not paths:
            return pl.LazyFrame(schema=self._schema)
        return pl.scan_parquet(paths, storage_options=self.place.reading, hive_partitioning=False).select(*self._schema)

    def tidy(self, grace_hours: int = 1) -> int:
        """Merge small files, delete unneeded ones older than the grace time, and return how many files are in use."""
        return in_turn(self._outer, lambda: self._tidy_once(grace_hours))

    def _tidy_once(self, grace_hours: int) -> int:
        with self._guard, foreign_errors(self.place):
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
        elif self.place.sizes(LOG):
            table = DeltaTable(self.place.uri, storage_options=self.place.options)
            if table.metadata().description != self._description():
                raise Refused(
                    "this Delta table was not written by this release's store",
                    got=table.metadata().description,
                    expected=self._description(),
                    where=self.place.uri,
                    next_step="Use the release that wrote it, or an empty folder.",
                )
            self._latest = table
        return self._latest

    def _create(self) -> DeltaTable:
        self.place.prove()
        fields = [Field(name, _delta_kind(kind), nullable=True) for name, kind in self._schema.items()]
        with created_once(self.place):
            self._latest = DeltaTable.create(
                self.place.uri,
                Schema([*fields, Field("day", "string", nullable=False)]),
                partition_by=["day"],
                name=self._name,
                description=self._description(),
                storage_options=self.place.options,
            )
        return self._latest

    def _description(self) -> str:
        return json.dumps({"format": FORMAT, "table": self._name})

    def _sync_commit(self, version: int) -> None:
        """Make the files of a commit durable; deltalake leaves that to the kernel."""
        entry = entry_of(version)
        lines = self.place.read(entry).splitlines()
        files = [action["add"]["path"] for action in map(json.loads, lines) if "add" in action]
        self.place.sync([*files, entry])


def _sync_everything() -> None:
    """Make an earlier commit durable whose process may have died before it could."""
    os.sync()


def _delta_kind(kind: pl.DataType) -> str | ArrayType:
    return ArrayType("double", contains_null=True) if isinstance(kind, pl.List) else _KINDS[type(kind)]
