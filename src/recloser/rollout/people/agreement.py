"""Owns the agreement statistics: how often people followed the machine's advice. Reads nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from recloser.ledger import ActRecord


def agreement(acts: Iterable[ActRecord]) -> dict[str, Any]:
    """Return how often people followed the advice, JSON-ready.

    A person's approvals of one case count once. Advice is what `decide` would have done: a promotion that waits is
    advised, and so is a rollout that goes on; an approval follows it, while a rejection, an override and an operator's
    rollback go against it. Hold and resume are neither.

    Keys: advised, followed, against, share (None without any), by_kind, reasons_against (latest last, at most ten).
    """
    counted = {(a.rollout, a.evidence_digest, a.name, a.kind, "" if a.kind == "approve" else a.key): a for a in acts}
    ordered = sorted(counted.values(), key=lambda act: (act.at, act.key))
    judged = [act for act in ordered if act.followed is not None]
    followed = sum(1 for act in judged if act.followed)
    against = [act for act in judged if not act.followed]
    return {
        "advised": len(judged),
        "followed": followed,
        "against": len(against),
        "share": followed / len(judged) if judged else None,
        "by_kind": dict(sorted(Counter(act.kind for act in ordered).items())),
        "reasons_against": [{"kind": act.kind, "release": act.release, "reason": act.reason} for act in against[-10:]],
    }
