"""Owns what passes between the threads that drive one course: verdicts so far, who watches. Does not drive it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from recloser.core import FloatArray


@dataclass(slots=True)
class Verdicts:
    """One model's answers and faults by index of the group in the whole batch."""

    mw: dict[int, FloatArray] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)


class Watch(Protocol):
    """Is told which model is at work, so that another thread can see that it takes too long."""

    def begin(self, name: str) -> None:
        """Note that this model is being asked from now on."""
        ...

    def end(self) -> None:
        """Note that it came back; may raise to end a course that another thread has taken over."""
        ...


class Unwatched:
    """A watch that nobody looks at."""

    def begin(self, name: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What is known when a course is taken over from a thread whose model is late.

    Attributes:
        groups: indices of the groups still without an answer.
        known: verdicts of the models that had come back.
        absent: models that must not be asked -> why.
    """

    groups: Sequence[int]
    known: Mapping[str, Verdicts]
    absent: Mapping[str, str]
