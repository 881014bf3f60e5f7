"""Owns what the answers of a kind of model are: their unit, what they are for, and how to say so. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SUFFIXES = {"_hz_s": "Hz/s", "_hz": "Hz", "_rad_s": "rad/s", "_rad": "rad", "_second": "1", "_low": "1", "_high": "1"}


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a model's answers are.

    Attributes:
        unit: of the answers.
        note: about them, for the schema.
        intended: what the model is for, for the card.
        not_for: what it is not for.
        fallback: what answers when it cannot.
        columns: units of context columns that are not those of a forecast.
        own_units: the end of a feature's name tells its unit, else it is a number; False where series tell them.
    """

    unit: str
    note: str
    intended: str
    not_for: tuple[str, ...]
    fallback: str
    columns: Mapping[str, str] = field(default_factory=dict)
    own_units: bool = False

    def unit_of(self, column: str, told: str) -> str:
        """Return the unit of an input column, `told` where this kind of model has no other."""
        if column in self.columns:
            return self.columns[column]
        if not self.own_units or told in {"", "UTC", "h"}:
            return told
        return next((unit for suffix, unit in SUFFIXES.items() if column.endswith(suffix)), "1")


FORECAST = Meaning(
    unit="MW",
    note="mean power of the interval; null where scale_mw or every feature is missing; quantiles never cross",
    intended=(
        "Day-ahead forecasts of electric load by area, as quantiles in MW, for planning, under the watch of a person "
        "and behind a gateway that checks every answer."
    ),
    not_for=(
        "control of equipment, protection, or any decision in less than a day",
        "areas that it was not trained on",
        "inputs outside the ranges in schema.json: tree models do not extrapolate, they answer as at the edge",
        "billing or settlement",
    ),
    fallback="seasonal naive and persistence, in model/fallback, answer when it cannot",
)
DETECTION = Meaning(
    unit="1",
    note=(
        "probability, 0 to 1, that the window shows the class of event that the row's area names, held by the level "
        "0.5; null where every feature is missing or the class is unknown; classes need not add up to 1"
    ),
    intended=(
        "Detection of grid events in windows of synchrophasors, as a probability for each class, for the attention of "
        "a person and behind a gateway that checks every answer."
    ),
    not_for=(
        "control of equipment or protection",
        "classes of event that it was not trained on",
        "inputs outside the ranges in schema.json: tree models do not extrapolate, they answer as at the edge",
        "an alarm from one window alone: neighbouring windows overlap",
    ),
    fallback="what stands in model/fallback answers when it cannot",
    columns={"area": "class of event", "at": "UTC, end of the window", "scale_mw": "1 (nothing is scaled)"},
    own_units=True,
)
MEANINGS = {"event_detector": DETECTION}


def meaning_of(model_kind: str) -> Meaning:
    """Return what the answers of a kind of model are; a kind that is not known forecasts."""
    return MEANINGS.get(model_kind, FORECAST)
