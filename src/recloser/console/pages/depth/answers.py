"""Owns the part of the diagnostics about answers: how long they took by release, and the latest ones, searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recloser.console.markup import Child, Markup, el
from recloser.console.pages.shell import Shell
from recloser.console.pages.tables import none, release_link, table
from recloser.console.pages.words import Wall, moment, stamp, who

LATENCY = ("release", "requests", "half within ms", "95 % within ms", "99 % within ms", "longest ms")
LINES = ("at", "request", "model asked", "area", "who served", "release", "ms", "why, or what was held back")


def answers_section(view: Mapping[str, Any], shell: Shell) -> list[Markup]:
    """Return the section of `app`'s diagnostics document."""
    answers = view["answers"]
    if not answers["logged"] and not answers["lines"]:
        return [none("Answers are not logged: [gateway.log] enabled = false.")]
    quick = [
        (
            release_link(row["release"]) if row["release"] else "nobody",
            row["requests"],
            *(f"{row[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")),
        )
        for row in answers["latency"]
    ]
    told = "From rows to decision, of the requests within the last hour; a request counts once for each release in it."
    return [
        table(LATENCY, quick, numbers=range(1, 6), id_="latency") if quick else none("Nobody asked in the last hour."),
        none(told),
        _search(answers["find"]),
        *_forecast(answers["forecast"], shell.wall),
        *_lines(answers, shell.wall),
    ]


def _search(find: str) -> Markup:
    words = "Request, forecast, release, area "
    return el(
        "form",
        el("label", words, el("input", name="find", value=find, type="search", id="find", size=40)),
        el("button", "Find"),
        class_="filter",
        role="search",
        action="/diagnostics#answers",
    )


def _lines(answers: Mapping[str, Any], wall: Wall) -> list[Markup]:
    rows = [
        (
            moment(row["made_at"], wall),
            el("code", row["request_id"] or "-"),
            row["asked"],
            row["area"],
            who(row["served_by"]),
            release_link(row["release"]),
            f"{row['latency_ms']:.1f}",
            _why(row),
        )
        for row in answers["lines"]
    ]
    if not rows:
        return [none("No answer within the last hour is like that." if answers["find"] else "No answers to show.")]
    more = f"The latest {len(rows)} of {answers['found']}."
    return [none(more), table(LINES, rows, numbers=(6,), id_="answer-lines")]


def _why(row: Mapping[str, Any]) -> Child:
    if row["fault"]:
        return el("span", f"▲ {row['fault']}", class_="state care")
    return row["reason"] or "as planned"


def _forecast(row: Mapping[str, Any] | None, wall: Wall) -> list[Markup]:
    if row is None:
        return []
    pairs: list[tuple[str, Child]] = [
        ("Forecast", el("code", row["forecast"])),
        ("Area", row["area"]),
        ("Made", stamp(row["made_at"], wall)),
        ("Targets", [stamp(row["from"], wall), " to ", stamp(row["to"], wall)]),
        ("Who served", [who(row["served_by"]), " ", release_link(row["release"])]),
        ("Why", row["reason"] or "as planned"),
    ]
    if row["void_at"] is not None:
        pairs.append(("Recalled", [stamp(row["void_at"], wall), f": {row['void_reason']}"]))
        pairs.append(("Replaced by", el("code", row["replaced_by"] or "nothing")))
    items = [el("div", el("dt", name), el("dd", words)) for name, words in pairs]
    return [el("dl", items, class_="strip", id="forecast")]
