"""Owns a line of a process's log: its columns, its form on disk, and what is never written. Opens no file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from recloser.app.logs.told import LEVELS
from recloser.core import RecloserError, format_utc, parse_utc

TEXT, TRACE, NAMES, FEW = 2_000, 6_000, 50, 5
"""The most characters of a sentence and of a traceback, and names of a kind, that a line keeps; few of a long line."""
LONGEST = 100_000
"""No line on disk has so many bytes."""
_IDS = re.compile(r"\b(rel|fc|run|rollout)-[0-9a-f]{12}\b")
_KINDS = {"rel": "release", "fc": "forecast", "run": "run", "rollout": "rollout"}
_HIDDEN = "***"
_SECRETS = (
    re.compile(r"(?<=://)[^/\s@]*:[^/\s@]*(?=@)"),
    re.compile(r"(?i)(?<=\bbearer )\S+|(?<=\bbasic )[A-Za-z0-9+/=]{8,}"),
    re.compile(
        r"(?i)(?<![a-z])((?:[a-z0-9]+[_-])*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|signature|credential)"
        r"[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&)]+"
    ),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
    re.compile(r"\brcl_[A-Za-z0-9_-]{8,}"),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a process said at one moment.

    Attributes:
        at: when (aware UTC).
        level: one of LEVELS.
        process: its name, as the supervisor calls it.
        host, pid: where it ran.
        text: one line, without what must stay secret.
        about: ids and names by kind: `release`, `forecast`, `run`, `rollout`, `device`, ...
        trace: of a defect, the traceback; else empty.
    """

    at: datetime
    level: str
    process: str
    host: str
    pid: int
    text: str
    about: Mapping[str, list[str]] = field(default_factory=dict)
    trace: str = ""

    def document(self) -> dict[str, Any]:
        """Return the line JSON-ready, as it stands on disk."""
        told = {"at": format_utc(self.at), "level": self.level, "process": self.process, "host": self.host}
        more = {"trace": self.trace} if self.trace else {}
        return {
            **told,
            "pid": self.pid,
            "text": self.text,
            **{kind: list(self.about[kind]) for kind in self.about},
        } | more

    def encoded(self) -> bytes:
        """Return the line as JSON with its line feed; a line feed inside is escaped."""
        document = self.document()
        found = msgspec.json.encode(document)
        if len(found) >= LONGEST:
            few = {kind: [*names][:FEW] for kind, names in self.about.items()}
            found = msgspec.json.encode(document | few | {"trace": self.trace[-TEXT:]})
        return found + b"\n"

    def has(self, part: str) -> bool:
        """Tell whether the text, the traceback or one of the names contains a part, in any case of letters."""
        wanted = part.casefold()
        names = (name for kind in self.about.values() for name in kind)
        return any(wanted in words.casefold() for words in (self.text, self.trace, *names))


OWN = frozenset({"at", "level", "process", "host", "pid", "text", "trace"})
"""Columns of every line; the others of a line say what it is about."""


def line_of(raw: bytes) -> LogLine | None:
    """Return the line that was written so, None if it is damaged or was written by something else."""
    try:
        facts = msgspec.json.decode(raw, type=dict[str, Any])
        about = {str(kind): [str(name) for name in facts[kind]] for kind in facts.keys() - OWN}
        own = {name: facts.get(name, "") for name in ("level", "process", "host", "text", "trace")}
        if own["level"] not in LEVELS or not all(isinstance(words, str) for words in own.values()):
            return None
        at = parse_utc(facts["at"], "log")
        return LogLine(
            at, own["level"], own["process"], own["host"], int(facts["pid"]), own["text"], about, own["trace"]
        )
    except (msgspec.DecodeError, RecloserError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def cleaned(text: str) -> str:
    """Return a text without what is or looks like a secret: passwords in addresses, tokens, private keys."""
    for pattern in _SECRETS:
        text = pattern.sub(lambda found: (found.group(1) if found.re.groups else "") + _HIDDEN, text)
    return text


def one_line(text: str, most: int = TEXT) -> str:
    """Return a text in one line without control characters, cut to its most characters."""
    flat = _CONTROL.sub(" ", text).strip()
    return flat if len(flat) <= most else f"{flat[: most - 2]} …"


def names_in(text: str, given: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return what a text is about: what was given, and every id of ours that it names; each once, in their order."""
    found = {kind: list(names) for kind, names in given.items() if kind not in OWN}
    for name in _IDS.finditer(text):
        found.setdefault(_KINDS[name.group(1)], []).append(name.group())
    return {
        kind: [one_line(cleaned(name), 200) for name in list(dict.fromkeys(names))[:NAMES]]
        for kind, names in found.items()
        if names
    }
