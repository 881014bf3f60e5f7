"""Owns the forges of a project file and what the ledger wants them to show. Sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from recloser.app.delivery.commits.forge import Forge
from recloser.app.delivery.commits.states import CommitStatus, statuses_of
from recloser.app.delivery.courier import WORTH
from recloser.app.platform import Platform
from recloser.app.security.reaching import client_context
from recloser.core import RecloserError
from recloser.ledger import DeliveryRecord, RolloutRecord, RunRecord, TriggerRecord, VerdictRecord
from recloser.registry import open_package

LATEST = 40
"""So many runs are looked at: a rollout lives for weeks, and runs are days apart."""
FULL = 40
"""Letters of a full commit id."""


def forges_of(platform: Platform) -> tuple[Forge, ...]:
    """Return the forges of the project file; what is missing or wrong fails the status, not the controller."""
    root = platform.layout.root
    return tuple(
        Forge(
            name=section.name,
            kind=section.kind,
            url=section.address,
            repository=section.repository,
            token_file=root / section.token_file,
            context=section.context,
            console=section.console,
            timeout_s=section.timeout_seconds,
            trust=partial(client_context, root, section.tls_ca, section.own, section.name),
        )
        for section in platform.project.notify.forges
    )


class Wanted:
    """What the ledger wants forges to show; remembers which commit a release was made from.

    Args:
        platform: the project.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._made_from: dict[str, str | None] = {}

    def __call__(self) -> Sequence[CommitStatus]:
        """Return all statuses of the latest runs, oldest first.

        Raises:
            Unavailable: the ledger cannot be read now.
        """
        ledger = self._platform.ledger
        runs = ledger.find(RunRecord, order_by="started_at", descending=True, limit=LATEST)
        releases = [run.candidate for run in runs if run.candidate is not None]
        verdicts = {v.release: v for v in ledger.find(VerdictRecord, release=releases, order_by="at")}
        rollouts = {r.release: r for r in ledger.find(RolloutRecord, release=releases, order_by="started_at")}
        asked = ledger.find(TriggerRecord, run=[run.key for run in runs], decision="start")
        commits: dict[str, list[str]] = {run.key: [] for run in runs}
        for record in asked:
            kind, _, commit = record.key.rpartition("/")[0].partition(":")
            if kind == "commit" and len(commit) == FULL:
                commits[str(record.run)].append(commit)
        for run in runs:
            made_from = None if run.candidate is None else self._commit_of(run.candidate)
            if made_from is not None and made_from not in commits[run.key]:
                commits[run.key].append(made_from)
        return statuses_of(runs, commits, verdicts, rollouts)

    def _commit_of(self, release: str) -> str | None:
        """Return the commit that a release was made from; None outside a repository, or if files differed from it."""
        if release not in self._made_from:
            try:
                package = open_package(self._platform.layout.packages / release, self._platform.trusted)
            except RecloserError:
                return None  # not there yet, or no longer believed
            made = package.facts.commit
            self._made_from[release] = None if made is None or made.dirty else made.commit
        return self._made_from[release]


def forge_document(platform: Platform) -> list[dict[str, Any]]:
    """Return a row for each forge, of the form of `delivery_document`: what it was not told yet, and why."""
    rows, since = [], ("at", platform.clock.now() - 2 * WORTH)
    for section in platform.project.notify.forges:
        told = platform.ledger.find(DeliveryRecord, channel=section.name, since=since, order_by="at")
        failing = [record for record in told if record.state == "failing"]
        delivered = [record.at for record in told if record.state == "delivered"]
        rows.append(
            {
                "name": section.name,
                "kind": section.kind,
                "state": "failing" if failing else "ok",
                "waiting": len(failing),
                "since": failing[0].at if failing else None,
                "error": failing[-1].error if failing else None,
                "given_up": sum(record.state == "given_up" for record in told),
                "last_delivered": max(delivered, default=None),
            }
        )
    return rows
