"""Owns what tables need of the place they lie in, and how writers take turns there. Knows no storage."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self, TypeVar

from recloser.core import Unavailable

T = TypeVar("T")
ATTEMPTS = 200
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0


class Overtaken(Unavailable):
    """Somebody else committed first: look again at what is stored, and repeat the step."""


class Place(Protocol):
    """Where tables lie; thread safe, any number of processes may use one.

    Attributes:
        uri: of the place, as deltalake and polars take it.
        options: what deltalake needs to get there; None where it needs nothing.
        reading: the same for polars.
        whole: a file appears whole and durable or not at all, whatever fails.
        locked: `turn` keeps other writers out; where it does not, a step that was overtaken must be repeated.
    """

    uri: str
    options: dict[str, str] | None
    reading: dict[str, Any] | None
    whole: bool
    locked: bool

    def child(self, name: str) -> Self:
        """Return the place below this one."""
        ...

    def sizes(self, below: str) -> Mapping[str, int]:
        """Return the bytes of every file below a folder of this place, by its path in this place.

        Raises:
            Unavailable: the place cannot be reached or listed now; never told as an empty place.
        """
        ...

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            Unavailable: it is not there, or cannot be read now.
        """
        ...

    def prove(self) -> None:
        """Make sure that tables may be created here.

        Raises:
            Refused: the place would lose commits of concurrent writers.
            Unavailable: it cannot be written now.
        """
        ...

    def turn(self) -> AbstractContextManager[None]:
        """Return the block in which one may write.

        Raises:
            Unavailable: it cannot be written, or somebody else writes for minutes on end.
        """
        ...

    def sync(self, names: Sequence[str]) -> None:
        """Make files of this place durable, and that they are there."""
        ...


def in_turn(place: Place, step: Callable[[], T]) -> T:
    """Return what `step` returns, done while nobody else writes, or repeated until nobody has written meanwhile.

    Args:
        place: where is written.
        step: looks at what is stored and commits once, raising Overtaken if somebody else did so in between.

    Raises:
        Unavailable: no turn came in minutes.
    """
    pause_s = FIRST_PAUSE_S
    for left in reversed(range(ATTEMPTS)):
        try:
            with place.turn():
                return step()
        except Overtaken:
            if place.locked or not left:
                raise
            time.sleep(random.uniform(0, pause_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    raise AssertionError("the last attempt returns or raises")
