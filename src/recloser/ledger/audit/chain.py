"""Owns the audit entry, its hash chain and the pure walk that checks it. Reads and writes no database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from recloser.core import InvalidInput, canonical_json

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit log.

    Attributes:
        seq: 1, 2, 3, ... without gaps.
        at: when it was decided, aware UTC.
        actor: who did it: a loop, a person, a command.
        action: what was done, such as 'rollout.trip'.
        subject: what it was done to.
        facts: the evidence.
        records: [table, key, SHA-256 of the row] of every record written in the same change; listed on the first
            entry of the change, empty on its others.
        previous: hash of the entry before, 64 zeros for the first.
        hash: SHA-256 of the canonical JSON of [seq, at, actor, action, subject, facts, records, previous].
    """

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    facts: dict[str, Any]
    records: tuple[tuple[str, str, str], ...]
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found.

    Attributes:
        entries: number of entries present.
        ok: the chain holds and every record is as its last entry says.
        first_bad: sequence number of the first entry that is edited, missing or out of order, or whose record no
            longer matches; for a record that no entry accounts for, one past the last. None if ok.
        reason: one sentence; empty if ok.
        head: hash of the last entry. Kept outside the database it also reveals a chain rewritten as a whole.
    """

    entries: int
    ok: bool
    first_bad: int | None
    reason: str
    head: str


class StoredEntry(NamedTuple):
    """An entry as its row holds it: times and nested data as text."""

    seq: int
    at: str
    actor: str
    action: str
    subject: str
    facts: str
    records: str
    previous: str
    hash: str


class Head(NamedTuple):
    """The second place that knows how long the log is and how it ends."""

    entries: int
    hash: str


def entry_hash(entry: StoredEntry) -> str:
    """Return the hash that the fields of an entry should have; `hash` itself is not read.

    `facts` and `records` are taken as the stored text, which is canonical JSON, so that the result is the SHA-256 of
    the canonical JSON of [seq, at, actor, action, subject, facts, records, previous] and any change of a byte shows.
    """
    parts = [
        canonical_json([entry.seq, entry.at, entry.actor, entry.action, entry.subject])[:-1],
        entry.facts.encode(),
        entry.records.encode(),
        canonical_json(entry.previous) + b"]",
    ]
    return hashlib.sha256(b",".join(parts)).hexdigest()


@dataclass(slots=True)
class ChainWalk:
    """A walk along the entries in order of seq; remembers the last known digest of every record on the way.

    Attributes:
        count: entries seen so far.
        last: hash of the last good entry.
        latest: (table, key) -> (digest, seq of the entry that wrote it).
        fault: (seq, reason) of the first fault.
    """

    count: int = 0
    last: str = GENESIS
    latest: dict[tuple[str, str], tuple[bytes, int]] = field(default_factory=dict)
    fault: tuple[int, str] | None = None

    def walk(self, rows: Iterable[StoredEntry]) -> None:
        """Check each row; after the first fault only count."""
        for row in rows:
            self.count += 1
            if self.fault is None:
                self.fault = self._fault_of(row)

    def _fault_of(self, row: StoredEntry) -> tuple[int, str] | None:
        if row.seq != self.count:
            return self.count, f"entry {self.count} is missing; the next one present is {row.seq}"
        try:
            listed = json.loads(row.records)
            intact = isinstance(json.loads(row.facts), dict) and entry_hash(row) == row.hash
            found = {(table, key): (bytes.fromhex(digest), row.seq) for table, key, digest in listed}
        except (ValueError, TypeError, AttributeError, InvalidInput):
            return row.seq, f"entry {row.seq} was edited: it is not readable"
        if not intact:
            return row.seq, f"entry {row.seq} was edited: its hash does not fit its content"
        if row.previous != self.last:
            return row.seq, f"entry {row.seq} does not follow the entry before it: edited, inserted or reordered"
        self.last = row.hash
        self.latest.update(found)
        return None

    def close(self, head: Head | None) -> None:
        """Compare the end of the walk with the head."""
        if self.fault is not None:
            return
        if head is None:
            self.fault = self.count + 1, "the head of the audit log is missing"
        elif head.entries > self.count:
            self.fault = self.count + 1, f"entries {self.count + 1} to {head.entries} are missing at the end"
        elif head.entries < self.count:
            self.fault = head.entries + 1, f"entry {head.entries + 1} was inserted at the end: the head ends before it"
        elif head.hash != self.last:
            self.fault = max(self.count, 1), "the last entry is not the one the head names"

    def verification(self) -> Verification:
        """Return the result so far."""
        seq, reason = self.fault if self.fault is not None else (None, "")
        return Verification(self.count, self.fault is None, seq, reason, self.last)
