"""Owns how results and errors are told: one JSON document on stdout, or text for people; logs go to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import click

from recloser.core import jsonable


def emit(document: Mapping[str, Any], *, as_json: bool, text: Callable[[Mapping[str, Any]], str]) -> None:
    """Print one JSON document, or the text made from it, on the program's real stdout."""
    try:
        write_line(stdout(), json_text(document) if as_json else text(document))
    except BrokenPipeError:
        raise click.exceptions.Exit(0) from None  # the reader has seen enough: `recloser status | head -1`


def sentence(document: Mapping[str, Any]) -> str:
    """Return the one sentence that a document tells a person."""
    return str(document["sentence"])


def stdout() -> TextIO:
    """Return the program's real stdout, whatever else sys.stdout was turned into."""
    context = click.get_current_context(silent=True)
    given = None if context is None else context.find_root().obj
    return sys.stdout if given is None else given


def json_text(document: Mapping[str, Any]) -> str:
    """Return the document as JSON text (RFC 8259: no NaN), readable by people."""
    return json.dumps(jsonable(document), ensure_ascii=False, indent=1, allow_nan=False)


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
    write_line(sys.stderr, line)
