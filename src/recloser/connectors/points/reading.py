"""Owns the record of one value of one point at one time, whatever protocol it came by. Does not own transport."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from recloser.connectors.points.quality import PointQuality, has_any

DOUBTFUL = int(PointQuality.TIME_INVALID | PointQuality.CLOCK_SUSPECT)
UNUSABLE = int(PointQuality.UNUSABLE)


@dataclass(frozen=True, slots=True)
class PointReading:
    """A value of a point.

    Attributes:
        source: the device or connection, as the project names it.
        point: the point's name in the registry.
        source_ns: time by the source's clock, nanoseconds since 1970 UTC; None where it gave none.
        receive_ns: time of arrival by our clock, nanoseconds since 1970 UTC.
        number: the value in `unit`, scaled; None where there is none.
        unit: as the registry says.
        quality: bits of the one vocabulary.
        raw_flags: the protocol's own flags, as they came (QDS, DNP3 flags, STAT, status code); 0 where it has none.
        origin: how it came: protocol and cause, such as 'iec104:spont' or 'dnp3:event'.
        raw: the number before scaling, where it differs.
    """

    source: str
    point: str
    source_ns: int | None
    receive_ns: int
    number: float | None
    unit: str
    quality: PointQuality = PointQuality.GOOD
    raw_flags: int = 0
    origin: str = ""
    raw: float | None = None

    @property
    def at_ns(self) -> int:
        """Return the time the value is about: the source's where it can be trusted, else that of arrival."""
        if self.source_ns is None or has_any(self.quality, DOUBTFUL):
            return self.receive_ns
        return self.source_ns

    @property
    def usable(self) -> bool:
        """Return whether the value says something about the plant."""
        return self.number is not None and not has_any(self.quality, UNUSABLE)

    def gone_stale(self, now_ns: int, origin: str) -> PointReading:
        """Return the reading as what is not known to hold any more from `now_ns` on."""
        quality = self.quality | PointQuality.STALE
        return replace(self, source_ns=None, receive_ns=now_ns, quality=quality, origin=origin)


@dataclass(frozen=True, slots=True)
class Missed:
    """Readings of a device are missing between two times, ns since 1970 UTC."""

    start_ns: int
    end_ns: int
    reason: str


def nanoseconds(instant: datetime) -> int:
    """Return an aware instant as nanoseconds since 1970 UTC."""
    return int(instant.timestamp() * 1_000_000) * 1_000
