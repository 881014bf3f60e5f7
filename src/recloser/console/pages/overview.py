"""Owns the overview page (ISA-101 level 1): a row per area, worst first, grey, colour only for the abnormal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from recloser.console.drawing.trends import band_points, line_points, small_trend
from recloser.console.markup import Markup, el
from recloser.console.pages.shell import Shell, page
from recloser.console.pages.tables import linked, model_link
from recloser.console.pages.words import CLASSES, Wall, age, stamp, state, who
from recloser.core import parse_utc

HEADS = ("area", "forecast (10-90 %) and load, last day and next", "forecast peak", "load known", "who serves", "trust")


def overview_page(shell: Shell, view: Mapping[str, Any], find: str = "", *, abnormal: bool = False) -> str:
    """Return the page of `app`'s overview document."""
    rows = [_row(row, view["now"], shell.wall) for row in view["areas"]]
    table = el(
        "table",
        el("caption", f"{view['found']} areas, those not as planned first", class_="quiet"),
        el("thead", el("tr", [el("th", name, scope="col") for name in (*HEADS, "why")])),
        el("tbody", rows, id="areas"),
    )
    empty = el("p", "No area is like that.", class_="quiet")
    return page(
        shell,
        "Overview",
        el("h1", "Overview"),
        _counts(view["counts"]),
        _alarms(view["alarms"]),
        el("ul", [el("li", linked(line, shell.wall)) for line in view["sentences"]], class_="facts"),
        _filter(find, abnormal=abnormal),
        table if rows else empty,
        _pager(view, find, abnormal=abnormal),
        el("h2", "Latest events"),
        events_table(view["events"], shell.wall),
    )


def _counts(counts: Mapping[str, int]) -> Markup:
    care, stop = counts["with_care"], counts["do_not_use"]
    plain = f"{counts['as_planned']} areas as planned"
    if not care and not stop:
        return el("p", f"{plain}. Nothing is abnormal.", class_="counts")
    parts = [
        state(index, f"{count} {words}")
        for index, count, words in ((2, stop, "not to be used"), (1, care, "with care"))
        if count
    ]
    return el("p", [[part, " "] for part in parts], plain, class_="counts")


def _alarms(alarms: Mapping[str, int]) -> Markup | None:
    if not alarms["active"]:
        return None
    waiting = alarms["unacknowledged"]
    words = f"{alarms['active']} alarm{'s' if alarms['active'] > 1 else ''}, {waiting} not acknowledged"
    link = el("a", words, href="/alarms", id="alarms")
    return el("p", "▲ ", link, class_="care") if waiting else el("p", link)


def _filter(find: str, *, abnormal: bool) -> Markup:
    return el(
        "form",
        el("label", "Area ", el("input", name="find", value=find, type="search", id="find")),
        el("label", el("input", name="abnormal", type="checkbox", value=1, checked=abnormal), " abnormal only"),
        el("button", "Show"),
        class_="filter",
        role="search",
    )


def _row(row: Mapping[str, Any], now: str, wall: Wall) -> Markup:
    peak = "-" if row["peak_mw"] is None else f"{row['peak_mw']:.2f} MW"
    others = f" And {len(row['others'])} more." if row["others"] else ""
    trend = small_trend(band_points(row["trend"]), line_points(row["actual"]), parse_utc(now))
    served = el("td", who(row["served_by"]), el("br"), el("span", model_link(row["release"]), class_="quiet small"))
    return el(
        "tr",
        el("th", el("a", row["area"], href=area_link(row["area"])), scope="row"),
        el("td", trend),
        el("td", peak, el("br"), el("span", stamp(row["peak_at"], wall), class_="quiet small"), class_="n"),
        el("td", age(row["data_until"], now), " ago" if row["data_until"] else ""),
        served,
        el("td", state(row["state"], row["trust"])),
        el("td", linked(row["why"], wall), others),
        class_=CLASSES[row["state"]],
    )


def area_link(area: str) -> str:
    """Return the address of an area's page."""
    return f"/area?{urlencode({'name': area})}"


def _pager(view: Mapping[str, Any], find: str, *, abnormal: bool) -> Markup | None:
    if view["pages"] < 2:
        return None

    def link(words: str, number: int) -> Markup:
        if not 1 <= number <= view["pages"] or number == view["page"]:
            return el("span", words, class_="quiet")
        asked = {"page": number, **({"find": find} if find else {}), **({"abnormal": 1} if abnormal else {})}
        return el("a", words, href=f"/?{urlencode(asked)}")

    words = f"page {view['page']} of {view['pages']}"
    return el(
        "nav",
        link("previous", view["page"] - 1),
        el("span", words),
        link("next", view["page"] + 1),
        class_="pager",
        aria_label="Pages",
    )


def events_table(events: Sequence[Mapping[str, Any]], wall: Wall) -> Markup:
    """Return audit entries as a table, in their order."""
    if not events:
        return el("p", "None yet.", class_="quiet")
    rows = [
        el(
            "tr",
            el("td", stamp(event["at"], wall), class_="quiet"),
            el("td", event["actor"]),
            el("td", event["action"]),
            el("td", linked(event["subject"])),
            el("td", linked(event["reason"], wall)),
        )
        for event in events
    ]
    heads = [el("th", name, scope="col") for name in ("at", "who", "what", "about", "why")]
    return el("table", el("thead", el("tr", heads)), el("tbody", rows), class_="events")
