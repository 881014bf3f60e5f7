"""Owns the drawing of a whole life as a time axis: error by day, who served, what happened, and where one stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from recloser.console.drawing.plane import Plane, path, pieces, runs, span_of, ticks
from recloser.console.markup import Markup, el
from recloser.core import parse_utc

WIDTH, HEIGHT, LEFT, RIGHT = 1240, 132, 58, 12
SIGNS = {"trip": "■", "signal": "▲", "move": "◆"}
DAY = timedelta(days=1)


def course_chart(view: Mapping[str, Any], zone: ZoneInfo, link: Callable[[str], str]) -> Markup:
    """Return the axis of the theatre's document; each mark is a link to its moment.

    Args:
        view: the document.
        zone: of its dates.
        link: gives the address of an instant.
    """
    first, last, at = (parse_utc(view[name]) for name in ("first", "last", "at"))
    days = [(parse_utc(day), float(error)) for day, error in view["course"]["days"]]
    high = max([1.0, *(error for _, error in days)])
    plane = Plane(first, last, 0.0, span_of([0.0, high])[1], LEFT, 8, WIDTH - LEFT - RIGHT, 66)
    return el(
        "svg",
        *_frame(plane, zone),
        *_errors(plane, days),
        *_served(plane, view["course"]["served"]),
        *_marks(plane, view["course"]["marks"], link),
        _cursor(plane, at),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="chart course",
        id="course",
        role="img",
        aria_label=f"{view['area']}: error by day, who served and what happened; the slider moves along it",
        data_first=view["first"],
        data_stride=view["stride_h"],
        data_left=LEFT,
        data_right=WIDTH - RIGHT,
        data_width=WIDTH,
    )


def _frame(plane: Plane, zone: ZoneInfo) -> list[Markup]:
    right, bottom = plane.left + plane.width, plane.top + plane.height
    middle = plane.top + plane.height / 2
    shapes = [el("text", word, x=2, y=middle + down, class_="tick") for word, down in (("error", -2), ("%", 11))]
    for number in ticks(plane.low, plane.high, 3):
        y = f"{plane.y(number):.1f}"
        shapes.append(el("line", x1=plane.left, x2=right, y1=y, y2=y, class_="grid"))
        shapes.append(el("text", f"{number:g}", x=plane.left - 6, y=f"{plane.y(number) + 4:.1f}", class_="tick end"))
    for at, words in _dates(plane, zone):
        x = plane.x(at)
        shapes.append(el("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=plane.top, y2=bottom + 36, class_="grid"))
        if right - x > 66:
            shapes.append(el("text", words, x=f"{x + 3:.1f}", y=HEIGHT - 4, class_="tick"))
    return shapes


def _dates(plane: Plane, zone: ZoneInfo) -> list[tuple[datetime, str]]:
    """Return the days or months that are named on the axis, at most about fourteen."""
    span = plane.end - plane.start
    local = plane.start.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if span <= 90 * DAY:
        every = max(1, -(-span.days // 12))
        days = [local + k * every * DAY for k in range(1, span.days // every + 1)]
        return [(day, f"{day:%d %b %Y}") for day in days if day <= plane.end]
    found, month = [], local.replace(day=1)
    every = max(1, span.days // 400)
    while month <= plane.end:
        month = (month + 32 * every * DAY).replace(day=1)
        if month <= plane.end:
            found.append((month, f"{month:%b %Y}"))
    return found


def _errors(plane: Plane, days: Sequence[tuple[datetime, float]]) -> list[Markup]:
    gap = max(3 * DAY, (plane.end - plane.start) / 60)
    return [
        el("polyline", points=path([(plane.x(day + DAY / 2), plane.y(error)) for day, error in run]), class_="mid")
        for run in runs(days, gap)
    ]


def _served(plane: Plane, spans: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Return the strip of who served; neighbours of one kind and release are one piece, a gap stays one."""
    shapes = []
    for left, right, kind, words in pieces(plane, spans):
        wide = f"{max(0.8, right - left):.1f}"
        shapes.append(el("rect", el("title", words), x=f"{left:.1f}", y=92, width=wide, height=10, class_=kind))
    return shapes


def _marks(plane: Plane, marks: Sequence[Mapping[str, Any]], link: Callable[[str], str]) -> list[Markup]:
    """Return the marks; the list of decisions and the links beside the slider reach the same by keyboard."""
    return [
        el(
            "a",
            el("title", f"{mark['at']}: {mark['text']}"),
            el("text", SIGNS[mark["kind"]], x=f"{plane.x(parse_utc(mark['at'])):.1f}", y=87, class_="tick middle"),
            href=link(mark["at"]),
            tabindex=-1,
            aria_hidden="true",
            class_=f"happened {mark['kind']}",
        )
        for mark in marks
    ]


def _cursor(plane: Plane, at: datetime) -> Markup:
    x = f"{plane.x(at):.1f}"
    return el("line", x1=x, x2=x, y1=plane.top - 6, y2=plane.top + plane.height + 38, class_="cursor", id="cursor")
