"""Owns the pages of releases (ISA-101 level 3): the list, and one release with all that speaks for and against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from recloser.console.drawing.evidence import difference_chart, wealth_chart
from recloser.console.markup import Child, Markup, el
from recloser.console.pages.acts import act
from recloser.console.pages.overview import events_table
from recloser.console.pages.shell import Shell, page
from recloser.console.pages.tables import linked, none, release_link, table
from recloser.console.pages.words import stamp, text_of
from recloser.core import format_utc
from recloser.rollout import reach_words

BAD = frozenset({"refuse", "refused", "tripped", "rolled_back"})
WAITS = frozenset({"hold", "held", "awaiting_approval"})


def releases_page(shell: Shell, view: Mapping[str, Any], freezes: Mapping[str, Any]) -> str:
    """Return the page of `app`'s releases document, with the freezes and what the person may do."""
    rows = [
        (
            release_link(row["release"]),
            stamp(row["created_at"], shell.wall),
            told(row["state"]),
            told(row["verdict"] or "-"),
            told(row["rollout"] or "-"),
            linked(row["reason"] or row["verdict_reason"] or "", shell.wall),
        )
        for row in view["releases"]
    ]
    heads = ("release", "made", "state", "gate", "rollout", "why")
    return page(
        shell,
        "Releases",
        el("h1", "Releases"),
        _route(view["route"]),
        table(heads, rows, id_="releases") if rows else none("No release yet: run 'recloser run'."),
        el("h2", "Trips"),
        trips_table(view["trips"], shell) if view["trips"] else none("None."),
        _pager(view),
        *_freezes(shell, freezes),
        _retrain(shell),
    )


def _freezes(shell: Shell, freezes: Mapping[str, Any]) -> list[Markup | None]:
    """Return freezes in force and declared, with forms to declare and lift them."""
    person = shell.person
    rows = [
        (
            item["reason"],
            stamp(text_of(item["from"]), shell.wall),
            stamp(text_of(item["to"]), shell.wall) if item["to"] else "until it is lifted",
            None if person is None else act(person, "lift", "Lift", item["freeze"]),
        )
        for item in freezes["declared"]
    ]
    hours = [
        el("label", "Hours; empty: until it is lifted", el("input", name="hours", inputmode="decimal", size=8)),
        el("input", type="hidden", name="made", value=format_utc(shell.now)),  # sent twice, it is the same wish
    ]
    words = "Nothing is promoted or deployed meanwhile; rollbacks go on."
    form = None if person is None else act(person, "freeze", "Freeze promotions", None, hours, explain=words)
    recurring = [
        f"{item['reason']}: from {item['begins']} for {item['lasts_hours']} h" for item in freezes["recurring"]
    ]
    return [
        el("h2", "Freezes"),
        *[el("p", "▲ In force: ", item["reason"], class_="care") for item in freezes["in_force"]],
        table(("why", "from", "to", ""), rows, id_="freezes") if rows else none("None is declared."),
        el("ul", [el("li", line) for line in recurring], class_="facts") if recurring else None,
        form,
    ]


def _retrain(shell: Shell) -> Markup | None:
    words = "The running loop trains within a minute; budget and open data faults still decide."
    return None if shell.person is None else act(shell.person, "retrain", "Ask to retrain", None, explain=words)


def _pager(view: Mapping[str, Any]) -> Markup | None:
    if view["pages"] < 2:
        return None
    links = [el("a", f"page {n}", href=f"/releases?page={n}") for n in range(1, view["pages"] + 1)]
    return el("nav", links, class_="pager", aria_label="Pages")


def _route(route: Mapping[str, Any] | None) -> Markup:
    if route is None:
        return none("Nothing serves yet.")
    words: list[Child] = ["Champion ", release_link(route["champion"])]
    if route["canary"]:
        words += [", canary ", release_link(route["canary"]), f" for {reach_words(route, 'areas')}"]
    if route["shadow"]:
        words += [", in the shadow ", release_link(route["shadow"])]
    return el("p", words, ". Route epoch ", route["epoch"], ": ", linked(route["reason"]), class_="why")


def told(word: str) -> Markup:
    """Return a state, marked where it is bad or waits for somebody."""
    plain = word.replace("_", " ")
    if word in BAD:  # of the past: what the platform has dealt with is an event, not an alarm
        return el("span", f"■ {plain}", class_="state past")
    return el("span", f"▲ {plain}", class_="state care") if word in WAITS else el("span", plain)


def trips_table(trips: Sequence[Mapping[str, Any]], shell: Shell) -> Markup:
    """Return trips as a table."""
    rows = [
        (stamp(t["at"], shell.wall), release_link(t["release"]), t["tier"], linked(t["reason"]), t["recalled"])
        for t in trips
    ]
    return table(("at", "release", "tier", "reason", "recalled"), rows, numbers=(4,), id_="trips")


def release_page(shell: Shell, view: Mapping[str, Any], acts: Child = None) -> str:
    """Return the page of `app`'s release document; `acts` is what the signed-in person may do about it."""
    trigger = view["trigger"]
    facts = (
        ("Made", stamp(view["created_at"], shell.wall)),
        ("Asked for by", "-" if trigger is None else f"{trigger['kind']}: {trigger['reason']}"),
        ("Run", view["run"]),
        ("Package digest", el("code", view["digest"][:16])),
    )
    return page(
        shell,
        view["release"],
        el("h1", view["release"], " ", told(view["state"])),
        *_trips(view["trips"], shell),
        el("dl", [el("div", el("dt", name), el("dd", words)) for name, words in facts], class_="strip"),
        _dossier(view["release"]),
        acts,
        *_rollout(view["rollout"], shell),
        *_evidence(view),
        *_verdict(view["verdict"], shell),
        el("h2", "History"),
        events_table(view["history"], shell.wall),
    )


