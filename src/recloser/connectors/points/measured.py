"""Owns what a raw number or time of a protocol becomes in a reading of a point. Does not own the protocol's quality."""

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


LATEST_NS = 1 << 63
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


def source_time(at_ns: int | None) -> tuple[int | None, PointQuality]:
    """Return a source's time, ns since 1970 UTC, with GOOD; None with TIME_INVALID for what no clock can mean.

    That is what lies before 1970, or after 2262, beyond 64 bits: such a reading could not even be kept.
    """
    if at_ns is None or 0 <= at_ns < LATEST_NS:
        return at_ns, PointQuality.GOOD
    return None, PointQuality.TIME_INVALID
