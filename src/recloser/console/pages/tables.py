"""Owns tables and texts with links to releases, which many pages share. Knows no page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from recloser.console.markup import Child, Markup, el, join
from recloser.console.pages.words import Wall, stamp
from recloser.core import InvalidInput

RELEASE = re.compile(r"\brel-[0-9a-f]{12}\b")
INSTANT = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
TOLD = re.compile(f"{RELEASE.pattern}|{INSTANT.pattern}")


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Child]], *, numbers: Sequence[int] = (), id_: str = ""
) -> Markup:
    """Return a table; the columns named by `numbers` are aligned as numbers."""
    made = [
        el("tr", [el("td", cell, class_="n" if k in numbers else None) for k, cell in enumerate(row)]) for row in rows
    ]
    top = [el("th", name, scope="col", class_="n" if k in numbers else None) for k, name in enumerate(heads)]
    return el("table", el("thead", el("tr", top)), el("tbody", made, id=id_ or None))


def release_link(release: str | None) -> Markup:
    """Return a link to a release's page; a rung of the ladder in words, a dash without any."""
    if release is None or not RELEASE.fullmatch(release):
        return el("span", (release or "-").replace("_", " "))
    return el("a", release, href=f"/release?{urlencode({'name': release})}")


def model_link(release: str | None) -> Markup | None:
    """Return a link to the release that serves, None for a rung of the ladder, which `who` names already."""
    return release_link(release) if release and RELEASE.fullmatch(release) else None


def linked(text: str, wall: Wall | None = None) -> Markup:
    """Return a text in which every release is a link to its page, and with a clock every instant as it tells it."""
    parts: list[Child] = []
    end = 0
    for found in (RELEASE if wall is None else TOLD).finditer(text):
        word = found.group()
        parts += [text[end : found.start()], release_link(word) if RELEASE.fullmatch(word) else _instant(word, wall)]
        end = found.end()
    return join([*parts, text[end:]])


def _instant(word: str, wall: Wall | None) -> Child:
    """Return an instant as the clock tells it; what people wrote may only look like one."""
    try:
        return word if wall is None else stamp(word, wall)
    except InvalidInput:
        return word


def none(words: str) -> Markup:
    """Return the sentence that stands where a table would be empty."""
    return el("p", words, class_="quiet")
