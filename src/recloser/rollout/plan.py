"""Owns the plan of a rollout: how long, how much, how sure. Holds no evidence and takes no decision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import pairwise
from typing import Any

from recloser.core import InvalidInput, unknown_name


class Promotion(StrEnum):
    """What it takes to promote.

    EVIDENCE: strict betting shows that the canary is less than `margin` worse than the champion.
    NO_EVIDENCE_OF_HARM: the explicitly weaker policy: `harmless_days` closed days without any sign of harm.
    """

    EVIDENCE = "evidence"
    NO_EVIDENCE_OF_HARM = "no_evidence_of_harm"


@dataclass(frozen=True, slots=True)
class CanaryStep:
    """One canary step: the share of the traffic in (0, 1] and the least number of days at it."""

    share: float
    days: float


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """How one release is rolled out; all durations in days.

    Attributes:
        shadow_days: least time as shadow, scored on every request and served on none.
        steps: canary steps in order; shares ascend.
        probation_days: watch after the promotion, the former champion kept loaded.
        alpha: level of each strict betting test (both directions).
        pull_alpha: level of the asymptotic sequence, which may only pull traffic.
        margin: how much worse than the champion still counts as not worse; part of the champion's staging loss.
        promotion: see `Promotion`.
        harmless_days: closed days wanted by the weaker policy.
        divergence_quantile: staging quantile of |candidate - champion| that is the divergence limit (T1).
        divergence_steps: consecutive steps over that limit which trip.
        deadline_days: counted from the start of the shadow, and again from the promotion; then rollback.
        label_deadline_days: a day not closed this long after its end closes with the labels it has.
        label_share: part of an area's points of a day that must have truth for the area to count, in (0, 1].
        trip_count: guard incidents of the model itself (T0) which trip.
        cohort: areas that go first; empty means by stable hash.

    Raises:
        InvalidInput: a number out of its range, or shares that do not ascend.
    """

    shadow_days: float = 7.0
    steps: tuple[CanaryStep, ...] = (CanaryStep(0.1, 2.0), CanaryStep(0.25, 3.0), CanaryStep(0.5, 7.0))
    probation_days: float = 14.0
    alpha: float = 0.05
    pull_alpha: float = 0.025
    margin: float = 0.05
    promotion: Promotion = Promotion.EVIDENCE
    harmless_days: int = 14
    divergence_quantile: float = 0.999
    divergence_steps: int = 2
    deadline_days: float = 60.0
    label_deadline_days: float = 3.0
    label_share: float = 0.75
    trip_count: int = 3
    cohort: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("alpha", "pull_alpha", "divergence_quantile"):
            _require(name, getattr(self, name), "in (0, 1)", ok=0.0 < getattr(self, name) < 1.0)
        for name in ("shadow_days", "probation_days", "label_deadline_days"):
            _require(name, getattr(self, name), ">= 0 days", ok=0.0 <= getattr(self, name) < math.inf)
        for name in ("harmless_days", "divergence_steps", "trip_count"):
            _require(name, getattr(self, name), ">= 1", ok=getattr(self, name) >= 1)
        _require("margin", self.margin, "in (0, 1)", ok=0.0 < self.margin < 1.0)
        _require("label_share", self.label_share, "in (0, 1]", ok=0.0 < self.label_share <= 1.0)
        least = max(self.shadow_days + sum(step.days for step in self.steps), self.probation_days)
        _require("deadline_days", self.deadline_days, f"finite and > {least:g} days", ok=least < self.deadline_days)
        _require("deadline_days", self.deadline_days, "finite", ok=self.deadline_days < math.inf)
        self._require_steps()

    def _require_steps(self) -> None:
        shares = [step.share for step in self.steps]
        ascending = all(earlier < later for earlier, later in pairwise(shares))
        inside = bool(shares) and all(0.0 < share <= 1.0 for share in shares)
        _require("steps", shares, "at least one share in (0, 1], ascending", ok=inside and ascending)
        days = [step.days for step in self.steps]
        _require("steps", days, "days >= 0", ok=all(0.0 <= d < math.inf for d in days))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-ready data; steps as [share, days] pairs."""
        data: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        data["steps"] = [[step.share, step.days] for step in self.steps]
        data["promotion"] = str(self.promotion)
        data["cohort"] = list(self.cohort)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RolloutPlan:
        """Return the plan written by `to_dict`; keys left out keep their defaults.

        Raises:
            InvalidInput: a key or a promotion policy that does not exist, or a number out of range.
        """
        known = [field.name for field in fields(cls)]
        for key in data:
            if key not in known:
                raise unknown_name("rollout plan key", key, known, where="rollout plan")
        values = dict(data)
        if "steps" in values:
            values["steps"] = tuple(_step(item) for item in values["steps"])
        if "promotion" in values:
            if values["promotion"] not in {str(p) for p in Promotion}:
                raise unknown_name("promotion policy", str(values["promotion"]), map(str, Promotion), "rollout plan")
            values["promotion"] = Promotion(values["promotion"])
        if "cohort" in values:
            values["cohort"] = tuple(values["cohort"])
        return cls(**values)


def _step(item: Any) -> CanaryStep:
    if isinstance(item, list | tuple) and len(item) == 2:
        return CanaryStep(float(item[0]), float(item[1]))
    raise InvalidInput("a canary step is a pair", got=item, expected="[share, days]", where="rollout plan")


def _require(name: str, got: Any, expected: str, *, ok: bool) -> None:
    if not ok:
        raise InvalidInput(f"rollout plan: {name} out of range", got=got, expected=expected, where=f"plan.{name}")
