"""Owns what may happen to a system: each event changes its motion in place. Bad data are no motion: see `faulty`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from recloser.core import FloatArray
from recloser.simulation.phasors.plan import GridEvent, System
from recloser.simulation.phasors.waves import Governor, frequency_response, ringing

Happening = Callable[[np.random.Generator, System, FloatArray, "Motion"], tuple[tuple[int, ...], float]]
NOMINAL = 50.0


@dataclass(frozen=True, slots=True)
class Motion:
    """True deviations of n instants at p PMUs, changed in place: Hz, further angle (rad), voltage per unit."""

    hz: FloatArray
    angle: FloatArray
    voltage: FloatArray


def loss_of_generation(
    rng: np.random.Generator, system: System, after: FloatArray, motion: Motion
) -> tuple[tuple[int, ...], float]:
    """A plant is lost: 1 to 6 percent of the generation, spreading as a wave, with ringing modes and a small dip."""
    share = float(np.exp(rng.uniform(np.log(0.01), np.log(0.06))))
    governor = Governor(
        droop=rng.uniform(0.04, 0.06), high_pressure=rng.uniform(0.2, 0.4), reheat_s=rng.uniform(6.0, 12.0)
    )
    away, nearest = _away(rng, system)
    for pmu, delay in enumerate(away / system.wave_km_s):
        answer = frequency_response(after - delay, -share, system.inertia_s, governor)
        motion.hz[:, pmu] += NOMINAL * answer
    _ring(rng, system, after, motion, 0.15 * share * NOMINAL / 10.0)
    _step(after, motion.voltage, -rng.uniform(0.1, 0.4) * share * np.exp(-away / 300.0))
    return (nearest,), share


def oscillation(
    rng: np.random.Generator, system: System, after: FloatArray, motion: Motion
) -> tuple[tuple[int, ...], float]:
    """A mode loses its damping, or something forces it: 5 to 100 mHz that stay or grow."""
    mode = int(rng.integers(len(system.mode_hz)))
    hz = float(system.mode_hz[mode] * rng.uniform(0.9, 1.1))
    size = float(np.exp(rng.uniform(np.log(0.008), np.log(0.1))))
    growth = float(rng.choice([rng.uniform(0.0, 0.01), rng.uniform(0.01, 0.15)]))
    t = np.maximum(after, 0.0)
    begun = (after > 0.0) * np.minimum(1.0, t / 2.0)
    wave = size * begun * np.minimum(np.exp(growth * t), 6.0) * np.sin(2.0 * np.pi * hz * t + rng.uniform(0, 6.28))
    motion.hz[:] += wave[:, None] * system.shape[:, mode]
    motion.voltage[:] += 0.05 * wave[:, None] * np.abs(system.shape[:, mode])
    return tuple(int(p) for p in np.flatnonzero(np.abs(system.shape[:, mode]) > 0.3)), size


def line_trip(
    rng: np.random.Generator, system: System, after: FloatArray, motion: Motion
) -> tuple[tuple[int, ...], float]:
    """A loaded line opens, perhaps after a short fault: angles between its ends part for good, ringing, no deficit."""
    size = float(np.exp(rng.uniform(np.log(0.03), np.log(0.25))))
    away, nearest = _away(rng, system)
    side = np.sign(_along(rng, system, nearest))
    weight = side * np.exp(-away / rng.uniform(150.0, 500.0))
    weight[nearest] = side[nearest] if side[nearest] != 0.0 else 1.0
    hz, damping = float(rng.uniform(0.5, 1.6)), float(rng.uniform(0.06, 0.2))
    t = np.maximum(after, 0.0)
    w = 2.0 * np.pi * hz
    rise = np.where(after > 0.0, 1.0 - np.exp(-damping * w * t) * np.cos(w * t), 0.0)
    motion.angle[:] += 0.5 * size * rise[:, None] * weight
    _step(after, motion.voltage, -rng.uniform(0.02, 0.12) * size * np.exp(-away / 250.0))
    if rng.random() < 0.6:  # the fault that the line was opened for
        clearing = rng.uniform(0.06, 0.15)
        depth = rng.uniform(0.1, 0.6) * np.exp(-away / 200.0)
        motion.voltage[:] -= ((after > -clearing) & (after <= 0.0))[:, None] * depth
    _ring(rng, system, after, motion, 0.05 * size)
    return (nearest,), size


def islanding(
    rng: np.random.Generator, system: System, after: FloatArray, motion: Motion
) -> tuple[tuple[int, ...], float]:
    """A part of the grid separates with too much or too little generation: two frequencies from then on."""
    pmus = len(system.place_km)
    _, middle = _away(rng, system)
    near = np.argsort(np.linalg.norm(system.place_km - system.place_km[middle], axis=1))
    island = near[: int(rng.integers(1, max(2, pmus // 2 + 1)))]
    rest = np.setdiff1d(np.arange(pmus), island)
    surplus = float(rng.choice([-1.0, 1.0]) * np.exp(rng.uniform(np.log(0.02), np.log(0.15))))
    governor = Governor(droop=rng.uniform(0.04, 0.06), reheat_s=rng.uniform(6.0, 12.0))
    inside = NOMINAL * frequency_response(after, surplus, system.inertia_s * rng.uniform(0.5, 1.0), governor)
    motion.hz[:, island] += inside[:, None]
    share = len(island) / pmus
    outside = NOMINAL * frequency_response(after, -surplus * share * 0.5, system.inertia_s, governor)
    motion.hz[:, rest] += outside[:, None]
    _step(after, motion.voltage[:, island], rng.normal(0.0, 0.01, len(island)))
    motion.voltage[:, island] += (after > 0.0)[:, None] * rng.normal(0.0, 0.01, len(island))
    return tuple(int(p) for p in sorted(island)), surplus


def small_doings(rng: np.random.Generator, system: System, seconds: FloatArray, motion: Motion) -> None:
    """What is no event: taps and capacitors (small steps of voltage), loads that switch (a few mHz)."""
    for _ in range(int(rng.integers(0, 4))):
        after = seconds - rng.uniform(0.0, float(seconds[-1]))
        away, _ = _away(rng, system)
        _step(after, motion.voltage, rng.choice([-1.0, 1.0]) * rng.uniform(0.001, 0.008) * np.exp(-away / 100.0))
    if rng.random() < 0.5:
        after = seconds - rng.uniform(0.0, float(seconds[-1]))
        share = rng.choice([-1.0, 1.0]) * rng.uniform(0.0005, 0.003)
        motion.hz[:] += NOMINAL * frequency_response(after, share, system.inertia_s, Governor())[:, None]


def _away(rng: np.random.Generator, system: System) -> tuple[FloatArray, int]:
    """Return the distance (km) of each PMU from a random place, and the nearest."""
    place = system.place_km[rng.integers(len(system.place_km))] + rng.normal(0.0, 40.0, 2)
    away: FloatArray = np.linalg.norm(system.place_km - place, axis=1)
    return away, int(np.argmin(away))


def _along(rng: np.random.Generator, system: System, pmu: int) -> FloatArray:
    way = rng.normal(size=2)
    result: FloatArray = (system.place_km - system.place_km[pmu]) @ (way / np.linalg.norm(way)) + 1e-6
    return result


def _ring(rng: np.random.Generator, system: System, after: FloatArray, motion: Motion, hz: float) -> None:
    for mode in range(len(system.mode_hz)):
        wave = ringing(after, float(system.mode_hz[mode]), float(system.damping[mode]))
        motion.hz[:] += hz * rng.uniform(0.3, 1.0) * wave[:, None] * system.shape[:, mode]


def _step(after: FloatArray, numbers: FloatArray, size: FloatArray) -> None:
    numbers += (1.0 - np.exp(-np.maximum(after, 0.0) / 0.15))[:, None] * size


HAPPENINGS: Mapping[GridEvent, Happening] = MappingProxyType(
    {
        GridEvent.LOSS_OF_GENERATION: loss_of_generation,
        GridEvent.OSCILLATION: oscillation,
        GridEvent.LINE_TRIP: line_trip,
        GridEvent.ISLANDING: islanding,
    }
)
"""How each event moves a system."""
