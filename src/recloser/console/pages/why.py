"""Owns the page that says why a forecast is what it is: drivers in engineering units, change, days like it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from recloser.console.markup import Markup, el
from recloser.console.pages.shell import Shell, page
from recloser.console.pages.tables import linked, none, release_link, table
from recloser.console.pages.words import stamp, who
from recloser.core import parse_utc

HALF = 110


def why_page(shell: Shell, view: Mapping[str, Any]) -> str:
    """Return the page of `app`'s document about one forecast."""
    at = parse_utc(view["at"])
    return page(
        shell,
        f"Why: {view['area']}",
        el(
            "h1",
            "Why ",
            f"{view['q50']:.2f} MW for {view['area']}, {shell.wall.day(at)} {at.astimezone(shell.zone):%H:%M}?",
        ),
        _times(view, shell),
        el(
            "p",
            f"Between {view['q10']:.2f} and {view['q90']:.2f} MW with 80 % probability; {who(view['served_by'])} ",
            release_link(view["release"]),
            ", issued ",
            stamp(view["issued_at"], shell.wall),
            ".",
            class_="why",
        ),
        el("p", "It answered because: ", linked(view["reason"])) if view["reason"] else None,
        el("p", view["note"], class_="care") if view["note"] else None,
        *(_drivers(view) if view["exact"] else []),
        *_former(view),
        *_alike(view, shell),
        *_others(view),
        el("h2", "What a person may do"),
        el("ul", [el("li", line) for line in _advice(view)], class_="facts"),
    )


def _times(view: Mapping[str, Any], shell: Shell) -> Markup:
    links = []
    for time in view["times"]:
        words = f"{parse_utc(time).astimezone(shell.zone):%H:%M}"
        asked = urlencode({"name": view["area"], "at": time})
        links.append(el("a", words, href=f"/why?{asked}", aria_current="true" if time == view["at"] else None))
    back = el("a", view["area"], href=f"/area?{urlencode({'name': view['area']})}")
    return el("nav", back, links, class_="times", aria_label="Intervals")


def _drivers(view: Mapping[str, Any]) -> list[Markup]:
    most = max([abs(row["mw"]) for row in view["drivers"]] + [1e-9])
    rows = [
        (row["words"], _value(row), _bar(row["mw"], most), f"{row['mw']:+.3f}", _signed(row["change_mw"]))
        for row in view["drivers"]
    ]
    rows.append(("all other inputs", "", _bar(view["rest_mw"], most), f"{view['rest_mw']:+.3f}", ""))
    sums = f"{view['usual_mw']:.3f} MW usual for the area's level, with all inputs {view['centre_mw']:.3f} MW"
    more = f"; calibration on recent days adds {view['calibration_mw']:+.3f} MW: {view['q50']:.3f} MW."
    heads = ("input", "value", "", "adds MW", "change since yesterday, MW")
    yesterday = view["yesterday"]
    told = "" if yesterday is None else f" A day before, the same interval was forecast at {yesterday['q50']:.2f} MW."
    return [
        el("h2", "What drives it"),
        el("p", sums, more, told),
        table(heads, rows, numbers=(1, 3, 4), id_="drivers"),
        el("p", "Exact TreeSHAP contributions of the model's centre; they add up to it.", class_="quiet small"),
    ]


def _former(view: Mapping[str, Any]) -> list[Markup]:
    """Return what the last model says of the same interval, and the inputs in which the two differ most."""
    former = view.get("former")
    if former is None:
        return []
    head = el("h2", "What changed since the last model")
    if not former["exact"]:
        return [head, el("p", release_link(former["release"]), ": ", former["note"])]
    rows = [
        (row["words"], _signed(row["mw"]), _signed(row["mw_former"]), f"{row['change_mw']:+.3f}")
        for row in former["changes"]
    ]
    rows.append(("all other inputs", "", "", f"{former['rest_change_mw']:+.3f}"))
    rows.append(("usual for the area's level", "", "", f"{former['usual_change_mw']:+.3f}"))
    told = (
        f" would have said {former['q50']:.2f} MW, from the same knowledge: {view['q50'] - former['q50']:+.2f} MW now."
    )
    heads = ("input", "adds MW", "added MW in the last model", "change, MW")
    return [
        head,
        el("p", release_link(former["release"]), told),
        table(heads, rows, numbers=(1, 2, 3), id_="former"),
    ]


def _value(row: Mapping[str, Any]) -> str:
    return "missing" if row["value"] is None else f"{row['value']:.4g} {row['unit']}".strip()


def _signed(number: float | None) -> str:
    return "-" if number is None else f"{number:+.3f}"


def _bar(number: float, most: float) -> Markup:
    wide = max(0.5, min(1.0, abs(number) / most) * HALF)
    left = HALF if number >= 0 else HALF - wide
    return el(
        "svg",
        el("rect", x=f"{left:.1f}", y=2, width=f"{wide:.1f}", height=12, class_="bar" if number >= 0 else "bar worse"),
        el("line", x1=HALF, x2=HALF, y1=0, y2=16, class_="zero"),
        viewBox=f"0 0 {2 * HALF} 16",
        width=2 * HALF,
        height=16,
        aria_hidden="true",
    )


def _alike(view: Mapping[str, Any], shell: Shell) -> list[Markup]:
    if not view["alike"]:
        return []
    rows = [
        (
            stamp(row["at"], shell.wall),
            "-" if row["load_mw"] is None else f"{row['load_mw']:.2f}",
            f"{row['distance']:.2f}",
        )
        for row in view["alike"]
    ]
    heads = ("interval", "load that came, MW", "distance of the inputs")
    return [el("h2", "Past days like it"), table(heads, rows, numbers=(1, 2), id_="alike")]


def _others(view: Mapping[str, Any]) -> list[Markup]:
    rows = [
        (linked(row["model"].replace("_", " ")), f"{row['q50']:.2f}", f"{row['q50'] - view['q50']:+.2f}")
        for row in view["others"]
    ]
    head = el("h2", "What other models answered")
    if not rows:
        return [head, none("No other model was asked.")]
    return [head, table(("model", "MW", "against this, MW"), rows, numbers=(1, 2), id_="others")]


def _advice(view: Mapping[str, Any]) -> list[str]:
    lines = ["Compare with the past days and the other models above, and with what is known of the area today."]
    if any(row["value"] is None for row in view["drivers"]):
        lines.append("An input is missing: see the area's measurements before relying on this.")
    lines.append("If it looks wrong: Stop and revert, at the top of every page; the reason goes into the audit log.")
    return lines
