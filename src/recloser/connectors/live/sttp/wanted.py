"""Owns which signals of a publisher a registry's points are, and the filter expression that asks for them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from recloser.connectors.points import Point
from recloser.connectors.sttp import Signal
from recloser.core import Unavailable

MOST_ASKED = 600  # signals by name: publishers take 32 KiB; above, all are asked for and the wanted ones kept


@dataclass(frozen=True, slots=True)
class Wanted:
    """Signals to subscribe to.

    Attributes:
        points: signal -> point.
        expression: filter expression that selects them.
        devices: point name -> device and its frames a second, where the metadata tell both.
    """

    points: Mapping[UUID, Point]
    expression: str
    devices: Mapping[str, tuple[str, int]] = field(default_factory=dict)


def resolve(points: Sequence[Point], signals: Iterable[Signal], refused: str | None = None) -> Wanted:
    """Return what to subscribe to.

    Args:
        points: their addresses are signal UUIDs or point tags.
        signals: of the publisher's metadata.
        refused: why it gave no metadata; None where it did.

    Raises:
        Unavailable: no point can be found: tags without metadata, or none of them is there.
    """
    by_identity = {signal.identity: signal for signal in signals}
    by_tag = {signal.tag: signal for signal in by_identity.values() if signal.tag}
    found: dict[UUID, Point] = {}
    devices: dict[str, tuple[str, int]] = {}
    for point in points:
        identity = _uuid(point.address)
        signal = by_tag.get(point.address) if identity is None else by_identity.get(identity)
        identity = signal.identity if signal is not None else identity
        if identity is None:
            continue
        found[identity] = point
        if signal is not None and signal.device and signal.frames_per_second:
            devices[point.name] = (signal.device, signal.frames_per_second)
    if not found:
        raise Unavailable(
            "no point of the registry is a signal of the publisher",
            got=refused or f"metadata of {len(by_identity)} signals",
            expected="UUIDs or point tags that it has",
        )
    return Wanted(found, _expression(found), devices)


def _expression(found: Iterable[UUID]) -> str:
    """Return the filter expression; without ';', at which some publishers cut."""
    names = sorted(f"'{identity}'" for identity in found)
    which = f"SignalID IN ({', '.join(names)})" if len(names) <= MOST_ASKED else "SignalID IS NOT NULL"
    return f"FILTER ActiveMeasurements WHERE {which}"


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
