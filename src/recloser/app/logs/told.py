"""Owns Told: a sentence with how grave it is and what it is about. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

LEVELS = ("debug", "info", "warning", "error")


class Told(str):
    """A sentence for people that carries what a log line keeps in columns; for everybody else it is the sentence.

    Attributes:
        level: one of LEVELS.
        about: names by kind, such as {"release": ["rel-..."], "device": ["pmu-7"]}.
    """

    __slots__ = ("about", "level")

    level: str
    about: Mapping[str, list[str]]

    def __new__(cls, sentence: str, level: str = "info", about: Mapping[str, list[str]] | None = None) -> Self:
        """Return the sentence with its level and what it is about."""
        made = super().__new__(cls, sentence)
        made.level, made.about = level, dict(about or {})
        return made


def told(sentence: str, level: str = "info", /, **about: str | Iterable[str] | None) -> Told:
    """Return a sentence with its level and names, each one or several: `told("up", device="pmu-7")`."""
    named = {
        kind: [names] if isinstance(names, str) else [str(name) for name in names]
        for kind, names in about.items()
        if names is not None
    }
    return Told(sentence, level, {kind: names for kind, names in named.items() if names})


def level_of(sentence: str) -> str:
    """Return how grave a sentence is: as it says itself, else a warning, for processes are silent while all is well."""
    return sentence.level if isinstance(sentence, Told) else "warning"
