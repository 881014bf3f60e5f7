"""Owns making markup that is safe whatever the texts are: every text is escaped unless it is Markup. Knows no page."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias

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
    return Markup(f"<{tag}{told}>{join(children)}</{tag}>")


def join(children: Child) -> Markup:
    """Return the children one after the other, texts escaped."""
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, str | int | float):
        return Markup(html.escape(str(children)))
    return Markup("".join(join(child) for child in children))


def _attribute(name: str, given: Attribute) -> str:
    if given is None or given is False:
        return ""
    return f" {name}" if given is True else f' {name}="{html.escape(str(given))}"'
