"""Owns what a configuration says about data frames: stations, channels, units, time base. Does not read frames.

Source: IEEE C37.118.2-2011, clauses 6.4 (CFG-1, CFG-2) and 6.5 (CFG-3).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PhasorChannel:
    """A phasor of a PMU.

    Attributes:
        name: as the device calls it.
        unit: 'V' or 'A'.
        scale: unit per count of integer phasors: PHUNIT x 1e-5, or the factor of CFG-3.
        angle_offset_rad: to be taken off integer phasors (CFG-3).
    """

    name: str
    unit: str
    scale: float
    angle_offset_rad: float = 0.0


@dataclass(frozen=True, slots=True)
class AnalogChannel:
    """An analog value of a PMU; an integer count times `scale` plus `offset` is the value, in a unit of its own.

    Attributes:
        name: as the device calls it.
        scale: factor of integer counts; a device that says 0 means 1.
        offset: addend (CFG-3).
        kind: 0 single point on wave, 1 RMS, 2 peak (CFG-1, CFG-2).
    """

    name: str
    scale: float
    offset: float = 0.0
    kind: int = 0


@dataclass(frozen=True, slots=True)
class DigitalWord:
    """Sixteen status bits: their names (lowest bit first), normal state, and which are in use."""

    names: tuple[str, ...]
    normal: int
    valid: int


@dataclass(frozen=True, slots=True)
class Location:
    """Where and how a PMU measures (CFG-3): degrees, metres, class, window and group delay in microseconds."""

    global_id: str
    latitude_deg: float | None
    longitude_deg: float | None
    elevation_m: float | None
    service_class: str
    window_us: int
    group_delay_us: int


@dataclass(frozen=True, slots=True)
class PmuConfiguration:
    """One PMU of a stream.

    Attributes:
        station: its name.
        idcode: its own identity.
        format: the FORMAT word.
        phasors: its phasor channels.
        analogs: its analog channels.
        digitals: its digital words.
        nominal_hz: 50 or 60.
        change_count: counts changes of its configuration.
        location: what CFG-3 adds.
    """

    station: str
    idcode: int
    format: int
    phasors: tuple[PhasorChannel, ...]
    analogs: tuple[AnalogChannel, ...]
    digitals: tuple[DigitalWord, ...]
    nominal_hz: int
    change_count: int
    location: Location | None = None

    @property
    def polar(self) -> bool:
        """Return whether phasors come as magnitude and angle."""
        return bool(self.format & 1)

    @property
    def phasors_float(self) -> bool:
        """Return whether phasors are floating point."""
        return bool(self.format & 2)

    @property
    def analogs_float(self) -> bool:
        """Return whether analog values are floating point."""
        return bool(self.format & 4)

    @property
    def frequency_float(self) -> bool:
        """Return whether frequency and its rate are floating point."""
        return bool(self.format & 8)

    @property
    def block_size(self) -> int:
        """Return the bytes of this PMU in a data frame."""
        phasor = 8 if self.phasors_float else 4
        rest = (8 if self.frequency_float else 4) + len(self.analogs) * (4 if self.analogs_float else 2)
        return 2 + len(self.phasors) * phasor + rest + 2 * len(self.digitals)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What data frames of one stream look like.

    Attributes:
        idcode: identity of the stream.
        time_base: units of FRACSEC per second.
        pmus: in the order of the data frame.
        rate: frames per second; negative: seconds per frame.
        kind: 1, 2 or 3, the configuration frame it came in.
    """

    idcode: int
    time_base: int
    pmus: tuple[PmuConfiguration, ...]
    rate: int
    kind: int = 2

    @property
    def data_size(self) -> int:
        """Return the size of a data frame in bytes."""
        return 16 + sum(pmu.block_size for pmu in self.pmus)
