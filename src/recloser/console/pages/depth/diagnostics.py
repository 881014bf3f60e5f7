"""Owns the diagnostics page (ISA-101 level 4): data quality, links, signals, runs, gateways, answers, logs, ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recloser.console.markup import Markup, el
from recloser.console.pages.depth.answers import answers_section
from recloser.console.pages.depth.logs import logs_section
from recloser.console.pages.overview import area_link, events_table
from recloser.console.pages.releases import told
from recloser.console.pages.shell import Shell, page
from recloser.console.pages.tables import none, release_link, table
from recloser.console.pages.words import age, stamp

SECTIONS = ("Data", "Links", "Signals", "Runs", "Gateways", "Answers", "Logs", "Ledger")


def diagnostics_page(shell: Shell, view: Mapping[str, Any]) -> str:
    """Return the page of `app`'s diagnostics document."""
    parts = (_data, _links, _signals, _runs, _gateways, answers_section, logs_section, _ledger)
    sections = [
        el("section", el("h2", name), *part(view, shell), id=name.lower())
        for name, part in zip(SECTIONS, parts, strict=True)
    ]
    jumps = [el("a", name, href=f"#{name.lower()}") for name in SECTIONS]
    return page(shell, "Diagnostics", el("h1", "Diagnostics"), el("nav", jumps, class_="pager"), *sections)


def _data(view: Mapping[str, Any], shell: Shell) -> list[Markup]:
    store = view["store"]
    rows = [
        (
            el("a", row["area"], href=area_link(row["area"])),
            row["present"],
            row["missing"],
            ", ".join(f"{name.lower().replace('_', ' ')} {count}" for name, count in row["flags"].items()) or "-",
        )
        for row in view["quality"]
    ]
    return [
        el(
            "p",
            f"Store version {store['version']}: load from ",
            stamp(store["first"], shell.wall),
            " to ",
            stamp(store["last"], shell.wall),
            f"; {', '.join(store['quantities']) or 'nothing'}.",
        ),
        table(("area", "intervals, last week", "missing", "flagged"), rows, numbers=(1, 2), id_="quality"),
    ]


def _links(view: Mapping[str, Any], shell: Shell) -> list[Markup]:
    rows = [
        (
            row["device"],
            row["protocol"],
            row["state"] if row["state"] == "up" else el("span", f"▲ {row['state']}", class_="state care"),
            stamp(row["since"], shell.wall),
            age(row["latest"], view["now"]),
            row["readings"],
            row["gaps"],
            row["reason"],
        )
        for row in view["links"]
    ]
    heads = ("device", "protocol", "state", "since", "latest reading", "readings", "gaps", "why")
    return [table(heads, rows, numbers=(5, 6), id_="links") if rows else none("No devices in the project file.")]


def _signals(view: Mapping[str, Any], shell: Shell) -> list[Markup]:
    rows = [
        (
            stamp(row["at"], shell.wall),
            "closed" if row["closed_at"] else el("span", "▲ open", class_="state care"),
            row["class"].replace("_", " "),
            ", ".join(row["areas"]),
            row["reason"],
        )
        for row in view["signals"]
    ]
    return [table(("at", "", "class", "areas", "why"), rows) if rows else none("None yet.")]


def _runs(view: Mapping[str, Any], shell: Shell) -> list[Markup]:
    rows = [
        (
            stamp(row["started_at"], shell.wall),
            row["run"],
            f"{row['trigger']}: {row['reason']}",
            row["state"],
            release_link(row["candidate"]),
            told(row["verdict"] or "-"),
        )
        for row in view["runs"]
    ]
    asked = [(stamp(t["at"], shell.wall), t["kind"], t["decision"], t["reason"], t["why"]) for t in view["triggers"]]
    heads = ("begun", "run", "asked for by", "state", "candidate", "verdict")
    return [
        table(heads, rows) if rows else none("No run yet."),
        el(
            "details",
            el("summary", "Decisions to train or not"),
            table(("at", "kind", "decision", "why", "because"), asked),
            id="triggers",
        ),
    ]


def _gateways(view: Mapping[str, Any], _shell: Shell) -> list[Markup]:
    rows = [
        (f"{row['worker']} on {row['host']}", row["pid"], row["epoch"], row["problem"] or "-")
        for row in view["gateways"]
    ]
    words = "Refusals and traffic are figures for Prometheus at the gateway's /metrics."
    return [
        table(("gateway", "process", "route epoch", "trouble"), rows) if rows else none("No gateway reports."),
        none(words),
    ]


def _ledger(view: Mapping[str, Any], shell: Shell) -> list[Markup]:
    older = view["older"]
    return [
        el(
            "p",
            f"{view['length']} entries in the audit log; ",
            el("code", "recloser audit verify"),
            " checks the chain.",
        ),
        events_table(view["entries"], shell.wall),
        el("nav", el("a", "older", href=f"/diagnostics?before={older}#ledger"), class_="pager")
        if older
        else none("The first."),
    ]
