"""Owns the absences that are open: each begins and ends once, with a notice and an audit entry in one change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from recloser.core import format_utc, short_id
from recloser.ledger import Change, Ledger, NoticeRecord, StateRecord, decided_again
from recloser.monitoring.absence import Absence

KEY = "watchman/absences"
ACTOR = "watchman"
KIND = "absence"


class AbsenceAlarms:
    """Keeps the open absences in the ledger, so that a watchman that is started anew tells nothing twice.

    Args:
        ledger: where they are kept.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def open_(self) -> dict[str, dict[str, Any]]:
        """Return the open absences by kind: since, areas, sentence."""
        stored = self._ledger.get(StateRecord, KEY)
        return {} if stored is None else dict(stored.state["open"])

    def update(self, found: Sequence[Absence], now: datetime) -> list[str]:
        """Write what began, grew or ended since the last call, and return its sentences.

        More areas missing is told again; fewer is not, until none is missing.

        Raises:
            Unavailable: the ledger cannot be written now; call again.
        """
        return decided_again(lambda: self._update(found, now))

    def _update(self, found: Sequence[Absence], now: datetime) -> list[str]:
        stored = self._ledger.stored(StateRecord, KEY)
        before: dict[str, dict[str, Any]] = {} if stored is None else stored.record.state["open"]
        after = {str(absence.kind): _facts(absence) for absence in found}
        news = [kind for kind in after if kind not in before or set(after[kind]["areas"]) - set(before[kind]["areas"])]
        over = [kind for kind in before if kind not in after]
        if not news and not over:
            return []
        kept = {kind: after[kind] if kind in news else before[kind] for kind in after}
        version = 0 if stored is None else stored.version
        with self._ledger.change(ACTOR, now) as change:
            change.put(StateRecord(KEY, now, {"open": kept}), expected_version=version)
            for kind in news:
                _tell(change, kind, after[kind] | {"state": "open"}, now, version)
            for kind in over:
                ended = before[kind] | {"sentence": f"There again: {before[kind]['sentence']}"}
                _tell(change, kind, ended | {"state": "over", "until": format_utc(now)}, now, version)
        return [after[kind]["sentence"] for kind in news] + [f"There again: {before[k]['sentence']}" for k in over]


def _facts(absence: Absence) -> dict[str, Any]:
    return {"since": format_utc(absence.since), "areas": list(absence.areas), "sentence": absence.sentence}


def _tell(change: Change, kind: str, facts: dict[str, Any], now: datetime, version: int) -> None:
    key = short_id("notice", [ACTOR, kind, facts["state"], now, version])
    change.add(NoticeRecord(key, now, KIND, kind, facts))
    change.note(f"absence.{facts['state']}", kind, facts)
