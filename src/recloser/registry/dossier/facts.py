"""Owns what a dossier is drawn from, and the pieces that its sections are made of. Reads nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from recloser.core import InvalidInput, format_utc
from recloser.ledger import Entry, ReleaseRecord, RolloutRecord, RunRecord, TripRecord, VerdictRecord, Verification
from recloser.registry.package import Package

Block = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DossierFacts:
    """Everything that a dossier tells, as package and ledger hold it.

    Attributes:
        project: its name.
        version: of Recloser.
        made_at: when the dossier is made (aware UTC).
        package: the release, verified.
        record: what the ledger says of it.
        run: that made it; None if the ledger has lost it.
        verdict: of the gate; None if it was never judged.
        rollouts, trips: in order of time.
        champion: the release it was compared with, verified; None without one.
        entries: audit entries about the release and its run, in order.
        sources: audit entries of the files taken in before.
        audit: outcome of checking the whole audit log.
        fallback: what answers if it is stopped, in order.
    """

    project: str
    version: str
    made_at: datetime
    package: Package
    record: ReleaseRecord
    run: RunRecord | None
    verdict: VerdictRecord | None
    rollouts: Sequence[RolloutRecord]
    trips: Sequence[TripRecord]
    champion: Package | None
    entries: Sequence[Entry]
    sources: Sequence[Entry]
    audit: Verification
    fallback: Sequence[str] = field(default=())

    def document(self, name: str) -> dict[str, Any]:
        """Return a JSON document of the package; empty where it has none, as packages of earlier versions.

        Raises:
            Refused: it was changed since the package was opened.
        """
        if all(entry.path != name for entry in self.package.files):
            return {}
        try:
            data = json.loads(self.package.read_bytes(name))
        except ValueError as error:
            raise InvalidInput("not a JSON document", where=f"{self.package.release}/{name}") from error
        return data if isinstance(data, dict) else {}


def pairs(rows: Mapping[str, Any]) -> Block:
    """Return a block of named facts."""
    return {"kind": "facts", "rows": [[name, shown(item)] for name, item in rows.items()]}


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, marks: Sequence[str] = ()) -> Block:
    """Return a table; `marks` names for each row what it is, such as a check's verdict."""
    return {
        "kind": "table",
        "head": list(head),
        "rows": [[shown(cell) for cell in row] for row in rows],
        "marks": list(marks),
    }


def items(lines: Sequence[str]) -> Block:
    """Return a list of sentences."""
    return {"kind": "list", "items": list(lines)}


def text(sentence: str) -> Block:
    """Return a paragraph."""
    return {"kind": "text", "text": sentence}


def shown(item: Any) -> str:
    """Return a value as people read it: times in UTC to the second, four significant digits, a dash for nothing."""
    if item is None or item == "":
        return "-"
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, float):
        return f"{item:.4g}"
    if isinstance(item, datetime):
        return format_utc(item.replace(microsecond=0))
    if isinstance(item, Mapping):
        return ", ".join(f"{name} {shown(inner)}" for name, inner in item.items())
    if isinstance(item, list | tuple):
        return ", ".join(shown(inner) for inner in item)
    return str(item)
