"""Owns appending to and reading from the versioned series. Does not know files of sources, or who asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from recloser.core import InvalidInput, Panel, Refused, Unavailable, require_utc
from recloser.store.batch import KEY, clean_batch
from recloser.store.delta import SampleTable
from recloser.store.layout import TABLE_NAME, month_text
from recloser.store.maintenance import MaintenanceResult, Upkeep, maintain
from recloser.store.places import Folder, Place, in_turn
from recloser.store.resolution import in_order, resolve, valid_rows
from recloser.store.snapshot import Selection, Snapshot, content_digest


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What became of a batch; `rows` = `accepted` + `duplicates`.

    Attributes:
        rows: rows given.
        accepted: rows stored.
        duplicates: rows that said nothing new, or all rows of a sequence that was stored before.
        corrected: accepted rows that replace an older statement about their key.
        flagged: accepted rows with any quality bit.
        version: version of the store afterwards.
        kept: area, quantity, at, available_at of the accepted rows, and whether each `corrects` an older one.
    """

    rows: int
    accepted: int
    duplicates: int
    corrected: int
    flagged: int
    version: int
    kept: pl.DataFrame = field(repr=False, compare=False)


class Store:
    """Versioned append-only series in one place; thread safe, any number of processes may read and append.

    In a folder there is one writer at a time (a kernel lock that a dead process cannot keep); in a bucket a writer that
    was overtaken looks again and repeats. Readers never wait. An append is one Delta commit: all of it is visible, or
    nothing.
    """

    def __init__(self, place: Place, table: SampleTable) -> None:
        self._place = place
        self._table = table
        self._names: set[str] = set()
        self._looked_into = pl.Series("path", [], dtype=pl.String)

    @classmethod
    def open(cls, place: Place | Path | str, resolution: timedelta) -> Store:
        """Open the store in a place; the table appears with the first append.

        Args:
            place: local folder, or a place in a bucket; the Delta table lies in 'samples' below it.
            resolution: interval length, whole seconds; every `at` lies on this grid (counted from 1970 UTC).

        Raises:
            InvalidInput: the folder is a file, the resolution is not positive whole seconds or not the stored one.
            Refused: the table was written by another release or program.
            Unavailable: the table's log cannot be read.
        """
        where = folder_of(place)
        if resolution < timedelta(seconds=1) or resolution % timedelta(seconds=1):
            raise InvalidInput("unusable resolution", got=str(resolution), expected="whole seconds, at least one")
        return cls(where, SampleTable(where.child(TABLE_NAME), resolution))

    def append(self, frame: pl.DataFrame, source: str, sequence: int | None = None) -> AppendResult:
        """Store the new statements of a batch as one version; duplicates are dropped, corrections are added.

        Args:
            frame: columns of SAMPLE_SCHEMA, any order of rows; late and out-of-order rows are welcome.
            source: who sends; fills empty `source` cells and names the sequence.
            sequence: number of this batch at its source, ascending. A sequence not above the highest one committed
                is not stored again, so that a sender may repeat after a crash: exactly once.

        Raises:
            InvalidInput: see `clean_batch`; nothing was stored.
            Unavailable: another process keeps the lock, or the disk failed; nothing was stored.
        """
        if not source:
            raise InvalidInput("an append needs a source", got=source, expected="a name such as 'file:load.csv'")
        if sequence is not None and sequence < 0:
            raise InvalidInput("a sequence cannot be negative", got=sequence, where=source)
        batch = clean_batch(frame, self._table.resolution, source)
        return in_turn(self._place, lambda: self._append_once(batch, source, sequence))

    def _append_once(self, batch: pl.DataFrame, source: str, sequence: int | None) -> AppendResult:
        version = self._table.refresh()
        if version < 0:
            version = self._table.create()
        done = None if sequence is None else self._table.sequence(source)
        if sequence is not None and done is not None and sequence <= done:
            return AppendResult(batch.height, 0, batch.height, 0, 0, version, _kept(batch.clear(), _NO_CORRECTION))
        resolved = resolve(batch, self._stored_alike(batch, version))
        accepted = resolved.rows.height
        flagged = int((resolved.rows["quality"] != 0).sum())
        corrected = int(resolved.corrects.sum())
        facts = {"source": source, "accepted": accepted, "corrected": corrected, "after": version}
        if accepted:
            version = self._table.append(resolved.rows, source, sequence, facts)
        kept = _kept(resolved.rows, resolved.corrects)
        return AppendResult(batch.height, accepted, resolved.duplicates, corrected, flagged, version, kept)

    def _stored_alike(self, batch: pl.DataFrame, version: int) -> pl.DataFrame | None:
        """Return the stored rows of the batch's keys; None, without reading, where no file can hold one of them."""
        if batch.is_empty():
            return None
        boxes = batch.group_by("quantity", month_text().alias("month")).agg(
            first_area=pl.col("area").min(),
            last_area=pl.col("area").max(),
            first_at=pl.col("at").min(),
            last_at=pl.col("at").max(),
        )
        apart = (
            (pl.col("max_area") < pl.col("first_area"))
            | (pl.col("min_area") > pl.col("last_area"))
            | (pl.col("max_at") < pl.col("first_at"))
            | (pl.col("min_at") > pl.col("last_at"))
        )
        files = self._table.files(version).join(boxes, on=["quantity", "month"])
        touched = files.filter(~apart.fill_null(value=False))
        if touched.is_empty():
            return None
        window = pl.col("at").is_between(boxes["first_at"].min(), boxes["last_at"].max())
        areas = pl.col("area").is_in(batch["area"].unique().to_list())
        stored = self._table.read(touched, [window, areas])
        return stored.join(batch.select(KEY).unique(), on=KEY, how="semi")

    def read(
        self,
        areas: Sequence[str] | None = None,
        quantities: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        as_of: datetime,
        version: int | None = None,
    ) -> Panel:
        """Return all revisions with available_at <= as_of and `at` in [start, end), sorted; empty if there are none.

        Args:
            areas: names, None for all; an unknown name simply has no rows.
            quantities: names, None for all.
            start: aware UTC, included.
            end: aware UTC, excluded.
            as_of: aware UTC; nothing that became available later is shown.
            version: version of the store, None for the latest.

        Raises:
            InvalidInput: naive times, or a version that never existed.
            Refused: the version was removed by maintenance.
            Unavailable: files are missing or damaged.
        """
        return self._read(Selection.of(areas, quantities, (start, end), as_of), version)[0]

    def _read(self, selection: Selection, version: int | None) -> tuple[Panel, int]:
        latest = self._table.refresh()
        if latest < 0 and version is None:
            frame = valid_rows(self._table.scan(pl.DataFrame()).collect())
            return Panel(frame, self._table.resolution, selection.as_of), latest
        chosen = latest if version is None else version
        try:
            files = _within(self._table.files(chosen), selection)
            rows = self._table.read(files, _conditions(selection), chosen)
        except Unavailable:
            # Maintenance may have removed the files between the look at the log and the read.
            if version is not None or self._table.refresh() == latest:
                raise
            return self._read(selection, None)
        return Panel(valid_rows(rows), self._table.resolution, selection.as_of), chosen

    def snapshot(
        self,
        areas: Sequence[str] | None,
        quantities: Sequence[str] | None,
        start: datetime | None,
        end: datetime | None,
        as_of: datetime,
    ) -> Snapshot:
        """Read once and return the reference by which exactly this can be opened again; arguments as in `read`.

        Raises:
            InvalidInput: the store is empty, or naive times.
            Unavailable: files are missing or damaged.
        """
        selection = Selection.of(areas, quantities, (start, end), as_of)
        panel, version = self._read(selection, None)
        if version < 0:
            raise InvalidInput("an empty store has no snapshot", where=self._place.uri, next_step="Ingest data first.")
        return Snapshot(TABLE_NAME, version, content_digest(panel.frame), panel.frame.height, selection)

    def open_snapshot(self, snapshot: Snapshot) -> Panel:
        """Return exactly what the snapshot saw.

        Raises:
            Refused: the version was removed by maintenance, or the content differs from the digest.
            InvalidInput: another store's snapshot.
            Unavailable: files are missing or damaged.
        """
        if snapshot.table != TABLE_NAME:
            raise InvalidInput("a snapshot of another table", got=snapshot.table, expected=TABLE_NAME)
        panel, _ = self._read(snapshot.selection, snapshot.version)
        digest = content_digest(panel.frame)
        if digest != snapshot.digest:
            raise Refused(
                "the stored content is not what the snapshot saw",
                got=digest,
                expected=snapshot.digest,
                where=f"{self._place.uri}, version {snapshot.version}",
                next_step="The files were changed outside the store: restore them from a backup, or train anew.",
            )
        return panel

    def revisions(self, area: str, quantity: str, at: datetime) -> pl.DataFrame:
        """Return every statement ever stored about one key, replaced ones too, in order; with column `revision`."""
        instant = require_utc(at, "revisions.at")
        version = self._table.refresh()
        if version < 0:
            return pl.DataFrame(schema=self._table.scan(pl.DataFrame()).collect_schema())
        window = (instant, instant + self._table.resolution)
        selection = Selection.of([area], [quantity], window, instant)
        conditions = _conditions(selection)[1:]
        return in_order(self._table.read(_within(self._table.files(version), selection), conditions))

    def areas(self) -> list[str]:
        """Return the names of all areas, sorted."""
        version = self._table.refresh()
        if version < 0:
            return []
        files = self._table.files(version)
        fresh = files.filter(~pl.col("path").is_in(self._looked_into.implode()))
        single = fresh.filter(pl.col("min_area").is_not_null() & (pl.col("min_area") == pl.col("max_area")))
        single = single.filter(pl.col("min_area").str.len_bytes() < 32)  # longer bounds may be cut short
        rest = fresh.join(single, on="path", how="anti")
        names = self._names | set(single["min_area"]) | set(self._table.distinct(rest, "area"))
        self._names, self._looked_into = names, files["path"]  # nothing is ever deleted, so names only come
        return sorted(names)

    def quantities(self) -> list[str]:
        """Return the names of all quantities, sorted."""
        version = self._table.refresh()
        return [] if version < 0 else sorted(set(self._table.files(version)["quantity"]))

    def extent(self, quantity: str) -> tuple[datetime, datetime] | None:
        """Return the first and last `at` (aware UTC) of a quantity, None if it has no rows."""
        version = self._table.refresh()
        if version < 0:
            return None
        files = self._table.files(version).filter(pl.col("quantity") == quantity)
        if files.is_empty():
            return None
        bounded = files.filter(pl.col("min_at").is_not_null() & pl.col("max_at").is_not_null())
        if bounded.height < files.height:
            bounded = self._table.read(files).select(min_at="at", max_at="at")
        first, last = bounded.select(pl.col("min_at").min(), pl.col("max_at").max()).row(0)
        return first, last

    def version(self) -> int:
        """Return the latest version, -1 while nothing was appended."""
        return self._table.refresh()

    def maintain(self, pinned: Sequence[int], now: datetime, upkeep: Upkeep | None = None) -> MaintenanceResult:
        """Compact and vacuum; see `maintenance.maintain`. Pinned versions and the latest stay readable.

        Args:
            pinned: versions that something was trained on (the ledger's pins).
            now: aware UTC, for the record.
            upkeep: thoroughness, None for the usual one.
        """
        instant = require_utc(now, "maintain.now")
        return maintain(self._table, self._place, pinned, instant, upkeep or Upkeep())

    def __repr__(self) -> str:
        """Return place and resolution."""
        return f"Store({self._place.uri!r}, resolution={self._table.resolution})"


