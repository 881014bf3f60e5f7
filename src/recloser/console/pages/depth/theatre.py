"""Owns the replay theatre's page: any moment of a life, as it was known then, with what was decided and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from recloser.console.drawing.course import course_chart
from recloser.console.drawing.trends import area_chart
from recloser.console.markup import Child, Markup, el
from recloser.console.pages.area import LEGEND, legend
from recloser.console.pages.overview import events_table
from recloser.console.pages.shell import Shell, page
from recloser.console.pages.tables import linked, model_link, none, release_link, table
from recloser.console.pages.words import Wall, span_words, stamp, state, who
from recloser.core import format_utc, parse_utc

THEN = (*LEGEND, ("later", "load that came later"))
Link = Callable[[str], str]
"""Gives the address of an instant."""
JUMPS = (("a week back", -168), ("a day back", -24), ("a day on", 24), ("a week on", 168))


def theatre_page(shell: Shell, view: Mapping[str, Any]) -> str:
    """Return the page of `app`'s theatre document."""
    head = el("h1", "Replay theatre")
    if view["course"] is None:
        return page(shell, "Replay theatre", head, none("Nothing has happened here yet."))
    zone = shell.zone

    def link(at: str) -> str:
        return f"/theatre?{urlencode({'name': view['area'], 'at': at})}"

    return page(
        shell,
        "Replay theatre",
        head,
        el("p", "What was known and decided at any moment: nothing on this page came later, but where it says so."),
        _which(view),
        el("figure", course_chart(view, zone, link), _signs()),
        _slider(view, zone),
        el("div", *_moment(view, shell.wall, link), id="moment", aria_live="polite"),
    )


def _which(view: Mapping[str, Any]) -> Markup:
    options = [el("option", area, value=area, selected=area == view["area"]) for area in view["areas"]]
    return el(
        "form",
        el("label", "Area ", el("select", options, name="name", id="which")),
        el("input", type="hidden", name="at", value=view["at"]),
        el("button", "Show"),
        class_="filter",
        action="/theatre",
    )


def _slider(view: Mapping[str, Any], zone: ZoneInfo) -> Markup:
    return el(
        "form",
        el("input", type="hidden", name="name", value=view["area"]),
        el(
            "input",
            type="range",
            name="step",
            id="step",
            aria_label="Moment",
            min=0,
            max=view["steps"],
            value=view["step"],
            aria_valuetext=f"{parse_utc(view['at']).astimezone(zone):%A %d %B %Y %H:%M}",
            aria_describedby="keys",
        ),
        el("button", "Go there"),
        el(
            "p",
            "Arrows: a step. Page up and down: a day. N and P: next and previous decision. Home and End: the ends.",
            class_="quiet small",
            id="keys",
        ),
        class_="slider",
        action="/theatre",
        id="slider",
    )


def _moment(view: Mapping[str, Any], wall: Wall, link: Link) -> list[Child]:
    at, then = parse_utc(view["at"]), view["view"]
    return [
        el(
            "h2",
            f"{at.astimezone(wall.zone):%A %d %B %Y, %H:%M %Z}",
            id="when",
            data_at=view["at"],
            data_step=view["step"],
        ),
        _ways(view, link),
        el("p", state(then["state"], then["trust"]), " ", linked(then["why"], wall), class_="why", id="verdict"),
        el("ul", [el("li", linked(line, wall)) for line in then["others"]], class_="facts") if then["others"] else None,
        _facts(then, wall),
        el("figure", area_chart(then, wall.zone), legend(THEN), id="chart"),
        _all_areas(view),
        *_rollouts(view, wall),
        *_signals(view, wall),
        el("h2", "Decided by then, the latest first"),
        el("div", events_table(view["decisions"], wall), id="decisions"),
    ]


def _ways(view: Mapping[str, Any], link: Link) -> Markup:
    first, last, at = (parse_utc(view[name]) for name in ("first", "last", "at"))
    ways: list[Markup] = []
    for words, hours in JUMPS:
        wanted = min(max(at + timedelta(hours=hours), first), last)
        ways.append(el("a", words, href=link(format_utc(wanted))))
    for name, words in (("previous", "previous decision"), ("next", "next decision")):
        told = el("a", words, href=link(view[name]), id=name) if view[name] else el("span", words, class_="quiet")
        ways.append(told)
    return el("nav", ways, class_="pager", aria_label="Moments")


def _facts(then: Mapping[str, Any], wall: Wall) -> Markup:
    pairs = (
        ("Who serves", [who(then["served_by"]), " ", model_link(then["release"])]),
        ("Issued", _before(then["issued_at"], then["now"], wall)),
        ("Load known until", _before(then["data_until"], then["now"], wall)),
    )
    return el("dl", [el("div", el("dt", name), el("dd", words)) for name, words in pairs], class_="strip")


def _before(at: str | None, then: str, wall: Wall) -> list[Child]:
    """Return an instant and how long before the moment it was."""
    if at is None:
        return [stamp(None, wall)]
    return [stamp(at, wall), f" ({span_words((parse_utc(then) - parse_utc(at)).total_seconds())} before)"]


def _signs() -> Markup:
    words = (("◆", "change of traffic"), ("▲", "signal"), ("■", "trip"))
    items = [el("li", f"{sign} {meaning}") for sign, meaning in words]
    return el("figcaption", el("ul", items, class_="legend"))


def _all_areas(view: Mapping[str, Any]) -> Markup:
    counts = view["counts"]
    words = f"All areas then: {counts['as_planned']} as planned, {counts['with_care']} with care, "
    words += f"{counts['do_not_use']} not to be used."
    rows = [
        el(
            "li",
            el("a", row["area"], href=_place(row["area"], view["at"])),
            " ",
            state(row["state"], row["trust"]),
            " ",
            linked(row["why"]),
        )
        for row in view["abnormal"]
    ]
    return el("div", el("p", words), el("ul", rows, class_="facts") if rows else None, id="counts")


def _place(area: str, at: str) -> str:
    return f"/theatre?{urlencode({'name': area, 'at': at})}"


def _rollouts(view: Mapping[str, Any], wall: Wall) -> list[Markup]:
    rows = [
        (
            release_link(row["release"]),
            row["state"].replace("_", " "),
            stamp(row["since"], wall),
            _reach(row),
            linked(row["reason"]),
        )
        for row in view["rollouts"]
    ]
    head = el("h2", "Rolling out then")
    if not rows:
        return [head, none("Nothing.")]
    return [head, table(("release", "state", "since", "traffic", "why"), rows, id_="rollouts")]


def _reach(row: Mapping[str, Any]) -> str:
    if row["cohort"]:
        return f"pilot areas {', '.join(row['cohort'])}" + (f" and {100 * row['share']:g} %" if row["share"] else "")
    return f"{100 * row['share']:g} %" if row["share"] else "none"


def _signals(view: Mapping[str, Any], wall: Wall) -> list[Markup]:
    rows = [
        (stamp(row["at"], wall), row["class"].replace("_", " "), ", ".join(row["areas"]) or "all", row["reason"])
        for row in view["signals"]
    ]
    head = el("h2", "Signals open then")
    return [head, table(("at", "class", "areas", "why"), rows, id_="signals") if rows else none("None.")]
