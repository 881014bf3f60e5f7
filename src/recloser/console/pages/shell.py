"""Owns what every page has around it: head, bar, navigation, connection state, and the page that tells a problem."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from recloser.console.markup import Child, Markup, el, join
from recloser.console.pages.acts import Person, stop
from recloser.console.pages.tables import linked
from recloser.console.pages.words import Wall, local
from recloser.core import format_utc

PLACES = (
    ("Overview", "/"),
    ("Alarms", "/alarms"),
    ("Releases", "/releases"),
    ("Theatre", "/theatre"),
    ("Diagnostics", "/diagnostics"),
)


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
        person: who has signed in, None where nobody has.
        told: what became of the person's act, and whether it went well.
    """

    project: str
    now: datetime
    zone: ZoneInfo
    standing: bool = False
    length: int = 0
    place: str = "/"
    person: Person | None = None
    told: tuple[str, bool] | None = None

    @property
    def wall(self) -> Wall:
        """The clock that its dates are told by."""
        return Wall(self.zone, self.now)


def page(shell: Shell, title: str, *content: Child) -> str:
    """Return a whole page."""
    body = el(
        "body",
        el("a", "To the content", href="#main", class_="skip"),
        el("header", _bar(shell), el("p", class_="cut", id="link", role="status", hidden=True), id="bar"),
        el("main", _told(shell), *content, id="main", tabindex=-1),
        data_now=format_utc(shell.now),
        data_length=shell.length,
        data_standing=shell.standing or None,
    )
    return _document(f"{title} - {shell.project} - Recloser", body)


def problem(sentence: str, title: str = "Not available now") -> str:
    """Return the page that says what keeps a page from being shown."""
    content = el("main", el("h1", title), el("p", sentence, class_="care"), el("p", el("a", "Overview", href="/")))
    return _document(f"{title} - Recloser", el("body", content))


def bare(title: str, *content: Child, head: Markup | None = None) -> str:
    """Return a page without a project around it; `head` is put into its head."""
    return _document(f"{title} - Recloser", el("body", el("main", el("h1", title), *content, id="main")), head)


def _told(shell: Shell) -> Markup | None:
    if shell.told is None:
        return None
    sentence, well = shell.told
    return el(
        "p",
        linked(sentence if well else f"▲ {sentence}", shell.wall),
        class_="done" if well else "care",
        role="status",
        id="told",
    )


def _person(shell: Shell) -> Markup | None:
    person = shell.person
    if person is None:
        return None
    leave = el(
        "form",
        el("input", type="hidden", name="csrf", value=person.csrf),
        el("button", "Sign out"),
        method="post",
        action="/sign-out",
    )
    name = el("a", person.name, href="/password", title="another password") if person.local else el("span", person.name)
    roles = el("span", f" ({', '.join(person.roles)})", class_="quiet small")
    return el("div", stop(person), el("span", name, roles), leave, class_="right")


def _bar(shell: Shell) -> Markup:
    links = [el("a", name, href=where, aria_current="page" if where == shell.place else None) for name, where in PLACES]
    words = f"{local(shell.now, shell.zone)}" + (" (the clock stands: a finished replay)" if shell.standing else "")
    return join(
        [
            el("strong", shell.project, class_="project"),
            el("nav", links, aria_label="Levels"),
            el("span", words, class_="quiet", id="clock", data_at=local(shell.now, shell.zone)),
            _person(shell),
        ]
    )


def _document(title: str, body: Markup, more: Markup | None = None) -> str:
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("link", rel="stylesheet", href="/static/console.css"),
        el("link", rel="icon", href="/static/icon.svg"),
        more,
        el("noscript", el("meta", http_equiv="refresh", content=30)),
        el("script", src="/static/console.js", defer=True),
    )
    return f"<!doctype html>{el('html', head, body, lang='en')}"