def folder_of(place: Place | Path | str) -> Place:
    """Return the place; a path is a folder on a local disk.

    Raises:
        InvalidInput: the path is a file.
    """
    if not isinstance(place, (str, Path)):
        return place
    path = Path(place)
    if path.exists() and not path.is_dir():
        raise InvalidInput("the store needs a folder", got=str(path), expected="a folder, not a file")
    return Folder(path)


_NO_CORRECTION = pl.Series("corrects", [], dtype=pl.Boolean)


def _kept(rows: pl.DataFrame, corrects: pl.Series) -> pl.DataFrame:
    return rows.select(*KEY, "available_at").with_columns(corrects)


def _within(files: pl.DataFrame, selection: Selection) -> pl.DataFrame:
    """Return the files that may hold selected rows, by partition and bounds; an absent bound excludes nothing."""
    conditions = [pl.lit(value=True)]
    if selection.quantities is not None:
        conditions.append(pl.col("quantity").is_in(selection.quantities))
    if selection.start is not None:
        conditions.append((pl.col("max_at") >= selection.start).fill_null(value=True))
    if selection.end is not None:
        conditions.append((pl.col("min_at") < selection.end).fill_null(value=True))
    if selection.areas is not None:
        # Many names are looked for by their common bounds: testing each against each file costs more than it saves.
        few = [(name, name) for name in selection.areas]
        bounds = few if len(few) <= 64 else [(selection.areas[0], selection.areas[-1])]
        between = [(pl.col("min_area") <= last) & (pl.col("max_area") >= first) for first, last in bounds]
        conditions.append(pl.any_horizontal(between).fill_null(value=True) if between else pl.lit(value=False))
    return files.filter(conditions)


def _conditions(selection: Selection) -> list[pl.Expr]:
    conditions = [pl.col("available_at") <= selection.as_of]
    if selection.areas is not None:
        conditions.append(pl.col("area").is_in(selection.areas))
    if selection.quantities is not None:
        conditions.append(pl.col("quantity").is_in(selection.quantities))
    if selection.start is not None:
        conditions.append(pl.col("at") >= selection.start)
    if selection.end is not None:
        conditions.append(pl.col("at") < selection.end)
    return conditions
