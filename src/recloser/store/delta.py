"""Owns the Delta Lake table under a store: its layout, its commits and its files. Foreign exceptions end here."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import polars as pl
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Schema,
    Transaction,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from recloser.core import InvalidInput, Refused, Unavailable
from recloser.store.layout import CONFIGURATION, FIELDS, FORMAT, PARTITION, POLARS_TYPES, TABLE_NAME, WRITER, month_text
from recloser.store.places import Overtaken, Place
from recloser.store.places.bucket import reason_of
from recloser.store.resolution import STORED_COLUMNS

HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
LOG = "_delta_log"


class SampleTable:
    """The Delta table of one store; thread safe, and several processes may hold one each.

    Attributes:
        place: where the table lies, with `_delta_log` in it.
        resolution: grid of `at`, written into the table at its creation.
    """

    def __init__(self, place: Place, resolution: timedelta) -> None:
        self.place = place
        self.resolution = resolution
        self._guard = threading.Lock()
        self._latest: DeltaTable | None = None
        self._files: tuple[int, pl.DataFrame] | None = None
        self.refresh()

    def refresh(self) -> int:
        """Look for new commits and return the latest version, -1 while there is no table."""
        with self._guard, foreign_errors(self.place):
            if self._latest is not None:
                self._latest.update_incremental()
                version = int(self._latest.version())
                if not self.place.whole:
                    self._refuse_torn(self.place.sizes(entry_of(version)))
                return version
            log = self.place.sizes(LOG)
            if not any(name.endswith((".json", ".parquet")) for name in log):
                self._refuse_orphans()
                return -1
            self._refuse_torn(log)
            table = self._opened()
            self._check(table)
            self._latest = table
            return int(table.version())

    def _opened(self, version: int | None = None) -> DeltaTable:
        return DeltaTable(self.place.uri, version=version, storage_options=self.place.options)

    def _refuse_torn(self, log: Mapping[str, int]) -> None:
        """Refuse an empty log entry, as a power failure may leave: deltalake would read on without its rows."""
        for name, size in log.items():
            if name.endswith(".json") and not size:
                raise _damaged(f"{name.removeprefix(LOG + '/')} is empty", self.place)

    def _refuse_orphans(self) -> None:
        """Refuse data without a log: a new table over it would take the old files for rubbish."""
        if any(name.startswith("quantity=") for name in self.place.sizes("")):
            raise _damaged("data files without the log folder '_delta_log'", self.place)

    def create(self) -> int:
        """Create the empty table and return its version, 0; the caller has the turn.

        Raises:
            Overtaken: somebody else created it first.
            Refused: the place would lose commits.
        """
        self.place.prove()
        description = json.dumps({"format": FORMAT, "resolution_s": self.resolution.total_seconds()})
        with self._guard, foreign_errors(self.place), created_once(self.place):
            self._latest = DeltaTable.create(
                self.place.uri,
                Schema(FIELDS),
                partition_by=PARTITION,
                name=TABLE_NAME,
                description=description,
                configuration=CONFIGURATION,
                storage_options=self.place.options,
            )
            return int(self._latest.version())

    def sequence(self, source: str) -> int | None:
        """Return the highest sequence that `source` has committed, None if it never gave one."""
        with self._guard, foreign_errors(self.place):
            found = self._table().transaction_version(source)
            return None if found is None else int(found)

    def append(self, rows: pl.DataFrame, source: str, sequence: int | None, facts: Mapping[str, object]) -> int:
        """Commit rows (STORED_COLUMNS) and the source's sequence as the version after `facts["after"]`; return it.

        Raises:
            Overtaken: somebody else has committed since; nothing was stored.
        """
        done = [] if sequence is None else [Transaction(source, sequence)]
        return self._commit(rows, facts, done, None)

    def rewrite(self, partition: tuple[str, str], rows: pl.DataFrame, after: int) -> int:
        """Replace the files of one (quantity, month) by `rows`, which say the same; return the version.

        Raises:
            Overtaken: somebody else has committed since version `after`; nothing was replaced.
        """
        quantity, month = partition
        facts = {"compaction": month, "after": after}
        return self._commit(rows, facts, [], f"quantity = '{quantity}' AND month = '{month}'")

    def _commit(
        self, rows: pl.DataFrame, facts: Mapping[str, object], done: list[Transaction], predicate: str | None
    ) -> int:
        """Commit once, upon the version that the caller has looked at, or not at all."""
        mark, after = uuid.uuid4().hex, facts["after"]
        properties = CommitProperties(
            app_transactions=done,
            custom_metadata={"recloser": json.dumps({**facts, "mark": mark})},
            max_commit_retries=0,
        )
        with self._guard, foreign_errors(self.place):
            table = self._table()
            if table.version() != after:  # another thread of this process looked meanwhile
                raise Overtaken("another writer committed first", where=self.place.uri)
            try:
                write_deltalake(
                    table,
                    _with_month(rows),
                    mode="append" if predicate is None else "overwrite",
                    predicate=predicate,
                    writer_properties=WRITER,
                    commit_properties=properties,
                    post_commithook_properties=HOOKS,
                )
            except CommitFailedError:
                if (version := landed(table, self.place, mark)) is None:
                    raise
                return version
            return int(table.version())

    def vacuum(self, keep_versions: list[int], grace_hours: int, *, dry_run: bool) -> list[str]:
        """Remove (or only name) files that neither the latest nor a kept version needs; paths relative to the table."""
        with self._guard, foreign_errors(self.place):
            return [
                str(path)
                for path in self._table().vacuum(
                    retention_hours=grace_hours,
                    enforce_retention_duration=False,
                    dry_run=dry_run,
                    full=True,
                    keep_versions=keep_versions,
                    post_commithook_properties=HOOKS,
                )
            ]

    def files(self, version: int) -> pl.DataFrame:
        """Return one row per data file of a version: path, rows, bytes, quantity, month and the bounds of area and at.

        Raises:
            InvalidInput: no such version yet.
            Refused: the version can no longer be read.
        """
        with self._guard, foreign_errors(self.place):
            table = self._table()
            latest = int(table.version())
            if version < 0 or version > latest:
                raise InvalidInput(
                    "no such version of the store",
                    got=version,
                    expected=f"0 to {latest}",
                    where=self.place.uri,
                )
            if self._files is not None and self._files[0] == version:
                return self._files[1]
            if version != latest:
                table = self._load(version)
            files = _file_frame(pl.DataFrame(table.get_add_actions(flatten=True)))
            self._files = (version, files)
            return files

    def scan(self, files: pl.DataFrame) -> pl.LazyFrame:
        """Return the lazy rows (STORED_COLUMNS) of those data files."""
        schema = {f.name: t for f, t in zip(FIELDS, POLARS_TYPES, strict=True)}
        if files.is_empty():
            return pl.LazyFrame(schema=schema).select(STORED_COLUMNS)
        paths = [f"{self.place.uri}/{path}" for path in files["path"]]
        return pl.scan_parquet(
            paths,
            storage_options=self.place.reading,
            schema={name: kind for name, kind in schema.items() if name not in PARTITION},
            hive_partitioning=True,
            hive_schema=dict.fromkeys(PARTITION, pl.String),
            missing_columns="raise",
        ).select(STORED_COLUMNS)

    def read(self, files: pl.DataFrame, conditions: Sequence[pl.Expr] = (), version: int | None = None) -> pl.DataFrame:
        """Return the rows (STORED_COLUMNS) of those data files that fulfil all conditions, in no order.

        Raises:
            Refused: files of an older `version` are gone.
            Unavailable: files of the latest version are gone, or a file is damaged.
        """
        return self._collect(self.scan(files).filter(*conditions), files, version)

    def distinct(self, files: pl.DataFrame, column: str) -> list[str]:
        """Return the distinct texts of one column of those data files, in no order."""
        return self._collect(self.scan(files).select(column).unique(), files, None)[column].to_list()

    def absent(self, files: pl.DataFrame) -> list[str]:
        """Return the data files that are gone."""
        there = self.place.sizes("")
        return [path for path in files["path"] if path not in there]

    def _collect(self, rows: pl.LazyFrame, files: pl.DataFrame, version: int | None) -> pl.DataFrame:
        try:
            return rows.collect()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            absent = self.absent(files)
            if absent and version is not None and version != self.refresh():
                raise unreadable_version(version, self.place) from error
            raise Unavailable(
                "a data file of the store is missing" if absent else "a data file of the store is damaged",
                got=absent[0] if absent else str(error)[:200],
                where=self.place.uri,
                next_step="Restore the folder from a backup, or ingest that period again into a new store.",
            ) from error

    def _load(self, version: int) -> DeltaTable:
        try:
            return self._opened(version)
        except (DeltaError, TableNotFoundError, OSError, ValueError) as error:
            raise unreadable_version(version, self.place) from error

    def _table(self) -> DeltaTable:
        if self._latest is None:
            raise InvalidInput("the store is empty", where=self.place.uri, next_step="Ingest data first.")
        return self._latest

    def _check(self, table: DeltaTable) -> None:
        protocol = table.protocol()
        try:
            facts = json.loads(table.metadata().description or "")
        except ValueError:
            facts = {}
        if facts.get("format") != FORMAT or protocol.min_reader_version > 1:
            raise Refused(
                "this Delta table was not written by this release's store",
                got={"description": table.metadata().description, "reader": protocol.min_reader_version},
                expected=f"format {FORMAT}",
                where=self.place.uri,
                next_step="Use the release that wrote it, or an empty folder.",
            )
        if facts["resolution_s"] != self.resolution.total_seconds():
            raise InvalidInput(
                "the store has another resolution",
                got=f"{self.resolution.total_seconds():g} s",
                expected=f"{facts['resolution_s']:g} s",
                where=self.place.uri,
                next_step="Open it with its own resolution; a second resolution needs a second store.",
            )


def unreadable_version(version: int, place: Place) -> Refused:
    """Build the error for a version whose files were vacuumed away."""
    return Refused(
        "this version of the store can no longer be read: maintenance removed its files",
        got=version,
        where=place.uri,
        next_step="Read a newer version, or restore the folder from a backup. Pin versions that must stay.",
    )


def _with_month(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(STORED_COLUMNS).with_columns(month_text().alias("month"))


def _file_frame(actions: pl.DataFrame) -> pl.DataFrame:
    """Return the file table with typed bounds; a bound that a file lacks is null and prunes nothing."""
    wanted: dict[str, tuple[str, pl.DataType]] = {
        "path": ("path", pl.String()),
        "rows": ("num_records", pl.Int64()),
        "bytes": ("size_bytes", pl.Int64()),
        "quantity": ("partition.quantity", pl.String()),
        "month": ("partition.month", pl.String()),
        "min_area": ("min.area", pl.String()),
        "max_area": ("max.area", pl.String()),
        "min_at": ("min.at", POLARS_TYPES[2]),
        "max_at": ("max.at", POLARS_TYPES[2]),
    }
    columns = [
        (pl.col(name) if name in actions.columns else pl.lit(None)).cast(kind).alias(alias)
        for alias, (name, kind) in wanted.items()
    ]
    return actions.select(columns).sort("quantity", "month", "min_at", "path")


def entry_of(version: int) -> str:
    """Return the log entry of a version, as a path in the table's place."""
    return f"{LOG}/{version:020}.json"


