"""Owns the arithmetic of the tables: rates with Poisson intervals, shares with Wilson ones, operating points."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from driver import Method, Unit, delays, false_alarms
from scipy.stats import chi2

WITHIN = 9


@dataclass
class Point:
    """A method at one strictness.

    Attributes:
        strictness: factor on its limits.
        alarms: unit -> false alarms.
        delays: unit -> kind of change -> delays in days, inf where missed.
    """

    strictness: float
    alarms: dict[str, int] = field(default_factory=dict)
    delays: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def rate(self, units: list[Unit]) -> float:
        return sum(self.alarms[unit.name] for unit in units) / len(units)

    def of(self, units: list[Unit], kind: str) -> list[float]:
        return [day for unit in units for day in self.delays[unit.name].get(kind, [])]


def measure(method: Method, strictness: tuple[float, ...], units: list[Unit]) -> list[Point]:
    """Run a method over all units at each strictness."""
    points = []
    for value in strictness:
        point = Point(value)
        for unit in units:
            make = method(unit.history, value)
            point.alarms[unit.name] = false_alarms(make, unit.lived)
            point.delays[unit.name] = delays(make, unit.windows)
        points.append(point)
    return points


def matched(points: list[Point], units: list[Unit], most: float) -> Point | None:
    """Return the most sensitive point whose false alarms keep to `most` a series-year on these units."""
    fitting = [point for point in points if point.rate(units) <= most]
    return max(fitting, key=lambda point: (point.rate(units), -point.strictness), default=None)


def poisson(count: int, years: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate (Garwood 1936)."""
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return float(low / years), float(chi2.ppf(0.975, 2 * count + 2) / 2 / years)


def wilson(found: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    if not total:
        return 0.0, 1.0
    p, z = found / total, 1.96
    middle, half = p + z * z / (2 * total), z * np.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return max(0.0, float((middle - half) / (1 + z * z / total))), min(
        1.0, float((middle + half) / (1 + z * z / total))
    )


def share(delays: list[float], within: float = WITHIN) -> str:
    """Return 'share found within so many days [interval], median delay'."""
    found = sum(day <= within for day in delays)
    low, high = wilson(found, len(delays))
    middle = float(np.median(delays)) if delays else float("inf")
    text = "missed" if not np.isfinite(middle) else f"{middle:.0f} d"
    return f"{100 * found / max(1, len(delays)):.0f} % [{100 * low:.0f}-{100 * high:.0f}], {text}"


def alarms(point: Point, units: list[Unit]) -> str:
    """Return 'rate [interval]'."""
    count = sum(point.alarms[unit.name] for unit in units)
    low, high = poisson(count, len(units))
    return f"{count / len(units):.2f} [{low:.2f}-{high:.2f}]"
