"""Owns what is told of operators' forecasts: how each does beside ours, and what is wrong with it. Watches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from recloser.app.loop.upstream.record import given_days, incumbent_state
from recloser.app.platform import Platform
from recloser.monitoring.accuracy.incumbent import GivenPlan, given_summary

LATELY = 2  # months that hold the newest four weeks


def incumbent_document(platform: Platform, *, open_only: bool = True) -> dict[str, Any] | None:
    """Return how the operators' forecasts did over the newest four weeks, and the signals about them, JSON-ready.

    Args:
        platform: the project.
        open_only: leave out signals that are over.

    Returns:
        {"name", "lately": area -> `given_summary` or None, "signals"}; None where no area has such a forecast, or the
        project does not watch them.
    """
    state, name = incumbent_state(platform), platform.project.monitoring.incumbent
    if not state.areas or not name:
        return None
    days = given_days(platform, date.fromisoformat(state.last_day), LATELY)
    areas = {area: given_summary([one.given for one in days.get(area, ())], GivenPlan()) for area in state.areas}
    told = [one.to_dict() for one in state.told if one.closed_at is None or not open_only]
    return {"name": name, "lately": areas, "signals": told}


def incumbent_sentences(document: Mapping[str, Any] | None) -> list[str]:
    """Return the same as lines for people."""
    if document is None:
        return []
    name, lines = document["name"], []
    for area, row in document["lately"].items():
        if row is None or row["error_pct"] is None:
            continue
        ours = "" if row["champion_pct"] is None else f", ours {row['champion_pct']:.1f} %"
        better = {"incumbent": "; it is better", "champion": "; ours is better"}.get(row["better"], "")
        error = f"{row['error_pct']:.1f} % off over {row['days']} days (bias {row['bias_pct']:+.1f} %)"
        lines.append(f"The {name} of {area} was {error}{ours}{better}.")
    return [*lines, *(f"Open, of the {name}: {one['reason']}" for one in document["signals"])]
