"""Owns tables and texts with links to releases, which many pages share. Knows no page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from recloser.console.markup import Child, Markup, el, join

RELEASE = re.compile(r"\brel-[0-9a-f]{12}\b")


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
    """Return a link to a release's page; a dash without one."""
    return el("a", release, href=f"/release?{urlencode({'name': release})}") if release else el("span", "-")


def linked(text: str) -> Markup:
    """Return a text in which every release is a link to its page."""
    parts: list[Child] = []
    end = 0
    for found in RELEASE.finditer(text):
        parts += [text[end : found.start()], release_link(found.group())]
        end = found.end()
    return join([*parts, text[end:]])


def none(words: str) -> Markup:
    """Return the sentence that stands where a table would be empty."""
    return el("p", words, class_="quiet")
