"""Owns what a raw number of a protocol becomes as the number of a point. Does not own the protocol's quality."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from recloser.connectors.points.quality import PointQuality
from recloser.connectors.points.registry import Point


@dataclass(frozen=True, slots=True)
class Measured:
    """What stands in a reading: `number` and `raw` as in `PointReading`, and `quality`: INVALID without a number."""

    number: float | None
    raw: float | None
    quality: PointQuality


NOTHING = Measured(None, None, PointQuality.INVALID)


def measured(point: Point, value: Any) -> Measured:
    """Return a raw value scaled; what is no finite number, or none once it is scaled, is none and INVALID."""
    if not isinstance(value, int | float):
        return NOTHING
    try:
        raw = float(value)
    except OverflowError:  # JSON knows whole numbers without end
        return NOTHING
    scaled = raw * point.scale + point.offset
    if not math.isfinite(scaled):
        return NOTHING
    return Measured(scaled, None if scaled == raw else raw, PointQuality.GOOD)
