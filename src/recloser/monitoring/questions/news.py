"""Owns what to say about changes of areas: one signal a change, neighbours joined to it, what is over closed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from recloser.monitoring.questions.attribution import Attributed, change_signals
from recloser.monitoring.signal import Signal, name_areas

JOINS = timedelta(days=35)
NOTICE_DAYS = timedelta(days=35)
ACCEPTED = timedelta(days=56)


@dataclass(frozen=True, slots=True)
class Standing:
    """An open concept_drift signal.

    Attributes:
        signal: as it was said; no areas means the whole fleet.
        answered: a new champion serves since.
        faulty: a data fault is known now that explains it.
    """

    signal: Signal
    answered: bool = False
    faulty: bool = False

    @property
    def fleet(self) -> bool:
        """Whether it is about the whole fleet."""
        return not self.signal.areas

    @property
    def known(self) -> bool:
        """Whether its cause is known to be load itself; the fleet's own needs no second measurement."""
        return self.fleet or self.signal.evidence.get("cause") == "drift"


@dataclass(frozen=True, slots=True)
class News:
    """What to write down.

    Attributes:
        opened: new signals.
        joined: standing signals with more areas, same key.
        closed: key -> why it is over.
    """

    opened: tuple[Signal, ...] = ()
    joined: tuple[Signal, ...] = ()
    closed: Mapping[str, str] = field(default_factory=dict)


def news(attributed: Sequence[Attributed], fresh: frozenset[str], standing: Sequence[Standing], now: datetime) -> News:
    """Return what to say now.

    - A change that a data fault explains has its signal already: that of the fault.
    - A change of an area (or fleet) whose drift stands open is part of it.
    - A change that neighbours or a second measurement bear out is a drift: it joins a standing one of the same kind and
      direction, else it opens one with all areas that changed alike, whose notices end.
    - Any other one is a notice of its area: cause unknown, watch.
    - A drift is over when a new champion answers it, or after eight weeks, when the level counts as normal; a notice
      after five weeks, or when a data fault turns out to explain it.

    Args:
        attributed: all changes of the last weeks with their causes.
        fresh: areas whose change is new.
        standing: open concept_drift signals, the fleet's included (which are never closed here).
        now: aware UTC.
    """
    closed = {one.signal.key: why for one in standing if (why := _over(one, now))}
    left = [one for one in standing if one.signal.key not in closed]
    drifts = {one.signal.key: one.signal for one in left if one.known}
    joined: dict[str, Signal] = {}
    opening = []
    for one in _new(attributed, fresh, left):
        host = next((s for s in drifts.values() if one.cause == "drift" and _alike(s, one, now)), None)
        if host is None:
            opening.append(one)
        else:
            joined[host.key] = drifts[host.key] = _with(host, one)
    notices = [one.signal for one in left if not one.known]
    said = {area for notice in notices for area in notice.areas}
    alone = [one for one in opening if one.cause == "unknown" and one.area not in said]
    opened = change_signals([*_together(attributed, opening, drifts.values()), *alone], now)
    for notice in notices:
        part = next((s for s in (*opened, *joined.values()) if _holds(s, notice)), None)
        if part is not None:
            closed[notice.key] = f"part of {part.key}: {name_areas(part.areas)}"
    return News(opened, tuple(joined.values()), closed)


def _new(attributed: Sequence[Attributed], fresh: frozenset[str], left: Sequence[Standing]) -> list[Attributed]:
    """Return the changes that are new, not a fault's, and not part of a drift that stands open."""
    if any(one.fleet for one in left):
        return []
    drifting = {area for one in left if one.known for area in one.signal.areas}
    return [one for one in attributed if one.area in fresh and one.cause != "fault" and one.area not in drifting]


def _together(
    attributed: Sequence[Attributed], opening: Sequence[Attributed], drifts: Iterable[Signal]
) -> list[Attributed]:
    """Return what drifted like the new drifts, earlier changes of areas without an open drift included."""
    kinds = {(one.change.channel, one.change.direction) for one in opening if one.cause == "drift"}
    told = {area for signal in drifts for area in signal.areas}
    alike = [one for one in attributed if (one.change.channel, one.change.direction) in kinds]
    return [one for one in alike if one.cause == "drift" and one.area not in told]


def _over(one: Standing, now: datetime) -> str:
    if one.fleet:
        return ""
    if one.faulty and not one.known:
        return "the data were at fault"
    if one.known and one.answered:
        return "a new champion answers it"
    if now - one.signal.at >= (ACCEPTED if one.known else NOTICE_DAYS):
        return "what load does now counts as normal"
    return ""


def _alike(signal: Signal, one: Attributed, now: datetime) -> bool:
    same = (signal.evidence.get("kind"), signal.evidence.get("direction")) == (one.change.channel, one.change.direction)
    return same and bool(signal.areas) and now - signal.at <= JOINS


def _holds(signal: Signal, notice: Signal) -> bool:
    return signal.evidence.get("cause") == "drift" and set(notice.areas) <= set(signal.areas)


def _with(signal: Signal, one: Attributed) -> Signal:
    areas = tuple(sorted({*signal.areas, one.area}))
    scores = {**signal.evidence.get("score", {}), one.area: one.change.score}
    reason = signal.reason.replace(f"of {name_areas(signal.areas)} ", f"of {name_areas(areas)} ", 1)
    return replace(signal, areas=areas, reason=reason, evidence={**signal.evidence, "score": scores})
