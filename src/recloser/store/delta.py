"""Owns the Delta Lake table under a store: its layout, its commits and its files. Foreign exceptions end here."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

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
from recloser.store.resolution import STORED_COLUMNS

HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


class SampleTable:
    """The Delta table of one store folder; thread safe, and several processes may hold one each.

    Attributes:
        folder: folder of the table, with `_delta_log` in it.
        resolution: grid of `at`, written into the table at its creation.
    """

    def __init__(self, folder: Path, resolution: timedelta) -> None:
        self.folder = folder
        self.resolution = resolution
        self._guard = threading.Lock()
        self._latest: DeltaTable | None = None
        self._files: tuple[int, pl.DataFrame] | None = None
        self.refresh()

    def refresh(self) -> int:
        """Look for new commits and return the latest version, -1 while there is no table."""
        with self._guard, foreign_errors(self.folder):
            if self._latest is not None:
                self._latest.update_incremental()
                version = int(self._latest.version())
                self._refuse_torn([self._log / f"{version:020}.json"])
                return version
            if not self._log.is_dir() or not DeltaTable.is_deltatable(str(self.folder)):
                self._refuse_orphans()
                return -1
            self._refuse_torn(self._log.glob("*.json"))
            table = DeltaTable(str(self.folder))
            self._check(table)
            self._latest = table
            return int(table.version())

    @property
    def _log(self) -> Path:
        return self.folder / "_delta_log"

    def _refuse_torn(self, entries: Iterable[Path]) -> None:
        """Refuse an empty log entry, as a power failure may leave: deltalake would read on without its rows."""
        for entry in entries:
            if entry.exists() and not entry.stat().st_size:
                raise _damaged(f"{entry.name} is empty", self.folder)

    def _refuse_orphans(self) -> None:
        """Refuse data without a log: a new table over it would take the old files for rubbish."""
        if self.folder.is_dir() and next(self.folder.glob("quantity=*"), None) is not None:
            raise _damaged("data files without the log folder '_delta_log'", self.folder)

    def create(self) -> int:
        """Create the empty table and return its version, 0; the caller holds the writer lock."""
        description = json.dumps({"format": FORMAT, "resolution_s": self.resolution.total_seconds()})
        with self._guard, foreign_errors(self.folder):
            self._latest = DeltaTable.create(
                str(self.folder),
                Schema(FIELDS),
                partition_by=PARTITION,
                name=TABLE_NAME,
                description=description,
                configuration=CONFIGURATION,
            )
            return int(self._latest.version())

    def sequence(self, source: str) -> int | None:
        """Return the highest sequence that `source` has committed, None if it never gave one."""
        with self._guard, foreign_errors(self.folder):
            found = self._table().transaction_version(source)
            return None if found is None else int(found)

    def append(self, rows: pl.DataFrame, source: str, sequence: int | None, facts: Mapping[str, object]) -> int:
        """Commit rows (STORED_COLUMNS) and the source's sequence as one version; return it."""
        done = [] if sequence is None else [Transaction(source, sequence)]
        properties = CommitProperties(app_transactions=done, custom_metadata={"recloser": json.dumps(facts)})
        with self._guard, foreign_errors(self.folder):
            write_deltalake(
                self._table(),
                _with_month(rows),
                mode="append",
                writer_properties=WRITER,
                commit_properties=properties,
                post_commithook_properties=HOOKS,
            )
            return int(self._table().version())

    def rewrite(self, partition: tuple[str, str], rows: pl.DataFrame) -> int:
        """Replace the files of one (quantity, month) by `rows`, which say the same; return the version."""
        quantity, month = partition
        with self._guard, foreign_errors(self.folder):
            write_deltalake(
                self._table(),
                _with_month(rows),
                mode="overwrite",
                predicate=f"quantity = '{quantity}' AND month = '{month}'",
                writer_properties=WRITER,
                commit_properties=CommitProperties(custom_metadata={"recloser": json.dumps({"compaction": month})}),
                post_commithook_properties=HOOKS,
            )
            return int(self._table().version())

    def vacuum(self, keep_versions: list[int], grace_hours: int, *, dry_run: bool) -> list[str]:
        """Remove (or only name) files that neither the latest nor a kept version needs; paths relative to the table."""
        with self._guard, foreign_errors(self.folder):
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
        with self._guard, foreign_errors(self.folder):
            table = self._table()
            latest = int(table.version())
            if version < 0 or version > latest:
                raise InvalidInput(
                    "no such version of the store",
                    got=version,
                    expected=f"0 to {latest}",
                    where=str(self.folder),
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
        paths = [self.folder / path for path in files["path"]]
        return pl.scan_parquet(
            paths,
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
        """Return the data files that are gone from the disk."""
        return [path for path in files["path"] if not (self.folder / path).is_file()]

    def _collect(self, rows: pl.LazyFrame, files: pl.DataFrame, version: int | None) -> pl.DataFrame:
        try:
            return rows.collect()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            absent = self.absent(files)
            if absent and version is not None and version != self.refresh():
                raise unreadable_version(version, self.folder) from error
            raise Unavailable(
                "a data file of the store is missing" if absent else "a data file of the store is damaged",
                got=absent[0] if absent else str(error)[:200],
                where=str(self.folder),
                next_step="Restore the folder from a backup, or ingest that period again into a new store.",
            ) from error

    def _load(self, version: int) -> DeltaTable:
        try:
            return DeltaTable(str(self.folder), version=version)
        except (DeltaError, TableNotFoundError, OSError, ValueError) as error:
            raise unreadable_version(version, self.folder) from error

    def _table(self) -> DeltaTable:
        if self._latest is None:
            raise InvalidInput("the store is empty", where=str(self.folder), next_step="Ingest data first.")
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
                where=str(self.folder),
                next_step="Use the release that wrote it, or an empty folder.",
            )
        if facts["resolution_s"] != self.resolution.total_seconds():
            raise InvalidInput(
                "the store has another resolution",
                got=f"{self.resolution.total_seconds():g} s",
                expected=f"{facts['resolution_s']:g} s",
                where=str(self.folder),
                next_step="Open it with its own resolution; a second resolution needs a second store.",
            )


def unreadable_version(version: int, folder: Path) -> Refused:
    """Build the error for a version whose files were vacuumed away."""
    return Refused(
        "this version of the store can no longer be read: maintenance removed its files",
        got=version,
        where=str(folder),
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


@contextmanager
def foreign_errors(folder: Path) -> Iterator[None]:
    """Convert what deltalake raises into what our callers can act on."""
    try:
        yield
    except CommitFailedError as error:
        raise Unavailable(
            "another writer committed first", got=str(error), where=str(folder), next_step="Try again."
        ) from error
    except (DeltaError, OSError) as error:
        raise _damaged(str(error).splitlines()[0][:300] if str(error) else type(error).__name__, folder) from error


def _damaged(reason: str, folder: Path) -> Unavailable:
    return Unavailable(
        "the store's table cannot be read or written",
        got=reason,
        where=str(folder),
        next_step="Check the disk and the folder; restore it from a backup if its log is damaged.",
    )
