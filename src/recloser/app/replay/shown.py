"""Owns what a replay showed of the lives of rollouts: shadow, canary, trip, recall, approval, rejection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

STAGES = ("shadow", "canary", "trip", "recall", "approval", "rejection")


def shown(policy: Mapping[str, Any], zone: ZoneInfo) -> dict[str, str]:
    """Return by stage when it was first seen, and how often; a stage that never came is left out.

    Args:
        policy: what a policy lived through: rows of rollouts, trips and acts.
        zone: of the times told.
    """
    moves, trips, acts = policy["rollouts"], policy["trips"], policy["acts"]
    cohorts = [move for move in moves if move.get("cohort") and move["share"] == 0.0]
    seen: dict[str, Sequence[Mapping[str, Any]]] = {
        "shadow": [move for move in moves if move["to"] == "shadow"],
        "canary": cohorts or [move for move in moves if move["to"] == "canary"],
        "trip": trips,
        "recall": [trip for trip in trips if trip["recalled"]],
        "approval": [act for act in acts if act["kind"] == "approve"],
        "rejection": [act for act in acts if act["kind"] == "reject"],
    }
    return {name: _sentence(name, seen[name], zone) for name in STAGES if seen[name]}


def _sentence(stage: str, rows: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> str:
    first = rows[0]
    at: datetime = first["at"]
    what = {
        "shadow": lambda: f"{first['release']} answered beside the champion and served nobody",
        "canary": lambda: f"{first['release']} served {_reach(first)}",
        "trip": lambda: f"{first['release']} was stopped by {first['tier']}",
        "recall": lambda: f"{first['recalled']} forecasts of {first['release']} void and issued again",
        "approval": lambda: f"{first['name']} ({first['role']}) approved {first['release']}",
        "rejection": lambda: f"{first['name']} ({first['role']}) turned down {first['release']}: {first['reason']}",
    }[stage]()
    times = "once" if len(rows) == 1 else f"{len(rows)} times"
    return f"{times}; first {at.astimezone(zone):%Y-%m-%d %H:%M}: {what}"


def _reach(move: Mapping[str, Any]) -> str:
    share = f"{100 * move['share']:g} % of the traffic"
    cohort = ", ".join(move.get("cohort", ()))
    if not cohort:
        return share
    return f"the pilot areas {cohort}" + (f" and {share}" if move["share"] else " alone")
