"""Owns how results and errors are told: one JSON document on stdout, or text for people; logs go to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from recloser.core import RecloserError, jsonable

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def emit(document: Mapping[str, Any], *, as_json: bool, text: Callable[[Mapping[str, Any]], str]) -> None:
    """Print one JSON document, or the text made from it."""
    if as_json:
        sys.stdout.write(json.dumps(jsonable(document), ensure_ascii=False, indent=1) + "\n")
    else:
        stdout.print(text(document), markup=False)


def tell_error(error: RecloserError, *, as_json: bool) -> None:
    """Print what went wrong: a sentence on stderr, and with --json the facts on stdout."""
    if as_json:
        sys.stdout.write(json.dumps(jsonable(error.facts()), ensure_ascii=False, indent=1) + "\n")
    stderr.print(f"recloser: {error.explain()}", markup=False)


def say(line: str) -> None:
    """Print a line of progress for people on stderr."""
    stderr.print(line, markup=False)
