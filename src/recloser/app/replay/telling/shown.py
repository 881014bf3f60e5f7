"""Owns what a replay showed of the lives of rollouts: shadow, canary, trip, recall, approval, rejection."""

from __future__ import annotations

from collections import Counter
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


def missing(policy: Mapping[str, Any]) -> dict[str, str]:
    """Return by stage that never came why it did not, as far as the runs and rollouts tell.

    Args:
        policy: what a policy lived through: rows of runs, rollouts, trips and acts.
    """
    moves, trips, acts = policy["rollouts"], policy["trips"], policy["acts"]
    tried = [run for run in policy["runs"] if run["candidate"] is not None]
    refused = [run for run in tried if run["verdict"] != "pass"]
    begun = {move["release"] for move in moves if move["to"] == "shadow"}
    served = {move["release"] for move in moves if move["to"] == "canary"}
    staged = f"{len(refused)} of {len(tried)} candidates did not pass staging"
    if refused:
        told = Counter(str(run["reason"]).split(":")[0] for run in refused)
        check, count = min(told.items(), key=lambda item: (-item[1], item[0]))
        staged += f", {count} of them by {check}, the last: {refused[-1]['reason']}"
    ended = [move for move in moves if move["to"] in {"rolled_back", "tripped"}]
    shadow = f"no rollout went beyond shadow; the last ended so: {ended[-1]['reason']}" if ended else staged
    why = {
        "shadow": (begun, staged),
        "canary": (served, shadow if begun else staged),
        "trip": (trips, "nothing that went wrong in use was let in" if served else shadow if begun else staged),
        "recall": (any(trip["recalled"] for trip in trips), "no forecast of a tripped release was in use"),
        "approval": (any(act["kind"] == "approve" for act in acts), "nobody approved anything"),
        "rejection": (
            any(act["kind"] == "reject" for act in acts),
            "nothing that they would turn down was put to them",
        ),
    }
    return {name: f"never: {reason}" for name, (came, reason) in why.items() if not came}


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
