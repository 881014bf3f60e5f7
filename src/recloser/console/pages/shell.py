"""Owns what every page has around it: head, bar, navigation, connection state, and the page that tells a problem."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from recloser.console.markup import Child, Markup, el, join
from recloser.console.pages.words import local
from recloser.core import format_utc

PLACES = (("Overview", "/"), ("Releases", "/releases"))


@dataclass(frozen=True, slots=True)
class Shell:
    """What is around a page.

    Attributes:
        project: its name.
        now: the instant that the page shows (aware UTC).
        zone: local zone of the project.
        standing: the clock stands still (a finished replay is shown).
        length: number of audit entries when the page was made.
        place: address of the page's entry in the navigation.
        asks: a person may be asked something on this page, which must not be replaced under their hands.
    """

    project: str
    now: datetime
    zone: ZoneInfo
    standing: bool = False
    length: int = 0
    place: str = "/"


def page(shell: Shell, title: str, *content: Child) -> str:
    """Return a whole page."""
    body = el(
        "body",
        el("a", "To the content", href="#main", class_="skip"),
        el("header", _bar(shell), el("p", class_="cut", id="link", role="status", hidden=True), id="bar"),
        el("main", *content, id="main", tabindex=-1),
        data_now=format_utc(shell.now),
        data_length=shell.length,
        data_standing=shell.standing or None,
    )
    return _document(f"{title} - {shell.project} - Recloser", body)


def problem(sentence: str, title: str = "Not available now") -> str:
    """Return the page that says what keeps a page from being shown."""
    content = el("main", el("h1", title), el("p", sentence, class_="care"), el("p", el("a", "Overview", href="/")))
    return _document(f"{title} - Recloser", el("body", content))


def _bar(shell: Shell) -> Markup:
    links = [el("a", name, href=where, aria_current="page" if where == shell.place else None) for name, where in PLACES]
    words = f"{local(shell.now, shell.zone)}" + (" (the clock stands: a finished replay)" if shell.standing else "")
    return join(
        [
            el("strong", shell.project, class_="project"),
            el("nav", links, aria_label="Levels"),
            el("span", words, class_="quiet", id="clock"),
        ]
    )


def _document(title: str, body: Markup) -> str:
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("link", rel="stylesheet", href="/static/console.css"),
        el("link", rel="icon", href="/static/icon.svg"),
        el("noscript", el("meta", http_equiv="refresh", content=30)),
        el("script", src="/static/console.js", defer=True),
    )
    return f"<!doctype html>{el('html', head, body, lang='en')}"
