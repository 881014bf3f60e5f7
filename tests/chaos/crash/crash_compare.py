"""Reads what is on a disk by plain means, and tells what of it must be the same whatever was killed."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

HEADS = {"audit_entries", "audit_head", "ledger_version"}
AGAIN = {"run.resume", "step.start", "leader.begin", "leader.end", "store.pin", "staging.pass", "store.maintain"}
"""Entries that a second beginning may write once more: who leads, a run resumed, a step begun anew and what it did."""
UNEQUAL = {"step.done": ("attempt",), "registry.aliases": ("changed",), "data.check": ("flagged",)}
"""Facts that tell what this process did: the try of a step, aliases still to be moved, samples still to be flagged."""
VOLATILE = {"row_version"}


def state_of(folder: Path) -> dict[str, Any]:
    """Return the state of a project, without what a second beginning may and must change.

    Left out: how often a record was written (`row_version`), how often a step was tried (`attempts`), which epoch the
    leader has, the facts of UNEQUAL, and how often the entries of AGAIN are there. Kept: every other field
    of every record, every other entry with its time, actor, subject and facts (none missing, none twice, in order), and
    the content of packages, cuts and registry.
    """
    with sqlite3.connect(f"file:{folder}/state/ledger.db?mode=ro", uri=True) as database:
        database.row_factory = sqlite3.Row
        tables = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        found = {name: _records(database, name) for name in sorted(set(tables) - HEADS)}
        entries = [dict(row) for row in database.execute("select * from audit_entries order by seq")]
    database.close()
    kept = [[e["at"], e["actor"], e["action"], e["subject"], _facts(e)] for e in entries if e["action"] not in AGAIN]
    return {**found, "entries": kept, "files": files_of(folder), "again": Counter(e["action"] for e in entries)}


def _records(database: sqlite3.Connection, table: str) -> dict[str, Any]:
    found = {}
    for row in database.execute(f"select * from {table}"):  # noqa: S608 - a name of our own schema
        record = {name: row[name] for name in row.keys() if name not in VOLATILE}  # noqa: SIM118 - a sqlite3.Row
        if table == "steps":
            record.pop("attempts")
        if table == "states" and record["key"].startswith("leader/"):
            continue
        found[record["key"]] = record
    return found


def _facts(entry: dict[str, Any]) -> Any:
    facts = json.loads(entry["facts"])
    return {key: fact for key, fact in facts.items() if key not in UNEQUAL.get(entry["action"], ())}


def files_of(folder: Path) -> dict[str, str]:
    """Return the digest of every file that others rely on; drafts, locks and scratch of a killed process are not."""
    found = {}
    for part in ("packages", "cuts", "registry"):
        for path in sorted((folder / "state" / part).rglob("*")):
            name = path.relative_to(folder / "state")
            if path.is_file() and not any(piece.startswith(".") for piece in name.parts):
                found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def differences(calm: dict[str, Any], disturbed: dict[str, Any], kills: int) -> list[str]:
    """Return what differs after so many kills, by name; empty if nothing does."""
    found = []
    for part in sorted({*calm, *disturbed} - {"again", "entries"}):
        ours, theirs = calm.get(part, {}), disturbed.get(part, {})
        unequal = [key for key in sorted({*ours, *theirs}) if ours.get(key) != theirs.get(key)]
        found += [f"{part} {key}: {_brief(ours.get(key), theirs.get(key))}" for key in unequal]
    for action in sorted(AGAIN - {"leader.begin", "leader.end"}):
        ours, theirs = calm["again"][action], disturbed["again"][action]
        if not ours <= theirs <= ours + kills:
            found.append(f"{action} is there {theirs} times, not {ours}")
    if calm["entries"] != disturbed["entries"]:
        ours, theirs = Counter(map(json.dumps, calm["entries"])), Counter(map(json.dumps, disturbed["entries"]))
        found += [f"entry missing: {text[:300]}" for text in ours - theirs]
        found += [f"entry too many: {text[:300]}" for text in theirs - ours]
        if ours == theirs:
            found.append("entries in another order")
    return found


def _brief(ours: Any, theirs: Any) -> str:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = [name for name in ours if ours[name] != theirs.get(name)]
        return ", ".join(f"{name} {str(ours[name])[:120]!r} -> {str(theirs.get(name))[:120]!r}" for name in names)
    return f"{str(ours)[:100]!r} -> {str(theirs)[:100]!r}"
