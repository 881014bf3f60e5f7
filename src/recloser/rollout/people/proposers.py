"""Owns who had a hand in a release, so that nobody approves alone what is his own. Asks nobody and reads nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

UNPROVEN_PEOPLE = 2
"""So many people at least must approve what a stranger proposed: one of them may be the stranger."""


def identity(name: str) -> str:
    """Return a name as it is compared: letter case, width, invisible characters and spaces do not make a person."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join("".join(c for c in folded if unicodedata.category(c) != "Cf").split())


@dataclass(frozen=True, slots=True)
class Proposers:
    """The people behind a release: who asked for its run, wrote the commit that did, or set a check of the gate aside.

    Attributes:
        known: people that the project names; they may not approve it.
        strangers: names that the project does not know. Any approver might be the person behind one, so that at least
            two people must approve.
    """

    known: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()

    def bar(self, name: str) -> bool:
        """Return whether this person proposed the release and may therefore not approve it."""
        return identity(name) in {identity(other) for other in (*self.known, *self.strangers)}

    def needed(self, people: int) -> int:
        """Return how many people must approve where the plan wants `people`."""
        return max(people, UNPROVEN_PEOPLE) if self.strangers else people

    def joined(self, other: Proposers) -> Proposers:
        """Return both; one person once."""
        return Proposers(_once((*self.known, *other.known)), _once((*self.strangers, *other.strangers)))

    def told(self) -> str:
        """Return them in plain words, empty without any."""
        unknown = [f"{name} (not named in [rollout.approval])" for name in self.strangers]
        return ", ".join([*self.known, *unknown])

    def to_dict(self) -> dict[str, list[str]]:
        """Return them as JSON-ready data."""
        return {"known": list(self.known), "strangers": list(self.strangers)}

    @classmethod
    def from_memory(cls, memory: Mapping[str, Any]) -> Proposers:
        """Return what a rollout's memory says; records of older versions name one person, or nobody."""
        found = memory.get("proposers")
        if found is not None:
            return cls(tuple(found["known"]), tuple(found["strangers"]))
        return cls((memory["proposer"],)) if memory.get("proposer") else cls()


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple({identity(name): name for name in reversed(tuple(names))}.values())[::-1]
