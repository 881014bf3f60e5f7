"""Owns a ledger in memory that may be set back to any moment: same answers and refusals as the SQL one. No disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self, TypeVar

from recloser.core import Conflict, InvalidInput, Refused, Unavailable
from recloser.ledger import Change, Entry, Ledger, LedgerWatch, StateRecord, Stored, Verification
from recloser.ledger.audit.chain import GENESIS, ChainWalk, Head, StoredEntry
from recloser.ledger.change import Write
from recloser.ledger.commit import Fence, chained
from recloser.ledger.holds import Still
from recloser.ledger.ledger import entry_of
from recloser.ledger.schema import mapping_of

T = TypeVar("T")
WHERE = "ledger in memory"


class Row(NamedTuple):
    """One stored record: its fields as a database holds them, as a reader gets them, and how often it was written."""

    stored: Mapping[str, Any]
    record: Any
    version: int


@dataclass(frozen=True, slots=True)
class Moment:
    """All that a ledger in memory held at one moment; never changed, so keeping one costs nothing."""

    tables: Mapping[type[Any], Mapping[str, Row]] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()


def _quiet(_where: str, _change: Change) -> None:
    """Do nothing at a write."""


@dataclass(slots=True)
class _Store:
    moment: Moment = field(default_factory=Moment)
    held: set[str] = field(default_factory=set)
    at_write: Callable[[str, Change], None] = _quiet


class MemoryLedger(Ledger):
    """A ledger in memory for tests that look at very many histories.

    It checks what is written as the SQL ledger does, reads back what that would read back, refuses what that refuses
    and chains its entries by the same hashes; a test compares them over random histories. It serves one thread, and
    `watch` is not there.

    `moment` may be read, kept and set again: the ledger is then as it was. `at_write` is called with "before" and
    "after" each write that would reach the disk; what it raises is what a crash there would be.
    """

    def __init__(self, store: _Store | None = None, fence: Fence | None = None) -> None:  # no engine: not the SQL one
        self._store = _Store() if store is None else store
        self._leader = fence

    @property
    def moment(self) -> Moment:
        """All that is stored now."""
        return self._store.moment

    @moment.setter
    def moment(self, moment: Moment) -> None:
        """Set it: what was written since is gone."""
        self._store.moment = moment

    def on_write(self, seen: Callable[[str, Change], None] | None) -> None:
        """Call `seen` with "before" or "after" and the change at each write from now on; None: nobody."""
        self._store.at_write = _quiet if seen is None else seen

    def fenced(self, fence: Fence) -> MemoryLedger:
        """Return this ledger for a leader, as `Ledger.fenced` does."""
        return MemoryLedger(self._store, fence)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def __enter__(self) -> Self:
        return self

    def stored(self, record_type: type[T], key: str) -> Stored[T] | None:
        """Return the record of that key with its version, or None."""
        row = self._rows(record_type).get(mapping_of(record_type).literal("key", key))
        return None if row is None else Stored(row.record, row.version)

    def find(
        self,
        record_type: type[T],
        *,
        order_by: str = "key",
        descending: bool = False,
        limit: int | None = None,
        since: tuple[str, Any] | None = None,
        until: tuple[str, Any] | None = None,
        **equals: Any,
    ) -> list[T]:
        """Return records as `Ledger.find` does; nulls come first, as in SQLite."""
        mapping = mapping_of(record_type)
        wanted = [(mapping.column(name).name, _literals(mapping.literal, name, item)) for name, item in equals.items()]
        first, last = (
            None if bound is None else (mapping.column(bound[0]).name, mapping.literal(*bound))
            for bound in (since, until)
        )
        order = mapping.column(order_by).name
        rows = [
            row
            for row in self._rows(record_type).values()
            if all(row.stored[name] in items for name, items in wanted)
            and (first is None or (row.stored[first[0]] is not None and row.stored[first[0]] >= first[1]))
            and (last is None or (row.stored[last[0]] is not None and row.stored[last[0]] <= last[1]))
        ]
        rows.sort(key=lambda row: (_sortable(row.stored[order]), row.stored["key"]), reverse=descending)
        return [row.record for row in rows[:limit]]

    def entries(self, after: int = 0, limit: int | None = None, *, subject: str | None = None) -> list[Entry]:
        """Return audit entries as `Ledger.entries` does."""
        found = [row for row in self._chain() if row.seq > after and subject in {None, row.subject}]
        return [entry_of(row) for row in found[:limit]]

    def latest(self, limit: int, *, before: int | None = None, without: Sequence[str] = ()) -> list[Entry]:
        """Return the newest audit entries as `Ledger.latest` does."""
        rows = [row for row in reversed(self._chain()) if before is None or row.seq < before]
        return [entry_of(row) for row in rows if row.action not in without][:limit]

    def length(self) -> int:
        """Return the number of audit entries."""
        return sum(len(change.notes) for change in self._store.moment.changes)

    def verify(self) -> Verification:
        """Check the chain, as `Ledger.verify` does."""
        walk = ChainWalk()
        walk.walk(self._chain())
        bad, reason = walk.fault or (None, "")
        return Verification(walk.count, walk.fault is None, bad, reason, walk.last)

    def watch(self) -> LedgerWatch:
        """Refuse: nobody else can write here.

        Raises:
            InvalidInput: always.
        """
        raise InvalidInput("a ledger in memory cannot be watched", where=WHERE, next_step="Use a SQLite ledger.")

    @property
    def shared(self) -> bool:
        """Return False: no other host reaches this memory."""
        return False

    @contextmanager
    def hold(self, name: str) -> Iterator[Still]:
        """Hold `name`, as `Ledger.hold` does, among those that share this ledger.

        Raises:
            Unavailable: it is held.
        """
        if name in self._store.held:
            raise Unavailable("somebody else holds it", got=name, where=WHERE)
        self._store.held.add(name)
        try:
            yield lambda: True
        finally:
            self._store.held.discard(name)

    @contextmanager
    def _at_seam(self) -> Iterator[None]:
        yield

    def _rows(self, record_type: type[Any]) -> Mapping[str, Row]:
        return self._store.moment.tables.get(record_type, {})

    def _write(self, change: Change) -> None:
        self._store.at_write("before", change)
        self._require_lead()
        moment = self._store.moment
        tables = {kind: dict(rows) for kind, rows in moment.tables.items() if kind in _kinds(change)}
        for write in change.writes:
            kind = write.mapping.record_type
            _put(tables.setdefault(kind, {}), write)
        self._store.moment = replace(moment, tables={**moment.tables, **tables}, changes=(*moment.changes, change))
        self._store.at_write("after", change)

    def _require_lead(self) -> None:
        if self._leader is None:
            return
        found = self.get(StateRecord, self._leader.key)
        epoch = None if found is None else found.state.get("epoch")
        if epoch != self._leader.epoch:
            raise Refused("another process leads by now", got=self._leader.epoch, expected=epoch, where=WHERE)

    def _chain(self) -> list[StoredEntry]:
        head, found = Head(0, GENESIS), list[StoredEntry]()
        for change in self._store.moment.changes:
            found += chained(change, head)
            head = Head(found[-1].seq, found[-1].hash)
        return found


def _kinds(change: Change) -> set[type[Any]]:
    return {write.mapping.record_type for write in change.writes}


def _put(rows: dict[str, Row], write: Write) -> None:
    """Write one row, or refuse.

    Raises:
        Conflict: a key that must be new is there, or the version is another.
    """
    key = write.row["key"]
    known = rows.get(key)
    if write.mode == "add" and known is not None:
        raise Conflict("a record of that key is there already", got=key, where=WHERE, next_step="Nothing was written.")
    version = 0 if known is None else known.version
    if write.mode == "swap" and version != write.expected_version:
        raise Conflict(
            "somebody else changed the record in between",
            got=key,
            expected=f"version {write.expected_version}",
            where=WHERE,
            next_step="Nothing was written. Read it again and decide again.",
        )
    stored = dict(write.row)
    record = write.mapping.decode(tuple(stored[column.name] for column in write.mapping.columns))
    rows[key] = Row(stored, record, version + 1)


def _literals(literal: Callable[[str, Any], Any], name: str, item: Any) -> list[Any]:
    if isinstance(item, Sequence) and not isinstance(item, str):
        return [found for one in item if (found := literal(name, one)) is not None]  # a null is in no list
    return [literal(name, item)]


def _sortable(item: Any) -> tuple[bool, Any]:
    return (False, 0) if item is None else (True, item)
