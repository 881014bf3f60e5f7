"""Owns the drawings of forecasts: the small trend of a row, and an area's days with band, load and events."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from recloser.console.drawing.plane import Plane, hours, path, pieces, runs, span_of, thinned, ticks
from recloser.console.markup import Markup, el
from recloser.core import parse_utc

SMALL = (260, 44)
LARGE = (1240, 380)
MOST = 800
Band = list[tuple[datetime, float, float, float]]
Line = list[tuple[datetime, float]]


def band_points(rows: Sequence[Sequence[Any]]) -> Band:
    """Return a document's band as points."""
    return [(parse_utc(row[0]), float(row[1]), float(row[2]), float(row[3])) for row in rows]


def line_points(rows: Sequence[Sequence[Any]]) -> Line:
    """Return a document's line as points."""
    return [(parse_utc(row[0]), float(row[1])) for row in rows if row[1] is not None]


def small_trend(band: Band, load: Line, now: datetime) -> Markup:
    """Return the trend of one row: band, middle, load and a line at the present; a dash without points."""
    if len(band) + len(load) < 2:
        return el("span", "no trend", class_="quiet")
    times = [point[0] for point in band] + [point[0] for point in load]
    numbers = [n for point in band for n in point[1:]] + [n for _, n in load]
    low, high = span_of(numbers)
    width, height = SMALL
    plane = Plane(min(times), max(times), low, high, 1, 1, width - 2, height - 2)
    label = f"forecast and load between {min(numbers):.2f} and {max(numbers):.2f} MW"
    x = plane.x(now)
    return el(
        "svg",
        *band_shapes(plane, band, "band"),
        el("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=0, y2=height, class_="now"),
        *line_shapes(plane, [(at, mid) for at, _, mid, _ in band], "mid"),
        *line_shapes(plane, load, "load"),
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
    )


def band_shapes(plane: Plane, band: Band, kind: str) -> list[Markup]:
    """Return the band as areas, one for each run without a gap."""
    gap = _usual([point[0] for point in band]) * 1.5
    shapes = []
    for run in runs([(at, 0.0) for at, *_ in band], gap):
        inside = [point for point in band if run[0][0] <= point[0] <= run[-1][0]]
        upper = [(plane.x(at), plane.y(high)) for at, high in thinned([(p[0], p[3]) for p in inside], MOST)]
        lower = [(plane.x(at), plane.y(low)) for at, low in thinned([(p[0], p[1]) for p in inside], MOST)]
        shapes.append(el("polygon", points=path([*upper, *reversed(lower)]), class_=kind))
    return shapes


def line_shapes(plane: Plane, points: Line, kind: str) -> list[Markup]:
    """Return a line in runs without a gap."""
    gap = _usual([at for at, _ in points]) * 1.5
    return [
        el("polyline", points=path([(plane.x(at), plane.y(n)) for at, n in thinned(run, MOST)]), class_=kind)
        for run in runs(points, gap)
    ]


def _usual(times: Sequence[datetime]) -> timedelta:
    """Return the shortest step between neighbours: that of the resolution."""
    steps = [later - earlier for earlier, later in itertools.pairwise(times) if later > earlier]
    return min(steps, default=timedelta(hours=1))


def area_chart(view: Mapping[str, Any], zone: ZoneInfo) -> Markup:
    """Return the large drawing of an area's document: axes, band, recalled band, load, events, who served."""
    band, void, load = band_points(view["band"]), band_points(view["void"]), line_points(view["load"])
    start, end, now = parse_utc(view["from"]), parse_utc(view["to"]), parse_utc(view["now"])
    later = line_points(view.get("later", ()))
    numbers = [n for point in (*band, *void) for n in point[1:]] + [n for _, n in (*load, *later)]
    low, high = span_of(numbers)
    width, height = LARGE
    plane = Plane(start, end, low, high, 58, 12, width - 70, height - 78)
    return el(
        "svg",
        *_axes(plane, zone),
        *band_shapes(plane, void, "void"),
        *band_shapes(plane, band, "band"),
        *line_shapes(plane, [(at, mid) for at, _, mid, _ in band], "mid"),
        *line_shapes(plane, later, "later"),
        *line_shapes(plane, load, "load"),
        *_doubted(plane, view["doubted"]),
        *_present(plane, now),
        *_marks(plane, view["marks"]),
        *_served(plane, view["served"]),
        viewBox=f"0 0 {width} {height}",
        class_="chart",
        role="img",
        aria_label=f"{view['area']}: forecast band, load and events; the table below says the same",
    )


def _axes(plane: Plane, zone: ZoneInfo) -> list[Markup]:
    right, bottom = plane.left + plane.width, plane.top + plane.height
    shapes = []
    for number in ticks(plane.low, plane.high):
        y = plane.y(number)
        shapes.append(el("line", x1=plane.left, x2=right, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid"))
        shapes.append(el("text", f"{number:g}", x=plane.left - 6, y=f"{y + 4:.1f}", class_="tick end"))
    shapes.append(el("text", "MW", x=6, y=plane.top + 10, class_="tick"))
    for at in hours(plane.start, plane.end, zone, 6):
        x, local = plane.x(at), at.astimezone(zone)
        kind = "grid day" if local.hour == 0 else "grid"
        shapes.append(el("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=plane.top, y2=bottom, class_=kind))
        text = f"{local:%a %d %b}" if local.hour == 0 else f"{local:%H}"
        if right - x > 16:  # there is room for it
            shapes.append(el("text", text, x=f"{x + 3:.1f}", y=bottom + 15, class_="tick"))
    return shapes


def _present(plane: Plane, now: datetime) -> list[Markup]:
    if not plane.start <= now <= plane.end:
        return []
    x = f"{plane.x(now):.1f}"
    return [
        el("line", x1=x, x2=x, y1=plane.top, y2=plane.top + plane.height, class_="now"),
        el("text", "now", x=f"{plane.x(now) + 3:.1f}", y=plane.top + 11, class_="tick"),
    ]


def _doubted(plane: Plane, rows: Sequence[Mapping[str, Any]]) -> list[Markup]:
    known = [row for row in rows if row["load_mw"] is not None and plane.low <= row["load_mw"] <= plane.high]
    return [
        el(
            "circle",
            el("title", f"not used: {row['quality']}"),
            cx=f"{plane.x(parse_utc(row['at'])):.1f}",
            cy=f"{plane.y(row['load_mw']):.1f}",
            r=3,
            class_="doubted",
        )
        for row in known
    ]


def _marks(plane: Plane, rows: Sequence[Mapping[str, Any]]) -> list[Markup]:
    shapes = []
    for number, row in enumerate(rows, start=1):
        x = plane.x(parse_utc(row["at"]))
        top = plane.top + plane.height
        places = [(x, top - 9), (x - 6, top), (x + 6, top)]
        shapes.append(el("polygon", el("title", row["text"]), points=path(places), class_="mark"))
        shapes.append(el("text", number, x=f"{x:.1f}", y=f"{top - 12:.1f}", class_="tick middle"))
    return shapes


def _served(plane: Plane, spans: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Return the strip that says who served: plain for a champion, dashed for a canary, marked for the fallback."""
    y = plane.top + plane.height + 24
    shapes = []
    for left, right, kind, words in pieces(plane, spans):
        wide = f"{max(1.0, right - left - 1):.1f}"
        shapes.append(el("rect", el("title", words), x=f"{left:.1f}", y=y, width=wide, height=16, class_=kind))
        if right - left > 7.0 * len(words):
            shapes.append(el("text", words, x=f"{left + 5:.1f}", y=y + 12, class_="tick"))
    return shapes
