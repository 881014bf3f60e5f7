"""Owns making markup that is safe whatever the texts are: every text is escaped unless it is Markup. Knows no page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TypeAlias

PLAIN = frozenset({"title", "option", "textarea", "text"})
"""Elements that hold text alone."""
LONG_WORD = re.compile(r"(\S{41,})")
PIECE = 20
"""Letters of a word longer than any language's after each of which its line may end."""
VOID = frozenset({"meta", "link", "input", "br", "hr", "img", "col"})


class Markup(str):
    """Text that is markup already; made by `el` and `join` alone."""

    __slots__ = ()


Child: TypeAlias = "str | int | float | Iterable[Child] | None"
Attribute: TypeAlias = "str | int | float | bool | None"


def el(tag: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """Return an element; texts among `children` are escaped, None is left out.

    Attributes are given as Python names: `class_` is class, `data_at` is data-at; True is a bare attribute, None and
    False leave it out. There is no way to write a style or a script: the pages' content policy forbids both.
    """
    told = "".join(_attribute(key.rstrip("_").replace("_", "-"), given) for key, given in attributes.items())
    if tag in VOID:
        return Markup(f"<{tag}{told}>")
    inside = join(children)
    return Markup(f"<{tag}{told}>{inside.replace('<wbr>', '') if tag in PLAIN else inside}</{tag}>")


def join(children: Child) -> Markup:
    """Return the children one after the other, texts escaped."""
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, str | int | float):
        return Markup(_escaped(str(children)))
    return Markup("".join(join(child) for child in children))


def _escaped(text: str) -> str:
    """Return a text escaped; a table would be as wide as its longest word, so very long ones may be broken."""
    if len(text) <= 2 * PIECE:
        return html.escape(text)
    parts = LONG_WORD.split(text)
    return "".join(_broken(part) if k % 2 else html.escape(part) for k, part in enumerate(parts))


def _broken(word: str) -> str:
    return "<wbr>".join(html.escape(word[k : k + PIECE]) for k in range(0, len(word), PIECE))


def _attribute(name: str, given: Attribute) -> str:
    if given is None or given is False:
        return ""
    return f" {name}" if given is True else f' {name}="{html.escape(str(given))}"'
