"""Owns what a simulated wide-area measurement is made of: where PMUs stand, how the system swings, how they err."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from recloser.core import FloatArray, InvalidInput


class GridEvent(StrEnum):
    """What a window of phasors may show."""

    NONE = "none"
    LOSS_OF_GENERATION = "loss_of_generation"
    OSCILLATION = "oscillation"
    LINE_TRIP = "line_trip"
    ISLANDING = "islanding"
    BAD_DATA = "bad_data"


@dataclass(frozen=True, slots=True)
class PhasorPlan:
    """A simulated wide-area measurement; everything follows from it.

    Attributes:
        seed: of everything random.
        pmus: how many.
        rate_hz: frames a second, 10 to 120.
        nominal_hz: 50 or 60.
        seconds: length of a scene.
    """

    seed: int = 1
    pmus: int = 10
    rate_hz: int = 30
    nominal_hz: float = 50.0
    seconds: float = 40.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InvalidInput: fewer than 2 PMUs, another nominal frequency or rate, or less than 20 s.
        """
        if self.pmus < 2 or not 10 <= self.rate_hz <= 120 or self.nominal_hz not in {50.0, 60.0} or self.seconds < 20.0:
            raise InvalidInput(
                "a measurement that cannot be simulated",
                got=f"{self.pmus} PMUs, {self.rate_hz} frames/s, {self.nominal_hz} Hz, {self.seconds} s",
                expected="at least 2 PMUs, 10 to 120 frames/s, 50 or 60 Hz, at least 20 s",
            )


@dataclass(frozen=True, slots=True)
class System:
    """One draw of a power system as its PMUs see it.

    Attributes:
        place_km: (p, 2) where the PMUs stand.
        angle_rad: (p,) their angles before anything happens.
        voltage_pu: (p,) their voltages.
        mode_hz: (m,) electromechanical modes.
        damping: (m,) their damping ratios.
        shape: (p, m) how much of a mode each PMU sees, signed, largest 1.
        inertia_s: H of the system.
        wave_km_s: speed of electromechanical waves.
    """

    place_km: FloatArray
    angle_rad: FloatArray
    voltage_pu: FloatArray
    mode_hz: FloatArray
    damping: FloatArray
    shape: FloatArray
    inertia_s: float
    wave_km_s: float


def draw_system(rng: np.random.Generator, pmus: int) -> System:
    """Return a system: two inter-area modes and a local one, shapes by place, damping of 5 to 15 percent."""
    place = rng.uniform(0.0, 1000.0, (pmus, 2))
    modes = np.array([rng.uniform(0.2, 0.45), rng.uniform(0.45, 0.8), rng.uniform(0.9, 1.8)])
    shape = np.empty((pmus, 3))
    for mode in range(3):
        way = rng.normal(size=2)
        along = place @ (way / np.linalg.norm(way))
        wave = np.cos(np.pi * (mode + 1) * (along - along.min()) / max(float(np.ptp(along)), 1.0))
        shape[:, mode] = wave / max(float(np.abs(wave).max()), 1e-9)
    near = np.linalg.norm(place - place[rng.integers(pmus)], axis=1)
    shape[:, 2] *= np.exp(-near / 250.0)  # a local mode is seen near its plant only
    gradient = rng.normal(size=2) * 0.4 / 1000.0
    return System(
        place,
        place @ gradient + rng.normal(0.0, 0.05, pmus),
        rng.normal(1.01, 0.015, pmus),
        modes,
        rng.uniform(0.05, 0.15, 3),
        shape,
        float(rng.uniform(2.5, 6.0)),
        float(rng.uniform(300.0, 1200.0)),
    )
