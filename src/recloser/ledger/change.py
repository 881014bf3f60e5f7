"""Owns what one change collects before it is written: checked rows and notes. Writes nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from recloser.core import InvalidInput, Refused, canonical_json
from recloser.ledger.mapping import RecordMapping, plain_text, row_digest, time_text
from recloser.ledger.schema import mapping_of

Mode = Literal["put", "add", "swap"]


class Note(NamedTuple):
    """One audit note as text."""

    action: str
    subject: str
    facts: str


@dataclass(frozen=True, slots=True)
class Write:
    """One row to write: `put` replaces, `add` must be new, `swap` must still have the expected version."""

    mapping: RecordMapping[Any]
    mode: Mode
    row: dict[str, Any]
    expected_version: int = 0


class Change:
    """Collects the records and notes of one change; everything is written together when the `with` block ends.

    Nothing is visible, to this process either, before that. Not to be shared between threads.
    """

    def __init__(self, actor: str, now: datetime) -> None:
        self.actor = plain_text(actor, "change.actor")
        self.at = time_text(now, "change.now")
        self.writes: list[Write] = []
        self.notes: list[Note] = []
        self._written: set[tuple[str, str]] = set()
        self._over = False

    def put(self, record: object, *, expected_version: int | None = None) -> None:
        """Write a record, replacing the one of the same key.

        Args:
            record: any record of the ledger.
            expected_version: the version that was read (0: none); the change is refused if it is another by then.

        Raises:
            InvalidInput: a field does not hold what its annotation says, or the change is over.
            Refused: 0 is expected of a key that was written in this change before.
        """
        if expected_version is None:
            self._collect(record, "put")
        elif expected_version == 0:
            self.add(record)
        else:
            self._collect(record, "swap", expected_version)

    def add(self, record: object) -> None:
        """Write a record that must be new; the change is refused if its key is there already.

        Raises:
            InvalidInput: a field does not hold what its annotation says, or the change is over.
            Refused: the same key was written in this change before.
        """
        self._collect(record, "add")

    def add_all(self, records: Iterable[object]) -> None:
        """Add each record, as `add` does."""
        for record in records:
            self.add(record)

    def note(self, action: str, subject: str, facts: Mapping[str, Any] | None = None) -> None:
        """Add the audit entry that says what this change does; a change that writes needs at least one.

        Args:
            action: what is done, such as 'rollout.trip'.
            subject: what it is done to.
            facts: JSON-ready evidence.

        Raises:
            InvalidInput: facts that are not JSON, or the change is over.
        """
        self._require_open()
        try:
            text = canonical_json(dict(facts or {})).decode()
        except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"facts that are not JSON ({error})", where=f"note {action}") from error
        self.notes.append(Note(plain_text(action, "note.action"), plain_text(subject, "note.subject"), text))

    def end(self) -> None:
        """Accept nothing more."""
        self._over = True

    def check(self) -> None:
        """See that what is to be written says why.

        Raises:
            InvalidInput: it writes without a note.
        """
        if self.writes and not self.notes:
            raise InvalidInput(
                "a change that writes records but has no audit note",
                where=f"change by {self.actor}",
                next_step="Call change.note(action, subject, facts) in the same block.",
            )

    def digests(self) -> str:
        """Return canonical JSON of [table, key, digest] for every record written, the last write of a key winning."""
        final = {(write.mapping.table.name, write.row["key"]): write.row for write in self.writes}
        return canonical_json(
            [
                [table, key, row_digest(table, row)]
                for (table, key), row in sorted(final.items(), key=lambda item: item[0])
            ]
        ).decode()

    def _collect(self, record: object, mode: Mode, expected_version: int = 0) -> None:
        self._require_open()
        mapping: RecordMapping[Any] = mapping_of(type(record))
        write = Write(mapping, mode, mapping.encode(record), expected_version)
        name = (mapping.table.name, write.row["key"])
        if mode == "add" and name in self._written:
            raise Refused("it cannot be new twice in one change", got=name[1], where=f"ledger table {name[0]}")
        self._written.add(name)
        self.writes.append(write)

    def _require_open(self) -> None:
        if self._over:
            raise InvalidInput("the change is over", where=f"change by {self.actor}", next_step="Open a new change.")
