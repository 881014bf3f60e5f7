"""Owns the error root and its three branches by what the caller does next. Does not own exit messages of any verb."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

MANY = 40  # names in a sentence: a file may have thousands of columns


class RecloserError(Exception):
    """Root of all errors raised on purpose; built from facts, told as a sentence by `explain`.

    Args:
        what: what went wrong, as a short clause.
        got: the offending value, if there is one.
        expected: what would have been right.
        where: file, row, key, area or step.
        next_step: what a person should do now.
    """

    exit_code = 4

    def __init__(
        self,
        what: str,
        *,
        got: Any = None,
        expected: str | None = None,
        where: str | None = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.got = got
        self.expected = expected
        self.where = where
        self.next_step = next_step

    def explain(self) -> str:
        """Return the operator's sentence: what, where, got, expected, next step."""
        parts = [self.what if self.where is None else f"{self.where}: {self.what}"]
        if self.got is not None:
            parts.append(f"got {self.got!r}")
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        sentence = "; ".join(parts).rstrip(".") + "."
        return sentence if self.next_step is None else f"{sentence} {self.next_step}"

    def __str__(self) -> str:
        return self.explain()

    def facts(self) -> dict[str, Any]:
        """Return the facts as a JSON-ready mapping, for `--json` output and problem documents.

        `error` is the branch, whatever finer kind within it this is: callers go by what they should do next.
        """
        kinds = type(self).__mro__
        return {
            "error": next((kind.__name__ for kind in kinds if RecloserError in kind.__bases__), kinds[0].__name__),
            "what": self.what,
            "got": None if self.got is None else repr(self.got),
            "expected": self.expected,
            "where": self.where,
            "next_step": self.next_step,
        }


class InvalidInput(RecloserError):
    """The caller gave something wrong and must fix it; repeating the call cannot help."""

    exit_code = 2


class Unavailable(RecloserError):
    """Something needed is not there now; retry with backoff or fall back."""

    exit_code = 3


class Refused(RecloserError):
    """A gate or a policy said no; a person or new evidence is needed."""

    exit_code = 1


class Conflict(Refused):
    """Somebody else wrote, in between, what a decision was taken on; nothing was written. Read and decide again."""


class Unproven(Refused):
    """Who asks is not proven. `why` is for the log of whoever was asked; the caller is told nothing of it."""

    def __init__(self, what: str, *, why: str, next_step: str | None = None) -> None:
        super().__init__(what, next_step=next_step)
        self.why = why


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to a misspelt one, or None if nothing is near."""
    names = list(known)
    alike = [candidate for candidate in names if candidate.casefold() == name.casefold()]
    matches = alike or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return matches[0] if matches else None


def unknown_name(kind: str, name: str, known: Iterable[str], where: str | None = None) -> InvalidInput:
    """Build the error for a name outside a closed vocabulary, naming the nearest known one."""
    names = sorted(known)
    guess = nearest(name, names)
    return InvalidInput(
        f"unknown {kind}",
        got=name,
        expected="one of " + ", ".join(names[:MANY]) + (f" and {len(names) - MANY} more" if len(names) > MANY else ""),
        where=where,
        next_step=f"Did you mean {guess!r}?" if guess else f"Use one of the known {kind} names.",
    )
