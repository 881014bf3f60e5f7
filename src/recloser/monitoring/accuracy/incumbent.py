"""Owns how an operator's own forecast does, day by day, beside the champion and the naive floor. Takes no action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import numpy as np

from recloser.core import FloatArray
from recloser.monitoring.performance import midnight, standard_error
from recloser.monitoring.signal import Signal, signal_key


@dataclass(frozen=True, slots=True)
class GivenDay:
    """One area's local day with an operator's forecast; all means in MW over the points that all of them have.

    Attributes:
        day: local date.
        points: how many.
        load: mean absolute load.
        absolute, signed: mean absolute error, and mean of (load - forecast).
        naive: mean absolute error of the same time a week before; NaN where that is not known.
        ours: mean absolute error of the champion; NaN where it did not answer.
    """

    day: date
    points: int
    load: float
    absolute: float
    signed: float
    naive: float
    ours: float

    def to_row(self) -> list[float | None]:
        """Return it as JSON-ready data, without the day."""
        numbers = (self.load, self.absolute, self.signed, self.naive, self.ours)
        return [self.points, *(round(x, 6) if np.isfinite(x) else None for x in numbers)]

    @classmethod
    def from_row(cls, day: date, row: Sequence[float | None]) -> GivenDay:
        """Return what `to_row` wrote."""
        return cls(day, int(row[0] or 0), *(float("nan") if x is None else float(x) for x in row[1:6]))


@dataclass(frozen=True, slots=True)
class GivenPlan:
    """When something is said of an operator's forecast.

    Attributes:
        days: newest days judged together.
        least_days: below this nothing is said.
        bias: mean signed error that counts, as a share of the load.
        sigmas: standard errors over days by which the bias must stand out.
        floor: error over the naive floor's that counts.
    """

    days: int = 28
    least_days: int = 20
    bias: float = 0.025
    sigmas: float = 2.0
    floor: float = 1.0

    @property
    def lasting(self) -> GivenPlan:
        """The limits below which what was said is over: well below those by which it is said."""
        return replace(self, bias=0.6 * self.bias, sigmas=0.5 * self.sigmas, floor=0.9 * self.floor)


def given_summary(days: Sequence[GivenDay], plan: GivenPlan) -> dict[str, Any] | None:
    """Return how the forecast did over the newest days, None without any; percent of the load.

    Keys: first, last, days, error_pct, bias_pct (positive: load was higher), naive_pct, champion_pct (None where not
    known), better ('incumbent', 'champion', or None where the paired days do not tell).
    """
    chosen = _newest(days, plan)
    if not chosen:
        return None
    load = _mean([one.load for one in chosen])
    naive, ours = [one for one in chosen if np.isfinite(one.naive)], [one for one in chosen if np.isfinite(one.ours)]
    return {
        "first": chosen[0].day.isoformat(),
        "last": chosen[-1].day.isoformat(),
        "days": len(chosen),
        "error_pct": _percent(_mean([one.absolute for one in chosen]), load),
        "bias_pct": _percent(_mean([one.signed for one in chosen]), load),
        "naive_pct": _percent(_mean([one.naive for one in naive]), _mean([one.load for one in naive])),
        "champion_pct": _percent(_mean([one.ours for one in ours]), _mean([one.load for one in ours])),
        "better": _better(ours, plan),
    }


def given_signals(area: str, days: Sequence[GivenDay], name: str, plan: GivenPlan, now: datetime) -> list[Signal]:
    """Return what is wrong with the forecast's level and skill over the newest days; empty if nothing or too few days.

    Args:
        area: whose forecast.
        days: its days in order.
        name: of the forecast, as people call it.
        plan: limits.
        now: aware UTC.
    """
    chosen = _newest(days, plan)
    if len(chosen) < plan.least_days:
        return []
    found = []
    load = _mean([one.load for one in chosen])
    signed = np.array([one.signed for one in chosen]) / load
    bias, margin = float(signed.mean()), plan.sigmas * standard_error(signed)
    if abs(bias) >= plan.bias and abs(bias) > margin:
        side = "above" if bias > 0 else "below"
        text = f"Load of {area} was {abs(bias):.1%} {side} the {name} over {len(chosen)} days."
        found.append(_signal("bias", area, chosen, text, {"bias": bias, "margin": margin}, now))
    both = [one for one in chosen if np.isfinite(one.naive)]
    if len(both) >= plan.least_days:
        own, floor = _mean([one.absolute for one in both]), _mean([one.naive for one in both])
        if own > plan.floor * floor:
            text = (
                f"The {name} of {area} was {own / load:.1%} off over {len(both)} days: "
                f"the load of a week before was {floor / load:.1%} off."
            )
            found.append(_signal("floor", area, both, text, {"error": own / load, "naive": floor / load}, now))
    return found


def _signal(
    kind: str, area: str, days: Sequence[GivenDay], reason: str, numbers: dict[str, float], now: datetime
) -> Signal:
    since = midnight(days[0].day)
    key = signal_key("degradation", f"incumbent:{kind}", (area,), since)
    evidence = {"kind": kind, "days": len(days), **numbers}
    return Signal(key, now, "degradation", "warning", (area,), since, reason, evidence)


def _better(days: Sequence[GivenDay], plan: GivenPlan) -> str | None:
    """Return who was surely better by paired days, None where that is open."""
    if len(days) < plan.least_days:
        return None
    apart: FloatArray = np.array([one.ours - one.absolute for one in days], dtype=np.float64)
    mean = float(apart.mean())
    if abs(mean) <= plan.sigmas * standard_error(apart):
        return None
    return "incumbent" if mean > 0 else "champion"


def _newest(days: Sequence[GivenDay], plan: GivenPlan) -> list[GivenDay]:
    return sorted(days, key=lambda one: one.day)[-plan.days :]


def _mean(numbers: Sequence[float]) -> float:
    return float(np.mean(numbers)) if len(numbers) else float("nan")


def _percent(part: float, whole: float) -> float | None:
    return 100.0 * part / whole if np.isfinite(part) and np.isfinite(whole) and whole > 0 else None
