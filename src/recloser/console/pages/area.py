"""Owns the page of one area (ISA-101 level 2): days of forecasts and load, who served, what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from recloser.console.drawing.trends import area_chart
from recloser.console.markup import Markup, el
from recloser.console.pages.shell import Shell, page
from recloser.console.pages.tables import linked, model_link, release_link
from recloser.console.pages.words import Wall, age, stamp, state, who
from recloser.core import format_utc, parse_utc

LEGEND = (
    ("band", "forecast, 10-90 %"),
    ("mid", "its middle"),
    ("load", "measured load"),
    ("void", "recalled forecast"),
    ("doubted", "measured, not used"),
)


def area_page(shell: Shell, view: Mapping[str, Any]) -> str:
    """Return the page of `app`'s area document."""
    wall = shell.wall
    return page(
        shell,
        view["area"],
        el("h1", view["area"], " ", state(view["state"], view["trust"])),
        el("p", linked(view["why"], wall), class_="why"),
        el("p", el("a", "Why this forecast?", href=f"/why?{urlencode({'name': view['area']})}", id="why"))
        if view["issued_at"]
        else None,
        el("ul", [el("li", linked(line, wall)) for line in view["others"]], class_="facts") if view["others"] else None,
        _facts(view, wall),
        el("figure", area_chart(view, wall.zone), legend(), id="chart"),
        _days(view, wall),
        _marks(view["marks"], wall),
        _served(view["served"], wall),
        _numbers(view, wall),
    )


def _facts(view: Mapping[str, Any], wall: Wall) -> Markup:
    peak = "-" if view["peak_mw"] is None else f"{view['peak_mw']:.2f} MW"
    pairs = (
        ("Who serves", [who(view["served_by"]), " ", model_link(view["release"])]),
        ("Issued", [stamp(view["issued_at"], wall), " (", age(view["issued_at"], view["now"]), " ago)"]),
        ("Forecast peak", [peak, " at ", stamp(view["peak_at"], wall)]),
        ("Load known until", [stamp(view["data_until"], wall), " (", age(view["data_until"], view["now"]), " ago)"]),
    )
    return el("dl", [el("div", el("dt", name), el("dd", words)) for name, words in pairs], class_="strip")


def legend(kinds: Sequence[tuple[str, str]] = LEGEND) -> Markup:
    """Return what the lines and areas of the drawing mean."""
    items = [
        el(
            "li",
            el("svg", _sample(kind), width=18, height=10, aria_hidden="true"),
            words,
        )
        for kind, words in kinds
    ]
    return el("figcaption", el("ul", items, class_="legend"))


def _sample(kind: str) -> Markup:
    if kind in {"mid", "load", "later"}:
        return el("line", x1=0, x2=18, y1=5, y2=5, class_=kind)
    return el("rect", width=18, height=10, class_=kind)


def _days(view: Mapping[str, Any], wall: Wall) -> Markup:
    end, span = parse_utc(view["to"]), timedelta(days=view["days"])

    def link(words: str, until: str | None) -> Markup:
        asked = {"name": view["area"], **({"until": until} if until else {})}
        return el("a", words, href=f"/area?{urlencode(asked)}")

    return el(
        "nav",
        el("span", f"{wall.day(end - span)} to {wall.day(end)}"),
        link("earlier", format_utc(end - span)),
        link("later", format_utc(end + span)),
        link("newest", None),
        class_="pager",
        aria_label="Days",
    )


def _marks(marks: Sequence[Mapping[str, Any]], wall: Wall) -> list[Markup]:
    rows = [
        el(
            "tr",
            el("td", number),
            el("td", stamp(mark["at"], wall)),
            el("td", mark["kind"].replace("_", " ")),
            el("td", release_link(mark["release"])),
            el("td", mark["text"]),
        )
        for number, mark in enumerate(marks, start=1)
    ]
    heads = [el("th", name, scope="col") for name in ("mark", "at", "what", "release", "why")]
    table = el("table", el("thead", el("tr", heads)), el("tbody", rows))
    return [el("h2", "Events on the time axis"), table if rows else el("p", "None in these days.", class_="quiet")]


def _served(spans: Sequence[Mapping[str, Any]], wall: Wall) -> list[Markup]:
    rows = [
        el(
            "tr",
            el("td", stamp(span["from"], wall)),
            el("td", stamp(span["to"], wall)),
            el("td", who(span["served_by"])),
            el("td", release_link(span["release"])),
            el("td", span["reason"] or "as planned"),
        )
        for span in spans
    ]
    heads = [el("th", name, scope="col") for name in ("from", "to", "who served", "release", "why")]
    return [el("h2", "Who served when"), el("table", el("thead", el("tr", heads)), el("tbody", rows))]


def _numbers(view: Mapping[str, Any], wall: Wall) -> Markup:
    """Return the numbers behind the drawing, for who cannot see it and for print on demand."""
    load = {row[0]: row[1] for row in view["load"]}
    rows = [
        el(
            "tr",
            el("td", stamp(at, wall)),
            *[el("td", f"{n:.3f}", class_="n") for n in (low, mid, high)],
            el("td", f"{load[at]:.3f}" if at in load else "-", class_="n"),
        )
        for at, low, mid, high in view["band"]
    ]
    heads = [el("th", name, scope="col") for name in ("at", "10 % MW", "50 % MW", "90 % MW", "load MW")]
    table = el("table", el("thead", el("tr", heads)), el("tbody", rows))
    return el("details", el("summary", "The numbers of the drawing"), table, id="numbers")
