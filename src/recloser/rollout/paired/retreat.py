"""Owns whether somebody else would have served better on recent days, by paired losses. Pure; switches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from statistics import NormalDist
from typing import Any

import numpy as np

from recloser.core import FloatArray
from recloser.rollout.paired.losses import Loss
from recloser.rollout.paired.pairing import AreaDay, area_losses
from recloser.rollout.paired.sequence import sequence_bounds


@dataclass(frozen=True, slots=True)
class RetreatPlan:
    """When another one counts as better than who serves.

    Attributes:
        days: newest closed days that are looked at.
        gain: part of the serving loss that it must have saved.
        alpha: level of the anytime-valid bound on the mean saving, all looks and all rivals together.
        newest: days at the end on which it must have saved too: what is over is no reason to switch.
        areas: part of the areas that a day must tell of.
    """

    days: int = 14
    gain: float = 0.05
    alpha: float = 0.05
    newest: int = 3
    areas: float = 0.5


@dataclass(frozen=True, slots=True)
class LossDay:
    """Both mean losses of one closed day over areas, each area's over its scale; the loss of who served first.

    Attributes:
        day: local day.
        served: loss of who serves, no unit.
        rival: loss that the other one would have had on the same points.
        areas: how many areas entered.
    """

    day: date
    served: float
    rival: float
    areas: int


@dataclass(frozen=True, slots=True)
class Rival:
    """Who could serve instead, and how it would have done.

    Attributes:
        name: release, or rung of the ladder.
        release: True for a release that was champion before, False for a rung.
        days: closed days compared.
        served, loss: mean loss of who serves, and its own on the same points; NaN without a day.
        lower: lower bound of the mean daily saving, valid at every look, no unit; -inf with few days.
        newest: mean saving of the newest days.
        better: it counts as better by the plan.
    """

    name: str
    release: bool
    days: int
    served: float
    loss: float
    lower: float
    newest: float
    better: bool

    @property
    def gain(self) -> float:
        """Part of the serving loss that it would have saved; negative where it would have been worse."""
        return 1.0 - self.loss / self.served if self.served > 0.0 else float("nan")

    def sentence(self) -> str:
        """Return how it would have done, in plain words."""
        name = self.name.replace("_", " ")
        if not self.days or not np.isfinite(self.gain):
            return f"{name} cannot be compared: no closed day tells of it"
        word = "less" if self.gain >= 0.0 else "more"
        sure = "surely better" if self.better else "not surely better"
        days = "1 day" if self.days == 1 else f"{self.days} days"
        return f"{name} would have lost {abs(self.gain):.0%} {word} over {days} ({sure})"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data; a number that is not known is None."""
        numbers = {"served": self.served, "loss": self.loss, "lower": self.lower, "newest": self.newest}
        known = {name: float(number) if np.isfinite(number) else None for name, number in numbers.items()}
        return {"name": self.name, "release": self.release, "days": self.days, **known, "better": self.better}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rival:
        """Return what `to_dict` wrote."""
        absent = {"served": np.nan, "loss": np.nan, "lower": -np.inf, "newest": np.nan}
        numbers = {name: other if data[name] is None else float(data[name]) for name, other in absent.items()}
        return cls(data["name"], data["release"], data["days"], better=data["better"], **numbers)


@dataclass(frozen=True, slots=True)
class Harm:
    """A change of the relation that makes the champion's forecasts worse now, and who could serve instead.

    Attributes:
        signals: keys of the signals that ask.
        critical: one says that the champion does worse than the naive floor.
        reason: the sentence of the most severe signal.
        rivals: who could serve instead, the smallest loss first.
    """

    signals: tuple[str, ...]
    critical: bool
    reason: str
    rivals: tuple[Rival, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        told = [rival.to_dict() for rival in self.rivals]
        return {"signals": list(self.signals), "critical": self.critical, "reason": self.reason, "rivals": told}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Harm:
        """Return what `to_dict` wrote."""
        rivals = tuple(Rival.from_dict(item) for item in data["rivals"])
        return cls(tuple(data["signals"]), bool(data["critical"]), data["reason"], rivals)


def loss_day(day: date, areas: Sequence[AreaDay], loss: Loss, expected: int, plan: RetreatPlan) -> LossDay | None:
    """Return both mean losses of a closed day, or None where it tells of too few areas.

    Args:
        day: local day.
        areas: points by area; `candidate` is who serves, `champion` the rival.
        loss: what one point costs.
        expected: number of areas of the fleet.
        plan: which part of them a day must tell of.
    """
    found = [(mine, theirs) for area in areas for mine, theirs, count in [area_losses(area, loss)] if count]
    if not found or len(found) < plan.areas * expected:
        return None
    mine, theirs = np.mean(np.array(found, dtype=np.float64), axis=0)
    return LossDay(day, float(mine), float(theirs), len(found))


def judged(name: str, days: Sequence[LossDay], plan: RetreatPlan, *, release: bool, rivals: int) -> Rival:
    """Return how a rival would have done on the newest days.

    It counts as better if the lower bound of its mean daily saving lies above zero (`sequence_bounds`, at
    `alpha / rivals`), the saving is worth it, and the newest days agree. The days since a signal are chosen by the harm
    on them, which favours every rival: hence all three.

    Args:
        name: release or rung.
        days: closed days in any order.
        plan: limits.
        release: whether it is a release.
        rivals: how many are compared at once.
    """
    chosen = sorted(days, key=lambda one: one.day)[-plan.days :]
    if not chosen:
        return Rival(name, release, 0, float("nan"), float("nan"), float("-inf"), float("nan"), better=False)
    saved: FloatArray = np.array([one.served - one.rival for one in chosen], dtype=np.float64)
    served = float(np.mean([one.served for one in chosen]))
    level = plan.alpha / max(rivals, 1)
    lower = float(sequence_bounds(saved, _scale(saved, level), level)[0][-1])
    rival = Rival(
        name,
        release,
        len(chosen),
        served,
        float(np.mean([one.rival for one in chosen])),
        lower,
        float(saved[-plan.newest :].mean()),
        better=False,
    )
    return replace(rival, better=lower > 0.0 and rival.newest > 0.0 and rival.gain >= plan.gain)


def _scale(saved: FloatArray, level: float) -> float:
    """Return the sd of the days, widened by what so few of them leave unsure: no staging has measured this pair.

    The factor is Student's quantile over the normal one, by Abramowitz & Stegun (1964), 26.7.5.
    """
    if len(saved) < 2:
        return 1e-9  # no bound before the fifth day anyhow
    z, degrees = NormalDist().inv_cdf(1.0 - level), len(saved) - 1
    wider = 1.0 + (z**2 + 1.0) / (4.0 * degrees) + (5.0 * z**4 + 16.0 * z**2 + 3.0) / (96.0 * degrees**2)
    return max(float(saved.std(ddof=1)) * wider, 1e-9)
