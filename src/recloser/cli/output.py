"""Owns how results and errors are told: one JSON document on stdout, or text for people; logs go to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO
from unicodedata import category

import click

from recloser.core import jsonable

BREAKS = "\n\r\t\v\f\x1c\x1d\x1e\x85\u2028\u2029"
WITH_LINES = frozenset({"story", "table"})
"""Texts of our own that are more than a line."""


def emit(document: Mapping[str, Any], *, as_json: bool, text: Callable[[Mapping[str, Any]], str]) -> None:
    """Print one JSON document, or the text made from it, on the program's real stdout."""
    try:
        write_line(stdout(), json_text(document) if as_json else text(cleaned(document)))
    except BrokenPipeError:
        raise click.exceptions.Exit(0) from None  # the reader has seen enough: `recloser status | head -1`


def cleaned(told: Any) -> Any:
    """Return a document whose texts cannot command a terminal or forge a line of it; only tables keep their lines."""
    if type(told) is str:
        return visible("".join(" " if c in BREAKS else c for c in told))
    if isinstance(told, Mapping):
        return {
            cleaned(key): visible(one) if key in WITH_LINES and isinstance(one, str) else cleaned(one)
            for key, one in told.items()
        }
    return [cleaned(one) for one in told] if isinstance(told, list | tuple) else told


def visible(text: str) -> str:
    """Return a text without what moves a cursor, rings, colours or turns its reading direction."""
    return "".join(c if c.isprintable() or c in "\n\t" or category(c) == "Zs" else "?" for c in text)


def sentence(document: Mapping[str, Any]) -> str:
    """Return the one sentence that a document tells a person."""
    return str(document["sentence"])


def stdout() -> TextIO:
    """Return the program's real stdout, whatever else sys.stdout was turned into."""
    context = click.get_current_context(silent=True)
    given = None if context is None else context.find_root().obj
    return sys.stdout if given is None else given


def json_text(document: Mapping[str, Any]) -> str:
    """Return the document as JSON text (RFC 8259: no NaN), readable by people; what does not print is escaped."""
    text = json.dumps(jsonable(document), ensure_ascii=False, indent=1, allow_nan=False)
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if letter.isascii() else json.dumps(letter)[1:-1]


def write_line(out: TextIO, text: str) -> None:
    """Write a line; what the terminal's encoding cannot show is escaped as in JSON, instead of failing."""
    encoding = getattr(out, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text)
    out.write(text + "\n")
    out.flush()


def say(line: str) -> None:
    """Print a line of progress for people on stderr."""
    write_line(sys.stderr, visible(line))
