"""Owns what policies are compared on beside accuracy: people's work and CPU time. Scores no forecast."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from recloser.app.project.files import replace_file
from recloser.app.project.settings import Project
from recloser.app.replay.outcome import PolicyResult

STAGE = {"canary": "traffic", "probation": "promotion"}


def human_actions(result: PolicyResult, project: Project) -> int:
    """Return how often somebody would have had to act: faults to see to, rollouts held, approvals asked for.

    What the people of the scenario did counts; without any, each step that the project file wants approved counts once
    per person it needs.

    Args:
        result: what the policy lived through.
        project: its settings.
    """
    approval = project.rollout.approval
    faults = sum(1 for signal in result.signals if signal["class"] == "data_fault")
    held = sum(1 for move in result.rollouts if move["to"] == "held")
    asked = sum(
        approval.people
        for move in result.rollouts
        if move["from"] != move["to"] and STAGE.get(str(move["to"])) in approval.before
    )
    return faults + held + (len(result.acts) or asked)


def write_costs(cpu_s: Mapping[str, float], folder: Path) -> Path:
    """Write `costs.json`, the CPU seconds of each policy: apart from the report, which is the same every time."""
    costs = {"policies": {name: {"cpu_s": round(spent, 1)} for name, spent in cpu_s.items()}}
    return replace_file(folder / "costs.json", json.dumps(costs, indent=1).encode())
