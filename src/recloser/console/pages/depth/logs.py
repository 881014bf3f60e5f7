"""Owns the part of the diagnostics about logs: the latest line of each process, and all lines filtered, by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from recloser.console.markup import Child, Markup, el
from recloser.console.pages.shell import Shell
from recloser.console.pages.tables import linked, none, release_link, table
from recloser.console.pages.words import Wall, age, moment

HEADS = ("at", "", "process", "what it said", "about")
MARKS = {"warning": ("▲ warning", "state care"), "error": ("■ error", "state stop")}


def logs_section(view: Mapping[str, Any], shell: Shell) -> list[Markup]:
    """Return the section of `app`'s diagnostics document."""
    logs = view["logs"]
    if logs is None:
        return [none("Log lines are for the roles operator, engineer, approver and auditor.")]
    if not logs["processes"]:
        return [none("No process has written a log here: the processes of `recloser up` do.")]
    return [
        _processes(logs, view["now"]),
        _search(logs),
        *_lines(logs, shell.wall),
    ]


def _processes(logs: Mapping[str, Any], now: str) -> Markup:
    rows = [
        (
            el("a", row["process"], href=_place(logs, process=row["process"], before=None)),
            row["host"],
            row["pid"],
            age(row["at"], now),
            _level(row["level"]),
            linked(row["text"]),
        )
        for row in logs["processes"]
    ]
    return table(("process", "host", "pid", "said last", "", "what"), rows, numbers=(2,), id_="log-processes")


def _search(logs: Mapping[str, Any]) -> Markup:
    names = sorted({row["process"] for row in logs["processes"]} | ({logs["process"]} - {""}))
    processes = [("", "all"), *((name, name) for name in names)]
    levels = [("", "all"), *((name, name if name == "error" else f"{name} and graver") for name in logs["levels"][1:])]
    return el(
        "form",
        el("label", "Process ", _choice("process", processes, logs["process"])),
        el("label", "Level ", _choice("level", levels, logs["level"])),
        el(
            "label",
            "Release, forecast, run, words ",
            el("input", name="line", value=logs["find"], type="search", size=30, id="log-find"),
        ),
        el("button", "Show"),
        class_="filter",
        role="search",
        action="/diagnostics#logs",
        id="log-search",
    )


def _choice(name: str, options: list[tuple[str, str]], chosen: str) -> Markup:
    made = [el("option", words, value=given, selected=given == chosen) for given, words in options]
    return el("select", made, name=name)


def _lines(logs: Mapping[str, Any], wall: Wall) -> list[Markup]:
    rows = [
        (moment(row["at"], wall, day=True), _level(row["level"]), row["process"], _said(row), _about(row))
        for row in logs["lines"]
    ]
    ways = []
    if logs["before"]:
        ways.append(el("a", "newest", href=_place(logs, before=None), id="log-newest"))
    if logs["older"]:
        ways.append(el("a", "older", href=_place(logs, before=logs["older"]), id="log-older"))
    told: list[Markup] = []
    if logs["looked_to"]:
        told.append(_looked(logs["looked_to"], wall))
    if logs["damaged"]:
        told.append(none(f"{logs['damaged']} lines on the way cannot be read."))
    shown = table(HEADS, rows, id_="log-lines") if rows else none("No line is like that.")
    return [shown, *told, el("nav", ways, class_="pager", aria_label="Log lines") if ways else none("The first.")]


def _looked(at: str, wall: Wall) -> Markup:
    return el("p", "Looked back to ", moment(at, wall, day=True), "; ", el("em", "older"), " looks on.", class_="quiet")


def _level(level: str) -> Child:
    words, style = MARKS.get(level, (level, ""))
    return el("span", words, class_=style or "quiet")


def _said(row: Mapping[str, Any]) -> list[Child]:
    if not row["trace"]:
        return [linked(row["text"])]
    return [linked(row["text"]), el("details", el("summary", "where in the program"), el("pre", row["trace"]))]


def _about(row: Mapping[str, Any]) -> list[Child]:
    """Return what a line is about and its text does not name: releases as links, the first few of many."""
    parts: list[Child] = []
    for kind, given in row["about"].items():
        names = [name for name in given if name not in row["text"]]
        if kind in {"logger", "entry"} or not names:
            continue
        shown: list[Child] = [release_link(name) if kind == "release" else el("code", name) for name in names[:3]]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        parts.append(el("div", f"{kind} ", [[" ", each] if k else each for k, each in enumerate(shown)], more))
    return parts


def _place(logs: Mapping[str, Any], **changed: str | None) -> str:
    asked = {"process": logs["process"], "level": logs["level"], "line": logs["find"], "until": logs["before"]}
    if "before" in changed:
        asked["until"] = changed.pop("before")
    asked |= changed
    return f"/diagnostics?{urlencode({name: given for name, given in asked.items() if given})}#logs"
