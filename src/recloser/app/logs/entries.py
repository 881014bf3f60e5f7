"""Owns how the controller's log tells what was decided: each new entry of the ledger as a line with its ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recloser.app.logs.told import Told
from recloser.core import parse_utc
from recloser.ledger import Entry, ForecastRecord, Ledger

AT_ONCE = 500
NAMED = 50
"""Of so many forecasts the ids stand in a line; all are in the ledger."""
ROUTINE = frozenset(
    {
        "rollout.lease",
        "monitor.step",
        "step.start",
        "step.done",
        "data.check",
        "days.close",
        "rollout.days",
        "lineage.carry",
    }
)
GRAVE = frozenset(
    {"trip", "rollback", "fall_back", "failed", "alarm", "open", "gap", "cut", "end", "revoke"}
    | {"sign_in_refused", "act_refused"}
)
"""Last words of actions that somebody who looks for trouble looks for."""


class EntryTeller:
    """Tells every entry that is written from now on, whoever wrote it, once.

    Args:
        ledger: is read.
        say: told one sentence an entry.
    """

    def __init__(self, ledger: Ledger, say: Callable[[str], None]) -> None:
        self._ledger, self._say = ledger, say
        self._seen: int | None = None

    def tick(self) -> None:
        """Tell what is new; the first time only take note of where the ledger ends.

        Raises:
            Unavailable: the ledger cannot be read now; nothing is missed.
        """
        if self._seen is None:
            self._seen = self._ledger.length()
            return
        for entry in self._ledger.entries(after=self._seen, limit=AT_ONCE):
            self._say(told_entry(entry, self._made(entry)))
            self._seen = entry.seq

    def _made(self, entry: Entry) -> list[str]:
        if entry.action != "forecast.issue":
            return []
        issue = parse_utc(entry.subject, entry.action)
        made = self._ledger.find(ForecastRecord, issued_at=issue, made_at=entry.at, order_by="area", limit=NAMED)
        return [record.key for record in made]


def told_entry(entry: Entry, forecasts: list[str]) -> Told:
    """Return an entry of the audit log as a sentence: `made` are the ids of the forecasts that it is about."""
    facts = entry.facts
    more = [str(facts["reason"])] if facts.get("reason") else [f"{key} {_brief(facts[key])}" for key in sorted(facts)]
    words = f"{entry.action} {entry.subject}" + (f": {'; '.join(more)}" if more else "")
    ids = _texts(facts)
    about = {name: [text for text in ids if text.startswith(f"{start}-")] for name, start in KINDS.items()}
    about["forecast"] = [*forecasts, *about["forecast"]][:NAMED]
    about = {name: names for name, names in about.items() if names}
    return Told(words, _level(entry.action), {**about, "entry": [str(entry.seq)], "actor": [entry.actor]})


KINDS = {"release": "rel", "forecast": "fc", "run": "run", "rollout": "rollout"}


def _level(action: str) -> str:
    if action in ROUTINE:
        return "debug"
    return "warning" if action.rpartition(".")[2] in GRAVE else "info"


def _brief(found: Any) -> str:
    text = str(found)
    return text if len(text) <= 60 else f"{text[:58]} …"


def _texts(found: Any) -> list[str]:
    if isinstance(found, str):
        return [found]
    if isinstance(found, Mapping):
        return [text for part in found.values() for text in _texts(part)]
    if isinstance(found, list | tuple):
        return [text for part in found for text in _texts(part)]
    return []
