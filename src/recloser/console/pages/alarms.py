"""Owns the alarm list: the most urgent first, what to do about each, and what people have said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recloser.console.markup import Child, Markup, el
from recloser.console.pages.acts import act
from recloser.console.pages.overview import area_link
from recloser.console.pages.shell import Shell, page
from recloser.console.pages.tables import linked, none, table
from recloser.console.pages.words import age, stamp

HEADS = ("priority", "since", "what", "areas, the first one first", "what to do", "said of it", "")


def alarms_page(shell: Shell, view: Mapping[str, Any]) -> str:
    """Return the page of `app`'s alarms document."""
    rows = [_row(row, view["now"], shell) for row in view["alarms"]]
    rate = view["rate"]
    words = f"{rate['signals']} signals came up in the last {rate['hours']:.0f} hours; {rate['budget']} is the budget."
    over = rate["signals"] > rate["budget"]
    return page(
        shell,
        "Alarms",
        el("h1", "Alarms"),
        el("p", f"{view['active']} active, {view['unacknowledged']} not acknowledged, {view['shelved']} shelved."),
        table(HEADS, rows, id_="alarms") if rows else none("Nothing needs a person now."),
        el("p", f"▲ {words}" if over else words, class_="care" if over else "quiet"),
        none("One cause is one alarm, however many areas it strikes. What the platform has dealt with is an event."),
    )


def _row(row: Mapping[str, Any], now: str, shell: Shell) -> list[Child]:
    person, mark = shell.person, row["mark"]
    areas: list[Child] = [[el("a", area, href=area_link(area)), " "] for area in row["areas"]]
    if row["count"] > len(row["areas"]):
        areas.append(f"and {row['count'] - len(row['areas'])} more")
    hours = el("label", "Hours, at most 72", el("input", name="hours", inputmode="decimal", size=6, required=True))
    forms = None
    if person is not None:
        forms = [
            act(person, "acknowledge", "Acknowledge", row["key"]) if mark is None else None,
            act(person, "shelve", "Shelve", row["key"], hours, explain="It comes back when the hours are over."),
        ]
    return [
        _priority(row),
        [stamp(row["since"], shell.wall), " (", age(row["since"], now), ")"] if row["since"] else "not known",
        linked(row["sentence"], shell.wall),
        areas,
        row["response"],
        _mark(mark, shell),
        forms,
    ]


def _priority(row: Mapping[str, Any]) -> Markup:
    if row["mark"] is not None:
        return el("span", row["priority"], class_="state past")
    high = row["priority"] == "high"
    return el("span", f"{'■' if high else '▲'} {row['priority']}", class_=f"state {'stop' if high else 'care'}")


def _mark(mark: Mapping[str, Any] | None, shell: Shell) -> Markup:
    if mark is None:
        return el("span", "-")
    done = "acknowledged" if mark["kind"] == "acknowledge" else "shelved"
    return el("span", f"{done} by {mark['by']} until ", stamp(mark["until"], shell.wall), f": {mark['reason']}")