def landed(table: DeltaTable, place: Place, mark: str) -> int | None:
    """Return the version that carries the mark although its commit was told to have failed, None if there is none.

    An object store's answer may get lost on the way; the put is repeated, and meets what it has put itself.
    """
    before = int(table.version())
    table.update_incremental()
    # Not by `history`, which keeps Python's lock while it waits for the answer.
    for version in range(before + 1, int(table.version()) + 1):
        if mark.encode() in place.read(entry_of(version)):
            return version
    return None


@contextmanager
def created_once(place: Place) -> Iterator[None]:
    """Tell a failed creation from one that somebody else was faster with."""
    try:
        yield
    except DeltaError as error:
        if place.locked or not place.sizes(LOG):
            raise
        raise Overtaken("another writer created the table first", where=place.uri) from error


@contextmanager
def foreign_errors(place: Place) -> Iterator[None]:
    """Convert what deltalake raises into what our callers can act on."""
    try:
        yield
    except CommitFailedError as error:
        raise Overtaken(
            "another writer committed first", got=str(error), where=place.uri, next_step="Try again."
        ) from error
    except (DeltaError, OSError) as error:
        raise _damaged(reason_of(error), place) from error


def _damaged(reason: str, place: Place) -> Unavailable:
    if place.whole:
        told = "Check [store]: endpoint, bucket, region and credentials; and that the service is up."
    else:
        told = "Check the disk and the folder; restore it from a backup if its log is damaged."
    return Unavailable("the store's table cannot be read or written", got=reason, where=place.uri, next_step=told)
