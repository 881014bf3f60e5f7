"""Owns the plan of a rollout: how long, how much, how sure. Holds no evidence and takes no decision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import pairwise
from typing import Any

from recloser.core import InvalidInput, unknown_name

APPROVABLE = ("traffic", "promotion")
ALPHA = 0.05
TRIP_ALPHA = 0.01
_LISTS = ("cohort", "approve_before", "approver_roles")


class Promotion(StrEnum):
    """What it takes to promote.

    EVIDENCE: strict betting shows that the canary is less than `margin` worse than the champion.
    NO_EVIDENCE_OF_HARM: the explicitly weaker policy: `harmless_days` closed days without any sign of harm.
    """

    EVIDENCE = "evidence"
    NO_EVIDENCE_OF_HARM = "no_evidence_of_harm"


@dataclass(frozen=True, slots=True)
class CanaryStep:
    """One canary step: a share of the traffic in [0, 1], the least number of days, and areas that go first.

    A step with areas and no share is a wave of its own: the canary answers for those areas alone.
    """

    share: float
    days: float
    cohort: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """How one release is rolled out; all durations in days.

    Attributes:
        shadow_days: least time as shadow, scored on every request and served on none.
        steps: canary steps in order; shares ascend.
        probation_days: watch after the promotion, the former champion kept loaded.
        alpha: level of the strict betting test that promotes, and of the one on probation (T3).
        trip_alpha: level of the strict betting test that ends a trial (T2); together with `pull_alpha` it is what an
            equal candidate may suffer. A plan written before it existed has that of `alpha`.
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
        cohort: areas that go first in every step; empty means by stable hash.
        approve_before: which steps wait for people: `traffic` (the first) and `promotion`.
        approvers: people who must approve, the proposer not among them.
        approver_roles: roles of which at least one person each must approve.

    Raises:
        InvalidInput: a number out of its range, or steps that do not widen.
    """

    shadow_days: float = 7.0
    steps: tuple[CanaryStep, ...] = (CanaryStep(0.1, 2.0), CanaryStep(0.25, 3.0), CanaryStep(0.5, 7.0))
    probation_days: float = 14.0
    alpha: float = ALPHA
    trip_alpha: float = TRIP_ALPHA
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
    approve_before: tuple[str, ...] = ()
    approvers: int = 2
    approver_roles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("alpha", "trip_alpha", "pull_alpha", "divergence_quantile"):
            _require(name, getattr(self, name), "in (0, 1)", ok=0.0 < getattr(self, name) < 1.0)
        for name in ("shadow_days", "probation_days", "label_deadline_days"):
            _require(name, getattr(self, name), ">= 0 days", ok=0.0 <= getattr(self, name) < math.inf)
        for name in ("harmless_days", "divergence_steps", "trip_count", "approvers"):
            _require(name, getattr(self, name), ">= 1", ok=getattr(self, name) >= 1)
        _require("margin", self.margin, "in (0, 1)", ok=0.0 < self.margin < 1.0)
        _require("label_share", self.label_share, "in (0, 1]", ok=0.0 < self.label_share <= 1.0)
        least = max(self.shadow_days + sum(step.days for step in self.steps), self.probation_days)
        _require("deadline_days", self.deadline_days, f"finite and > {least:g} days", ok=least < self.deadline_days)
        _require("deadline_days", self.deadline_days, "finite", ok=self.deadline_days < math.inf)
        unknown = set(self.approve_before) - set(APPROVABLE)
        _require("approve_before", sorted(unknown), f"of {', '.join(APPROVABLE)}", ok=not unknown)
        self._require_steps()

    def _require_steps(self) -> None:
        shares = [step.share for step in self.steps]
        areas = [frozenset(self.cohort_at(index)) for index in range(len(self.steps))]
        reach = list(zip(shares, areas, strict=True))
        wider = all(a <= b and (a < b or first < then) for (a, first), (b, then) in pairwise(reach))
        inside = bool(reach) and all(0.0 <= share <= 1.0 and (share > 0.0 or first) for share, first in reach)
        _require("steps", shares, "shares in (0, 1], ascending, or cohorts that add areas", ok=inside and wider)
        days = [step.days for step in self.steps]
        _require("steps", days, "days >= 0", ok=all(0.0 <= d < math.inf for d in days))

    def cohort_at(self, step: int) -> tuple[str, ...]:
        """Return the areas the canary answers for at a step whatever the share: those of the steps before included."""
        areas = [*self.cohort, *(area for one in self.steps[: step + 1] for area in one.cohort)]
        return tuple(dict.fromkeys(areas))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-ready data; steps as [share, days], with their areas where they name any."""
        data: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        data["steps"] = [
            [float(step.share), float(step.days), *([list(step.cohort)] if step.cohort else [])] for step in self.steps
        ]
        data["promotion"] = str(self.promotion)
        for name in _LISTS:
            data[name] = list(getattr(self, name))
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RolloutPlan:
        """Return the plan written by `to_dict`; keys left out keep their defaults, `trip_alpha` that of `alpha`.

        Raises:
            InvalidInput: a key or a promotion policy that does not exist, or a number out of range.
        """
        known = [field.name for field in fields(cls)]
        for key in data:
            if key not in known:
                raise unknown_name("rollout plan key", key, known, where="rollout plan")
        values = {"trip_alpha": data.get("alpha", ALPHA), **data}
        if "steps" in values:
            values["steps"] = tuple(_step(item) for item in values["steps"])
        if "promotion" in values:
            if values["promotion"] not in {str(p) for p in Promotion}:
                raise unknown_name("promotion policy", str(values["promotion"]), map(str, Promotion), "rollout plan")
            values["promotion"] = Promotion(values["promotion"])
        values |= {name: tuple(values[name]) for name in _LISTS if name in values}
        return cls(**values)


def _step(item: Any) -> CanaryStep:
    if isinstance(item, list | tuple) and len(item) in {2, 3}:
        return CanaryStep(float(item[0]), float(item[1]), tuple(item[2]) if len(item) == 3 else ())
    expected = "[share, days] or [share, days, areas]"
    raise InvalidInput("not a canary step", got=item, expected=expected, where="rollout plan")


def _require(name: str, got: Any, expected: str, *, ok: bool) -> None:
    if not ok:
        raise InvalidInput(f"rollout plan: {name} out of range", got=got, expected=expected, where=f"plan.{name}")
