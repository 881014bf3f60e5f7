"""Owns the answer to why the gate said what it said of a candidate, as a document and one screen. Changes nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from recloser.app.explanations import none_of
from recloser.app.platform import Platform
from recloser.core import format_utc, parse_utc
from recloser.ledger import RunRecord, VerdictRecord
from recloser.staging import WAIVE, Waiver
from recloser.staging.waivers import NEVER

SCREEN = 40
"""Lines of one screen."""
WIDTH = 118


def explain_gate(folder: Path, candidate: str) -> dict[str, Any]:
    """Return the verdict on a release (or on the candidate of a run) with every check, waiver and what would change it.

    Raises:
        InvalidInput: no verdict is recorded for it.
    """
    with Platform.open(folder) as platform:
        verdict = verdict_on(platform, candidate)
        entries = platform.ledger.entries(subject=verdict.release)
        given = [Waiver.from_dict(entry.facts) for entry in entries if entry.action == WAIVE]
        document = {
            "release": verdict.release,
            "at": verdict.at,
            "verdict": verdict.verdict,
            "reason": verdict.reason,
            "checks": verdict.checks,
            "evidence_digest": verdict.evidence_digest,
            "waivers": [waiver_row(waiver, platform.clock.now()) for waiver in given],
            "would_change": would_change(verdict.checks),
        }
        return {**document, "sentences": screen(document)}


def verdict_on(platform: Platform, candidate: str) -> VerdictRecord:
    """Return the newest verdict on a release, or on the candidate of a run.

    Raises:
        InvalidInput: there is none.
    """
    run = platform.ledger.get(RunRecord, candidate)
    release = run.candidate if run is not None and run.candidate else candidate
    found = platform.ledger.find(VerdictRecord, release=release, order_by="at", descending=True, limit=1)
    if not found:
        judged = [record.release for record in platform.ledger.find(VerdictRecord, order_by="at", descending=True)]
        raise none_of("no verdict on this candidate", candidate, judged)
    return found[0]


def waiver_row(waiver: Waiver, now: datetime) -> dict[str, Any]:
    """Return a waiver with whether it is in force at `now`."""
    return {**waiver.to_dict(), "in_force": waiver.in_force(now)}


def would_change(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what would have to happen for a verdict other than this one, one line per deciding check."""
    lines = []
    for check in checks:
        if check["verdict"] == "pass":
            continue
        limits = thresholds_of(check)
        waivable = "cannot be waived" if check["name"] in NEVER else f"or: recloser gate waive --check {check['name']}"
        if check.get("waiver"):
            lines.append(f"{check['name']}: the waiver expires {check['waiver']['expires_at']}")
        elif check["verdict"] == "hold":
            lines.append(f"{check['name']}: more evidence ({limits or 'see the reason'}); {waivable}")
        else:
            lines.append(f"{check['name']}: within {limits or 'what the reason says'}; {waivable}")
    return lines or ["any check that refuses, or an unrecorded one"]


def thresholds_of(check: Mapping[str, Any]) -> str:
    """Return a check's plain thresholds in words."""
    return ", ".join(f"{name} {told(item)}" for name, item in check["thresholds"].items() if not _deep(item))


def screen(document: Mapping[str, Any]) -> list[str]:
    """Return the explanation as lines that fit one screen: what decides in full, what passed in a line or by name."""
    deciding = [check for check in document["checks"] if check["verdict"] != "pass"]
    passed = [check for check in document["checks"] if check["verdict"] == "pass"]
    lines = _wrapped(f"{document['release']}: {document['verdict'].upper()} - {document['reason']}", "    ")
    for check in deciding:
        lines += _deciding(check)
    change = [text for line in document["would_change"] for text in _wrapped(f"Would change it: {line}", "    ")]
    room = max(0, SCREEN - len(lines) - len(change) - 3)
    shown = passed if len(passed) <= room else passed[: max(0, room - 2)]
    lines += [_cut(f"  pass   {check['name']}{_duration(check)}: {check['reason']}") for check in shown]
    if len(shown) < len(passed):
        lines += _wrapped("  pass   " + ", ".join(check["name"] for check in passed[len(shown) :]), "         ")
    lines += change
    lines.append(f"Judged {_at(document['at'])}, evidence {document['evidence_digest'][:16]}; all numbers: --json")
    return lines


def _deciding(check: Mapping[str, Any]) -> list[str]:
    """Return the lines of a check that does not pass: reason, numbers, limits, waiver."""
    mark = "waived" if check.get("waiver") else check["verdict"]
    lines = _wrapped(f"  {mark:<6} {check['name']}{_duration(check)}: {check['reason']}", "         ")
    numbers = ", ".join(f"{name} {told(item)}" for name, item in check["numbers"].items() if not _deep(item))
    pairs = (("is", numbers), ("limit", thresholds_of(check)))
    lines += [_cut(f"         {head}: {text}") for head, text in pairs if text]
    if check.get("waiver"):
        waiver = check["waiver"]
        lines += _wrapped(f"         by {waiver['name']} until {waiver['expires_at']}: {waiver['reason']}", "         ")
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, replace_whitespace=True, drop_whitespace=True)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def told(item: Any) -> str:
    """Return a number in few digits, anything else as it is."""
    return f"{item:.4g}" if isinstance(item, float) else str(item)


def _deep(item: Any) -> bool:
    return isinstance(item, dict | list)


def _duration(check: Mapping[str, Any]) -> str:
    spent = check.get("duration_ms")
    return "" if spent is None else f" ({spent:.0f} ms)"


def _at(at: Any) -> str:
    return format_utc(at if isinstance(at, datetime) else parse_utc(str(at), "verdict"))
