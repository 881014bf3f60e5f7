"""Owns who stands behind a release by the ledger: askers of its run, authors of its commit, givers of its waivers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recloser.app.platform import Platform
from recloser.ledger import Ledger, ReleaseRecord, RunRecord, TriggerRecord
from recloser.rollout import Proposers
from recloser.staging import WAIVE

ASK = "run.ask"
"""Action of the audit entry that says who asked for a run at the command line."""


def ask_for_run(platform: Platform, run: str, actor: str) -> None:
    """Write down who asks for a run before it begins, so that no release comes into being without him; once a person.

    A run that is done is asked for by nobody any more: what it brought has its proposers.
    """
    known = platform.ledger.get(RunRecord, run)
    if (known is not None and known.state == "done") or actor in _askers(platform.ledger, run):
        return
    with platform.ledger.change(actor, platform.clock.now()) as change:
        change.note(ASK, run, {"asked_by": [actor]})


def proposers_of(platform: Platform, release: str, asked_by: Iterable[str] = ()) -> Proposers:
    """Return the people behind a release, those the project names apart from strangers.

    Args:
        platform: ledger and project file.
        release: id of the release.
        asked_by: who asks for its rollout now.
    """
    record = platform.ledger.get(ReleaseRecord, release)
    found = [*asked_by, *_waived_by(platform.ledger, release)]
    if record is not None:
        found += _askers(platform.ledger, record.run)
    approval = platform.project.rollout.approval
    named = {name: approval.person(name) for name in dict.fromkeys(found)}
    known = tuple(dict.fromkeys(person for person in named.values() if person is not None))
    return Proposers(known, tuple(name for name, person in named.items() if person is None)).joined(Proposers())


def _askers(ledger: Ledger, run: str) -> list[str]:
    """Return who asked for a run: at the command line, or by the trigger that started it."""
    found = list(_said(ledger, run, ASK))
    for record in ledger.find(TriggerRecord, run=run):
        found += _said(ledger, record.key, "trigger.start")
        for entry in ledger.entries(subject=record.key.rpartition("/")[0]):
            if entry.action in {"trigger.request", "trigger.merge"}:
                found += map(str, entry.facts.get("asked_by") or [entry.actor])
    return list(dict.fromkeys(found))


def _said(ledger: Ledger, subject: str, action: str) -> Iterator[str]:
    for entry in ledger.entries(subject=subject):
        if entry.action == action:
            yield from map(str, entry.facts.get("asked_by", ()))


def _waived_by(ledger: Ledger, release: str) -> list[str]:
    return [str(entry.facts["name"]) for entry in ledger.entries(subject=release) if entry.action == WAIVE]