def _dossier(release: str) -> Markup:
    """Return the links to what an auditor is handed."""
    page, text = (f"/dossier?{urlencode({'name': release, 'form': form})}" for form in ("html", "json"))
    return el(
        "p",
        "Dossier for an auditor, signed: ",
        el("a", "page", href=page, download=True, id="dossier"),
        ", ",
        el("a", "document", href=text, download=True),
        el("span", " (proved by recloser dossier verify)", class_="quiet"),
    )


def _trips(trips: Sequence[Mapping[str, Any]], shell: Shell) -> list[Markup]:
    return [
        el(
            "p",
            "■ Tripped ",
            stamp(trip["at"], shell.wall),
            f" by {trip['tier']}: ",
            trip["reason"],
            f". {trip['recalled']} forecasts recalled.",
            class_="trip",
        )
        for trip in trips
    ]


def _rollout(rollout: Mapping[str, Any] | None, shell: Shell) -> list[Markup]:
    if rollout is None:
        return [el("h2", "Rollout"), none("It was never rolled out.")]
    lists = (("To advance", rollout["would_advance"]), ("Would end it", rollout["would_end"]))
    return [
        el("h2", "Rollout"),
        el(
            "p",
            told(rollout["state"]),
            " since ",
            stamp(rollout["since"], shell.wall),
            ": ",
            linked(rollout["reason"], shell.wall),
        ),
        *[
            el(
                "details",
                el("summary", head),
                el("ul", [el("li", linked(line, shell.wall)) for line in lines]),
                open=True,
                id=f"list-{k}",
            )
            for k, (head, lines) in enumerate(lists)
            if lines and not rollout["finished"]
        ],
    ]


def _evidence(view: Mapping[str, Any]) -> list[Markup]:
    path = view["path"]
    if path is None or not (path["trial"]["days"] or path["probation"]["days"]):
        return [el("h2", "Paired evidence"), none("No closed day yet on which both models answered.")]
    parts: list[Markup] = []
    for name, words in (("trial", "on trial"), ("probation", "on probation")):
        course = path[name]
        if not course["days"]:
            continue
        parts += [
            el("h2", f"Paired evidence {words}"),
            el(
                "div",
                el("figure", difference_chart(course["days"]), el("figcaption", _DIFFERENCES)),
                el("figure", wealth_chart(course["days"], course["limits"]), el("figcaption", _WEALTH)),
                class_="pair",
                id=f"evidence-{name}",
            ),
            _days_table(name, course["days"]),
        ]
    rows = [(row["area"], f"{100 * row['difference']:+.1f} %", row["days"]) for row in view["areas"]]
    names = ("area", "mean difference", "days")
    inside = table(names, rows, numbers=(1, 2))
    return [*parts, el("details", el("summary", "By area, worst first"), inside, id="by-area")]


_DIFFERENCES = "Daily difference of losses, in % of the champion's usual loss: above zero the candidate was worse."
_WEALTH = "Betting wealth: dashed against 'it is not worse', solid against 'it is worse by the margin'."


def _days_table(name: str, days: Sequence[Mapping[str, Any]]) -> Markup:
    rows = [
        (day["day"], f"{100 * day['difference']:+.2f} %", day["n"], _number(day["worse"]), _number(day["good"]))
        for day in days
    ]
    heads = ("day", "difference", "points", "wealth 'worse'", "wealth 'good'")
    inside = table(heads, rows, numbers=(1, 2, 3, 4))
    return el("details", el("summary", "The numbers of the drawings"), inside, id=f"days-{name}")


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.3g}"


def _verdict(verdict: Mapping[str, Any] | None, shell: Shell) -> list[Markup]:
    if verdict is None:
        return [el("h2", "Gate"), none("No verdict is recorded.")]
    rank = {"refuse": 0, "hold": 1}
    checks = sorted(verdict["checks"], key=lambda check: rank.get(check["verdict"], 2))
    rows = [(told(check["verdict"]), check["name"], check["reason"]) for check in checks]
    waivers = [
        el(
            "li",
            f"{w['check']} set aside by {w['name']} until ",
            stamp(w["expires_at"], shell.wall),
            f": {w['reason']}",
        )
        for w in verdict["waivers"]
    ]
    return [
        el("h2", "Gate"),
        el(
            "p",
            told(verdict["verdict"]),
            " ",
            stamp(verdict["at"], shell.wall),
            ": ",
            verdict["reason"],
            " Evidence ",
            el("code", verdict["evidence_digest"][:16]),
            ".",
        ),
        el("ul", waivers, class_="facts") if waivers else el("span"),
        table(("verdict", "check", "why"), rows, id_="checks"),
        *_slices(verdict["checks"]),
    ]


def _slices(checks: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Return accuracy by slice against the champion, worst first, where the gate measured it."""
    found = next((check for check in checks if check["name"] == "performance.slices"), None)
    slices = {} if found is None else found["numbers"].get("slices") or {}
    rows = [
        (name, f"{100 * item['relative']:+.1f} %", _range(item), item.get("days", "-"))
        for name, item in sorted(slices.items(), key=lambda pair: -(pair[1].get("relative") or 0.0))
        if item.get("relative") is not None
    ]
    if not rows:
        return []
    inside = table(("slice", "loss against the champion", "range", "days"), rows, numbers=(1, 2, 3))
    return [el("details", el("summary", "Accuracy by slice"), inside, id="slices")]


def _range(item: Mapping[str, Any]) -> str:
    low, high = item.get("lower"), item.get("upper")
    return "-" if low is None or high is None else f"{100 * low:+.1f} .. {100 * high:+.1f} %"
