"""Owns bad data of a measurement: what PMUs, clocks and networks do wrong while the grid is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from recloser.features.phasors import PhasorBlock

Fault = Callable[[np.random.Generator, PhasorBlock, int, int], float]


def spoil(rng: np.random.Generator, block: PhasorBlock, begins_s: float) -> tuple[PhasorBlock, tuple[int, ...], float]:
    """Return the block with one PMU (seldom two) gone wrong from a time on, which, and how badly."""
    spoilt = replace(
        block,
        voltage_pu=block.voltage_pu.copy(),
        angle_rad=block.angle_rad.copy(),
        frequency_hz=block.frequency_hz.copy(),
        unusable=block.unusable.copy(),
    )
    start = round(begins_s * block.rate_hz)
    count = 1 if rng.random() < 0.8 or block.voltage_pu.shape[1] < 6 else 2
    pmus = rng.choice(block.voltage_pu.shape[1], size=count, replace=False)
    fault = _FAULTS[int(rng.integers(len(_FAULTS)))]
    size = max(fault(rng, spoilt, int(pmu), start) for pmu in pmus)
    return spoilt, tuple(int(p) for p in sorted(pmus)), size


def _dropped(rng: np.random.Generator, block: PhasorBlock, pmu: int, start: int) -> float:
    """Frames get lost, one in three to all of them."""
    share = float(rng.uniform(0.3, 1.0))
    lost = np.flatnonzero(rng.random(len(block) - start) < share) + start
    for numbers in (block.voltage_pu, block.angle_rad, block.frequency_hz):
        numbers[lost, pmu] = np.nan
    block.unusable[lost, pmu] = True
    return share


def _frozen(rng: np.random.Generator, block: PhasorBlock, pmu: int, start: int) -> float:
    """The last numbers are sent again and again."""
    for numbers in (block.voltage_pu, block.angle_rad, block.frequency_hz):
        numbers[start:, pmu] = numbers[start - 1, pmu]
    return 1.0 + 0.0 * rng.random()


def _spikes(rng: np.random.Generator, block: PhasorBlock, pmu: int, start: int) -> float:
    """Single numbers that are nonsense, of one quantity."""
    numbers, size = [(block.frequency_hz, rng.uniform(0.3, 3.0)), (block.voltage_pu, rng.uniform(0.1, 1.0))][
        int(rng.integers(2))
    ]
    hit = np.flatnonzero(rng.random(len(block) - start) < rng.uniform(0.01, 0.05)) + start
    hit = hit if len(hit) else np.array([start])
    numbers[hit, pmu] += size * rng.choice([-1.0, 1.0], len(hit))
    return float(size)


def _clock(rng: np.random.Generator, block: PhasorBlock, pmu: int, start: int) -> float:
    """The clock drifts: the angle turns although the frequency does not. 1 degree is 56 us at 50 Hz."""
    rate = float(rng.choice([-1.0, 1.0]) * np.exp(rng.uniform(np.log(0.02), np.log(0.5))))
    block.angle_rad[start:, pmu] += rate * np.arange(len(block) - start) / block.rate_hz
    return abs(rate)


def _jumped(rng: np.random.Generator, block: PhasorBlock, pmu: int, start: int) -> float:
    """The clock jumps: the angle is off by a constant from one frame to the next."""
    size = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 2.0))
    block.angle_rad[start:, pmu] += size
    return abs(size)


def _noisy(rng: np.random.Generator, block: PhasorBlock, pmu: int, start: int) -> float:
    """A bad contact: noise twenty to two hundred times the usual."""
    size = float(rng.uniform(0.02, 0.2))
    count = len(block) - start
    block.frequency_hz[start:, pmu] += size * rng.standard_normal(count)
    block.voltage_pu[start:, pmu] += 0.3 * size * rng.standard_normal(count)
    return size


def _scaled(rng: np.random.Generator, block: PhasorBlock, pmu: int, start: int) -> float:
    """A wrong ratio, one phase instead of three, or zero volts."""
    factor = float(rng.choice([0.0, 0.58, 1.73, 0.001]))
    block.voltage_pu[start:, pmu] *= factor
    return factor


def _flagged(rng: np.random.Generator, block: PhasorBlock, pmu: int, start: int) -> float:
    """The PMU itself says that its data cannot be used."""
    block.unusable[start:, pmu] = True
    return 1.0 + 0.0 * rng.random()


_FAULTS: tuple[Fault, ...] = (_dropped, _frozen, _spikes, _clock, _jumped, _noisy, _scaled, _flagged)
