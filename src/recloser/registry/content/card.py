"""Owns the model card of a release: what it is for, where it is valid, what it cannot do. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recloser.core import format_utc
from recloser.registry.content.meaning import FORECAST, meaning_of
from recloser.registry.content.schema import InputColumn
from recloser.registry.facts import PackageFacts


def card_document(
    facts: PackageFacts, areas: Sequence[str], columns: Sequence[InputColumn], calibration: Mapping[str, Any]
) -> dict[str, Any]:
    """Return card.json.

    Args:
        facts: what the package says about itself.
        areas: areas in the training rows.
        columns: inputs with the ranges seen.
        calibration: how the quantiles were brought to their levels; empty where the model does not say.
    """
    first, last = facts.training_window
    meaning = meaning_of(facts.model_kind)
    return {
        "format": "recloser-card/1",
        "model": {"kind": facts.model_kind, "quantiles": list(facts.quantiles), "calibration": dict(calibration)},
        "intended_use": meaning.intended,
        "not_for": list(meaning.not_for),
        "validity": {
            "areas": sorted(areas),
            "trained_from": format_utc(first),
            "trained_to": format_utc(last),
            "ranges": {
                c.name: [c.minimum, c.maximum, meaning.unit_of(c.name, c.unit)]
                for c in columns
                if c.minimum is not None
            },
            "missing": {c.name: c.missing_share for c in columns if c.missing_share},
        },
        "limits": limits_of(facts, columns),
        "metrics": dict(facts.metrics),
        "fallback": meaning.fallback,
    }


def limits_of(facts: PackageFacts, columns: Sequence[InputColumn]) -> list[str]:
    """Return what is known to be weak, in sentences drawn from the facts."""
    first, last = facts.training_window
    days = (last - first).days
    limits = [] if days >= 365 else [f"It saw {days} days: less than a year, so whole seasons are unknown to it."]
    if meaning_of(facts.model_kind) is FORECAST and not any(column.unit == "degC" for column in columns):
        limits.append("It knows no weather.")
    gaps = [column.name for column in columns if column.missing_share > 0.2]
    if gaps:
        limits.append(f"More than a fifth of its training rows lacked: {', '.join(gaps)}.")
    absent = sorted(name for name, number in facts.metrics.items() if number is None)
    if absent:
        limits.append(f"Not measured on the hold-out: {', '.join(absent)}.")
    if facts.commit is None:
        limits.append("The code of the project was in no repository: it cannot be named by a commit.")
    elif facts.commit.dirty:
        limits.append("The project's folder differed from its commit when the model was made.")
    return limits
