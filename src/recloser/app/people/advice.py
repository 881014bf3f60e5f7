"""Owns the answer to how often people follow the advice, over all time or since an instant. Judges nobody."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from recloser.app.platform import Platform
from recloser.ledger import ActRecord
from recloser.rollout import agreement


def told_agreement(folder: Path, *, since: datetime | None) -> dict[str, Any]:
    """Return how often people followed the machine's advice.

    Args:
        folder: project.
        since: only acts from this instant on (aware UTC); None: all.

    Returns:
        {"since", "advised", "followed", "against", "share", "by_kind", "by_person", "reasons_against", "sentence"}.
    """
    with Platform.open(folder) as platform:
        return agreement_in(platform, since=since)


def agreement_in(platform: Platform, *, since: datetime | None) -> dict[str, Any]:
    """Return the same of an open project; see `told_agreement`."""
    acts = [act for act in platform.ledger.find(ActRecord, order_by="at") if since is None or act.at >= since]
    told = agreement(acts)
    people = sorted({act.name for act in acts})
    each = [{"name": name, **agreement([act for act in acts if act.name == name])} for name in people]
    rows = [{key: row[key] for key in ("name", "advised", "followed", "against", "share")} for row in each]
    sentence = "nobody has decided anything that the machine had advised on"
    if told["advised"]:
        sentence = f"people followed the advice {told['followed']} of {told['advised']} times ({told['share']:.0%})"
    return {"since": since, **told, "by_person": rows, "sentence": sentence}
