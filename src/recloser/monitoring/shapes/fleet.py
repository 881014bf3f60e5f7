"""Owns which issues of a fleet are odd, by cause, with the share of false finds under control. Trips nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recloser.core import FloatArray
from recloser.monitoring.shapes.issue import IssueShape

CAUSES = ("level", "amplitude", "lag")
LEVEL_LEAST, LEVEL_FACTOR = 0.08, 3.0
AMPLITUDE_LEAST, AMPLITUDE_FACTOR = 0.8, 4.0
GAIN_LEAST = math.log(1.3)
POWER = 4.0
FALSE_SHARE = 0.05
FLEET_SHARE = 0.2
LEAST_AREAS = 2


@dataclass(frozen=True, slots=True)
class Usual:
    """What staging showed of a pair of models.

    Attributes:
        fleet: .9 quantile over days of |level| and of |amplitude| of the typical area (the median over areas).
        areas: the same of each area's own days.
        pool: cause -> (number of area-days, sum of their scores to the power POWER).
    """

    fleet: tuple[float, float]
    areas: Mapping[str, tuple[float, float]]
    pool: Mapping[str, tuple[int, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "fleet": list(self.fleet),
            "areas": {area: list(own) for area, own in sorted(self.areas.items())},
            "pool": {cause: list(own) for cause, own in self.pool.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Usual:
        """Rebuild it from `to_dict`."""
        return cls(
            (float(data["fleet"][0]), float(data["fleet"][1])),
            {area: (float(own[0]), float(own[1])) for area, own in data["areas"].items()},
            {cause: (int(own[0]), float(own[1])) for cause, own in data["pool"].items()},
        )


@dataclass(frozen=True, slots=True)
class Odd:
    """One cause for which an issue is odd: the areas, and whether it is the model's (else of those areas only)."""

    cause: str
    areas: tuple[str, ...]
    of_model: bool


def usual_of(days: Sequence[Mapping[str, IssueShape]]) -> Usual | None:
    """Return what these days of a fleet (area -> shape) say is usual; None without any.

    Args:
        days: staging days, at least a few weeks.
    """
    days = [day for day in days if day]
    if not days:
        return None
    fleet = _quantiles([typical(list(day.values())) for day in days])
    by_area: dict[str, list[IssueShape]] = {}
    for day in days:
        for area, shape in day.items():
            by_area.setdefault(area, []).append(shape)
    areas = {area: _quantiles(shapes) for area, shapes in by_area.items()}
    table = np.array([list(scores(one, areas[area]).values()) for area, own in by_area.items() for one in own])
    sums = (table**POWER).sum(axis=0)
    return Usual(fleet, areas, {cause: (len(table), float(total)) for cause, total in zip(CAUSES, sums, strict=True)})


def typical(shapes: Sequence[IssueShape]) -> IssueShape:
    """Return the median shape over areas, so that one feeder with faulty inputs cannot blame the model."""
    middle = np.median([[one.level, one.amplitude, one.lag_h, one.gain] for one in shapes], axis=0)
    return IssueShape(*(float(number) for number in middle))


def scores(shape: IssueShape, usual: tuple[float, float]) -> dict[str, float]:
    """Return by cause how far the shape is from usual, over what is allowed: above 1 is odd."""
    level, amplitude = usual
    return {
        "level": abs(shape.level) / max(LEVEL_LEAST, LEVEL_FACTOR * level),
        "amplitude": abs(shape.amplitude) / max(AMPLITUDE_LEAST, AMPLITUDE_FACTOR * amplitude),
        "lag": shape.gain / GAIN_LEAST if abs(shape.lag_h) >= 1.0 else 0.0,
    }


def odd_issue(shapes: Mapping[str, IssueShape], usual: Usual) -> tuple[Odd, ...]:
    """Return for which causes an issue is odd.

    A cause is the model's when the typical area is odd, or when e-BH at FALSE_SHARE finds FLEET_SHARE of the areas and
    LEAST_AREAS; fewer areas are named as theirs. e of an area = (n + 1) s^4 / (sum of staging's s^4 + s^4), s its
    score, n the area-days of staging: at most 1 in the mean while the day is like those of staging.
    Source: Wang & Ramdas, False discovery rate control with e-values (arXiv 2009.02824), any dependence between areas;
    Vovk & Wang, E-values (arXiv 1912.06116) for the soft-rank e-value.

    Args:
        shapes: area -> shape of this issue; areas that staging did not see are judged with the typical one only.
        usual: what staging showed.
    """
    if not shapes:
        return ()
    middle = scores(typical(list(shapes.values())), usual.fleet)
    known = {area: scores(shape, usual.areas[area]) for area, shape in shapes.items() if area in usual.areas}
    found: list[Odd] = []
    for cause in CAUSES:
        names = sorted(known)
        evalues = _evalues(np.array([known[area][cause] for area in names]), usual.pool.get(cause, (0, 0.0)))
        areas = tuple(names[i] for i in e_bh(evalues, FALSE_SHARE) if known[names[i]][cause] > 1.0)
        if not middle[cause] <= 1.0:  # also where the median is no number
            found.append(Odd(cause, areas or tuple(sorted(shapes)), of_model=True))
        elif areas:
            many = len(areas) >= max(LEAST_AREAS, FLEET_SHARE * len(shapes))
            found.append(Odd(cause, areas, of_model=many))
    return tuple(found)


def e_bh(evalues: FloatArray, level: float) -> list[int]:
    """Return in order the indices that e-BH rejects: the k largest, for the largest k with k-th e >= n / (level k)."""
    order = np.argsort(-evalues, kind="stable")
    count = len(order)
    enough = [k for k in range(1, count + 1) if evalues[order[k - 1]] >= count / (level * k)]
    return sorted(int(i) for i in order[: max(enough, default=0)])


def _evalues(found: FloatArray, pool: tuple[int, float]) -> FloatArray:
    count, total = pool
    power = np.minimum(found, 1e6) ** POWER
    result: FloatArray = np.where(power > 0.0, (count + 1.0) * power / np.maximum(total + power, 1e-300), 0.0)
    return result


def _quantiles(shapes: Sequence[IssueShape]) -> tuple[float, float]:
    level, amplitude = np.quantile([[abs(one.level), abs(one.amplitude)] for one in shapes], 0.9, axis=0)
    return float(level), float(amplitude)
