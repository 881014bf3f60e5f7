"""Owns whose name a name of the provider is: it belongs to the first who bore it, until it is freed. Proves nobody."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

from recloser.app.clock import SystemClock
from recloser.app.project.layout import Layout
from recloser.app.project.settings import load_project
from recloser.core import InvalidInput, Refused
from recloser.ledger import Change, Ledger, StateRecord


def owner_key(name: str) -> str:
    """Return where it is kept whose name a name is, however it is written."""
    return f"console.owner/{hashlib.sha256(name.casefold().encode()).hexdigest()}"


class Ownership:
    """Whose name a name is, as read from the ledger; to be claimed in the change that lets its bearer in.

    Args:
        ledger: of the project.
        name: of a person.
    """

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._name = name
        self._known = ledger.stored(StateRecord, owner_key(name))

    def claim(self, change: Change, now: datetime, issuer: str, subject: str) -> None:
        """Keep the name for a person of the provider from `now` (aware UTC) on.

        Raises:
            Refused: it is another person's.
        """
        owner = {"name": self._name, "issuer": issuer, "subject": subject}
        known = self._known
        if known is not None and "freed" not in known.record.state:
            if {**known.record.state, "name": self._name} == owner:
                return
            raise Refused(
                "this name is another person's",
                got=self._name,
                where="console.oidc",
                next_step=f"If it was given anew: recloser account free {self._name!r}.",
            )
        version = 0 if known is None else known.version
        change.put(StateRecord(owner_key(self._name), now, owner), expected_version=version)


def free_name(folder: Path, *, name: str) -> dict[str, Any]:
    """Free a name of the provider: the next who bears it may keep it.

    Returns:
        {"name", "former"}: who had it, as the provider's subject.

    Raises:
        InvalidInput: nobody has it.
    """
    layout, project, now = Layout(folder), load_project(folder), SystemClock().now()
    layout.make()
    with Ledger.open(layout.ledger_at(project.ledger.url, project.ledger.url_file)) as ledger:
        known = ledger.stored(StateRecord, owner_key(name))
        if known is None or "freed" in known.record.state:
            raise InvalidInput("a name that nobody of the provider has", got=name, where="account free")
        former = str(known.record.state["subject"])
        with ledger.change("operator", now) as change:
            freed = StateRecord(owner_key(name), now, {**known.record.state, "freed": True})
            change.put(freed, expected_version=known.version)
            change.note("account.free", name, {"former": former})
    return {"name": name, "former": former}
