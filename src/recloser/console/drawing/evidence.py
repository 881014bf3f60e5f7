"""Owns the drawings of canary evidence: wealth with its limits, daily differences, differences by area."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from recloser.console.drawing.plane import path, span_of, ticks
from recloser.console.markup import Markup, el

WIDTH, HEIGHT, LEFT, BOTTOM = 620, 230, 64, 24


def wealth_chart(days: Sequence[Mapping[str, Any]], limits: Mapping[str, float | None]) -> Markup:
    """Return the wealth of both tests by day on a logarithmic scale, with the limits that decide."""
    known = [day for day in days if day["worse"] is not None]
    numbers = [day[name] for day in known for name in ("worse", "good")]
    numbers += [limit for limit in limits.values() if limit is not None] + [1.0]
    logs = [math.log10(max(1e-6, number)) for number in numbers]
    low, high = span_of(logs)
    shapes = _frame(
        [10.0**k for k in range(math.ceil(low), math.floor(high) + 1)], lambda n: _y(math.log10(n), low, high)
    )
    for name, limit in limits.items():
        if limit is not None:
            y = _y(math.log10(limit), low, high)
            words = {"worse": f"{limit:g}: it is worse, and ends", "good": f"{limit:g}: it is good enough"}[name]
            shapes.append(el("line", x1=LEFT, x2=WIDTH, y1=f"{y:.1f}", y2=f"{y:.1f}", class_=f"limit {name}"))
            shapes.append(el("text", words, x=WIDTH - 4, y=f"{y - 4:.1f}", class_="tick end"))
    for name in ("worse", "good"):
        places = [(_x(k, len(known)), _y(math.log10(max(1e-6, day[name])), low, high)) for k, day in enumerate(known)]
        shapes.append(el("polyline", points=path(places), class_=f"wealth {name}"))
        shapes += [el("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.2, class_=f"dot {name}") for x, y in places]
    shapes += _day_labels(known)
    return _svg(shapes, "betting wealth by day, logarithmic; the table says the same")


def difference_chart(days: Sequence[Mapping[str, Any]]) -> Markup:
    """Return the daily difference of losses as bars; above zero the candidate was worse."""
    numbers = [100.0 * day["difference"] for day in days]
    low, high = span_of([*numbers, 0.0])
    shapes = _frame(ticks(low, high, 5), lambda n: _y(n, low, high), unit="%")
    zero, wide = _y(0.0, low, high), max(2.0, (WIDTH - LEFT) / max(1, len(days)) * 0.6)
    for k, (day, number) in enumerate(zip(days, numbers, strict=True)):
        y = _y(number, low, high)
        words = f"{day['day']}: {number:+.1f} % over {day['n']} points"
        shapes.append(
            el(
                "rect",
                el("title", words),
                x=f"{_x(k, len(days)) - wide / 2:.1f}",
                y=f"{min(y, zero):.1f}",
                width=f"{wide:.1f}",
                height=f"{max(0.8, abs(y - zero)):.1f}",
                class_="bar worse" if number > 0 else "bar",
            )
        )
    shapes.append(el("line", x1=LEFT, x2=WIDTH, y1=f"{zero:.1f}", y2=f"{zero:.1f}", class_="zero"))
    shapes += _day_labels(days)
    return _svg(shapes, "daily difference of losses; the table says the same")


def _x(index: int, count: int) -> float:
    return LEFT + (WIDTH - LEFT) * (index + 0.5) / max(1, count)


def _y(number: float, low: float, high: float) -> float:
    part = (number - low) / (high - low) if high > low else 0.5
    return 8 + (1.0 - part) * (HEIGHT - BOTTOM - 16)


def _frame(marks: Sequence[float], place: Any, unit: str = "") -> list[Markup]:
    shapes = []
    for number in marks:
        y = place(number)
        shapes.append(el("line", x1=LEFT, x2=WIDTH, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid"))
        shapes.append(el("text", f"{number:g}{unit and ' '}{unit}", x=LEFT - 6, y=f"{y + 4:.1f}", class_="tick end"))
    return shapes


def _day_labels(days: Sequence[Mapping[str, Any]]) -> list[Markup]:
    step = max(1, math.ceil(len(days) / 7))
    return [
        el("text", day["day"][5:], x=f"{_x(k, len(days)):.1f}", y=HEIGHT - 6, class_="tick middle")
        for k, day in enumerate(days)
        if k % step == 0
    ]


def _svg(shapes: Sequence[Markup], label: str) -> Markup:
    return el("svg", *shapes, viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="half", role="img", aria_label=label)
