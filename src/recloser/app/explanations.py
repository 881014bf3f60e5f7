"""Owns the answers to why a rollout is where it is, by an id that may be misspelt. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.evidence import freezes_of
from recloser.app.platform import Platform
from recloser.app.verbs import newest_instant
from recloser.core import InvalidInput, VirtualClock, nearest
from recloser.ledger import ReleaseRecord, RolloutRecord
from recloser.rollout import Evidence, Rollout, explain, freeze_reason


def explain_rollout(folder: Path, identifier: str) -> dict[str, Any]:
    """Return why a rollout is where it is and what would change it.

    Raises:
        InvalidInput: no such rollout or release.
    """
    with Platform.open(folder) as platform:
        records = platform.ledger.find(RolloutRecord, order_by="started_at")
        chosen = [record for record in records if identifier in {record.key, record.release}]
        if not chosen:
            if platform.ledger.get(ReleaseRecord, identifier) is not None:
                raise InvalidInput(
                    "this release was never rolled out",
                    got=identifier,
                    expected="a release that passed the gate",
                    next_step=f"See `recloser gate explain {identifier}`.",
                )
            raise none_of("no such rollout", identifier, [name for r in records for name in (r.release, r.key)])
        rollout = Rollout.from_record(chosen[-1])
        frozen = freeze_reason(freezes_of(platform, platform.today()))
        loop = ControlLoop(platform, LoopOptions())
        if not rollout.finished:
            platform.clock = VirtualClock(newest_instant(platform))
        seen = loop.controller.inspect(loop.evidence, rollout.key)
        evidence = Evidence() if seen is None else seen[1]
        document = explain(rollout, replace(evidence, freeze=frozen), platform.clock.now())
        return {**document, "sentences": rollout_sentences(document)}


def none_of(what: str, got: str, known: Sequence[str]) -> InvalidInput:
    """Build the error about an id that nothing bears; the nearest and the newest ones are named."""
    guess = nearest(got, known)
    some = ", ".join(dict.fromkeys(known[:20]))
    return InvalidInput(
        what,
        got=got,
        expected=f"one of {some}" if known else "an id; there is none yet",
        next_step=f"Did you mean {guess!r}?" if guess else "See `recloser status`." if known else "Run: recloser run",
    )


def rollout_sentences(document: Mapping[str, Any]) -> list[str]:
    """Return the explanation of a rollout as lines for people."""
    lines = [f"{document['release']}: {document['state']} since {document['since']} - {document['reason']}"]
    following = document["next"]
    lines.append(f"Next tick: {following['state']} - {following['reason']}")
    asked = document["approval"]
    if asked is not None:
        lines.append(f"Evidence to approve: {asked['case']}")
        lines += [f"Approved: by {row['name']} ({row['role']}), until {row['expires_at']}" for row in asked["given"]]
    lines += [f"To advance: {line}" for line in document["would_advance"]]
    lines += [f"Would end it: {line}" for line in document["would_end"]]
    return lines
