"""Owns the plane of a drawing: time and numbers to places, ticks, and thinning of long series. Draws no page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from recloser.core import parse_utc

Place = tuple[float, float]
Series = Sequence[tuple[datetime, float]]


@dataclass(frozen=True, slots=True)
class Plane:
    """A rectangle of a drawing: [start, end) in time from left to right, [low, high] from bottom to top.

    Attributes:
        start, end: aware UTC.
        low, high: in the unit of what is drawn.
        left, top, width, height: of the rectangle in the drawing's units.
    """

    start: datetime
    end: datetime
    low: float
    high: float
    left: float
    top: float
    width: float
    height: float

    def x(self, at: datetime) -> float:
        """Return the place of an instant, kept within the rectangle."""
        part = (at - self.start) / (self.end - self.start) if self.end > self.start else 0.0
        return self.left + min(1.0, max(0.0, part)) * self.width

    def y(self, number: float) -> float:
        """Return the place of a number, kept within the rectangle."""
        part = (number - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.top + (1.0 - min(1.0, max(0.0, part))) * self.height


def span_of(numbers: Sequence[float], *, margin: float = 0.06) -> tuple[float, float]:
    """Return a range that holds all finite numbers with some margin; (0, 1) without any."""
    finite = [number for number in numbers if math.isfinite(number)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    room = (high - low) * margin or max(abs(high), 1.0) * margin
    return low - room, high + room


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers within [low, high], at most about `most`."""
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return []
    raw = (high - low) / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1.0, 2.0, 5.0, 10.0) if size * factor >= raw)
    first = math.ceil(low / step)
    return [k * step for k in range(first, math.floor(high / step) + 1)]


def hours(start: datetime, end: datetime, zone: ZoneInfo, every: int) -> list[datetime]:
    """Return the instants in [start, end] at which the local hour is a multiple of `every`, on the full hour."""
    at = start.replace(minute=0, second=0, microsecond=0)
    found = []
    while at <= end:
        local = at.astimezone(zone)
        if at >= start and local.hour % every == 0 and local.minute == 0:
            found.append(at)
        at += timedelta(hours=1)
    return found


def thinned(points: Sequence[tuple[datetime, float]], most: int) -> list[tuple[datetime, float]]:
    """Return at most about `most` points that keep every peak and valley: of each stretch its lowest and highest."""
    if len(points) <= most or most < 4:
        return list(points)
    size = math.ceil(len(points) / (most // 2))
    kept: list[tuple[datetime, float]] = []
    for begin in range(0, len(points), size):
        stretch = points[begin : begin + size]
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(ends)
    return kept


def runs(points: Series, gap: timedelta) -> list[list[tuple[datetime, float]]]:
    """Return the points in runs, cut where two neighbours lie further apart than `gap`: a gap is not bridged."""
    found: list[list[tuple[datetime, float]]] = []
    for point in points:
        if found and point[0] - found[-1][-1][0] <= gap:
            found[-1].append(point)
        else:
            found.append([point])
    return found


def pieces(plane: Plane, spans: Sequence[Mapping[str, Any]]) -> Iterator[tuple[float, float, str, str]]:
    """Yield of each span of a document's `served`: left and right end in pixels, kind of server, words for people."""
    for span in spans:
        kind = span["served_by"].partition(":")[0]
        words = f"{span['served_by']} {span['release']}"
        yield plane.x(parse_utc(span["from"])), plane.x(parse_utc(span["to"])), kind, words


def path(places: Sequence[Place]) -> str:
    """Return places as an SVG list of points."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
