"""Owns putting a device's readings through the quality steps, and knowing what was said before. Stores nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from recloser.connectors.cleaning.steps import STEPS, CleaningRules, History, remember
from recloser.connectors.points import Point, PointQuality, PointReading, Readings, has_any

KEPT = 512  # statements of a point that are known again

Statement = tuple[int, float | None, int]


class Kind(Enum):
    """What a reading is: news; what is valid, said once more; or what was said before and is old."""

    READING = "reading"
    CONFIRMED = "confirmed"
    REPEATED = "repeated"


SAID = {Kind.CONFIRMED: "said before and still so", Kind.REPEATED: "said before"}


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A reading with the bits it earned, when it is about (ns since 1970 UTC), and why it is not as it came."""

    kind: Kind
    reading: PointReading
    at_ns: int
    reason: str = ""


class Cleaner:
    """Cleans the readings of one device in their order. For one thread; `recall` restores its memory after a restart.

    A statement with a source time that was made before is not counted again: a peer that sends anew what it was not
    told has arrived doubles nothing.

    Args:
        points: by name; a reading of another point passes as it is.
        rules: of the device.
    """

    def __init__(self, points: Mapping[str, Point], rules: CleaningRules | None = None) -> None:
        self._points, self._rules = dict(points), rules or CleaningRules()
        self._histories: dict[str, History] = {}
        self._said: dict[str, OrderedDict[Statement, None]] = {}

    def recall(self, earlier: Iterable[PointReading]) -> None:
        """Take note of readings that were cleaned before, in their order; their bits are as they were stored."""
        for reading in earlier:
            if reading.point in self._points:
                self._note(reading)

    def clean(self, reading: PointReading) -> Cleaned:
        """Return the reading with what the steps say."""
        kind = self._kind(reading)
        if kind is Kind.REPEATED:
            return Cleaned(kind, reading, reading.at_ns, SAID[kind])
        if kind is Kind.CONFIRMED:
            return Cleaned(kind, reading, reading.receive_ns, SAID[kind])
        point = self._points.get(reading.point)
        if point is None or has_any(reading.quality, STALE):
            return Cleaned(kind, reading, reading.at_ns)
        history = self._histories.setdefault(reading.point, History())
        reasons: list[str] = []
        for step in STEPS:
            found = step(reading, point, history, self._rules)
            if found is not None:
                reading = replace(reading, quality=reading.quality | found[0])
                reasons.append(found[1])
        self._note(reading)
        return Cleaned(kind, reading, reading.at_ns, "; ".join(reasons))

    def clean_all(self, readings: Readings) -> list[Cleaned]:
        """Return readings, one after another, with what the steps say."""
        return [self.clean(reading) for reading in readings]

    def _kind(self, reading: PointReading) -> Kind:
        statement, said = _statement(reading), self._said.get(reading.point)
        if statement is None or said is None or statement not in said:
            return Kind.READING
        return Kind.CONFIRMED if next(reversed(said)) == statement else Kind.REPEATED

    def _note(self, reading: PointReading) -> None:
        statement = _statement(reading)
        if statement is not None:
            said = self._said.setdefault(reading.point, OrderedDict())
            said[statement] = None
            said.move_to_end(statement)
            if len(said) > KEPT:
                said.popitem(last=False)
        point = self._points.get(reading.point)
        if point is not None and not has_any(reading.quality, STALE):
            remember(reading, point, self._histories.setdefault(reading.point, History()))


OURS = (
    PointQuality.OUT_OF_LIMITS
    | PointQuality.JUMP
    | PointQuality.UNCHANGED
    | PointQuality.UNIT_SUSPECT
    | PointQuality.CLOCK_SUSPECT
    | PointQuality.CYCLING
)

STALE, THEIRS = int(PointQuality.STALE), ~int(OURS)


def _statement(reading: PointReading) -> Statement | None:
    """Return what a reading says apart from our own marks; None where it has no source time to be known by."""
    if reading.source_ns is None or has_any(reading.quality, STALE):
        return None
    return reading.source_ns, reading.number, int.__and__(reading.quality, THEIRS)
