"""Owns scenes: some seconds of a simulated wide-area measurement in which nothing or one thing happens.

All synthetic: no licensed set of real PMU events exists in public. A detector trained on these knows these shapes only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recloser.core import FloatArray
from recloser.features.phasors import PhasorBlock
from recloser.simulation.noise import coloured, decay
from recloser.simulation.phasors.faulty import spoil
from recloser.simulation.phasors.happenings import HAPPENINGS, Motion, small_doings
from recloser.simulation.phasors.plan import GridEvent, PhasorPlan, System, draw_system
from recloser.simulation.phasors.waves import ambient

START_NS = 1_577_836_800_000_000_000  # 2020-01-01


@dataclass(frozen=True, slots=True)
class Scene:
    """What was measured, and what happened.

    Attributes:
        block: the measurement.
        event: what happened; NONE if nothing.
        begins_s: seconds after the scene's start; infinite for NONE.
        pmus: (p,) which PMUs are part of it, where that can be said.
        size: how large it was, in the unit of its kind (share of generation lost, Hz of amplitude, rad, ...).
    """

    block: PhasorBlock
    event: GridEvent
    begins_s: float
    pmus: tuple[int, ...]
    size: float


def scene(plan: PhasorPlan, event: GridEvent, number: int = 0) -> Scene:
    """Return scene `number` of a plan: equal plan, event and number give equal bytes."""
    rng = np.random.default_rng([plan.seed, list(GridEvent).index(event), number])
    system = draw_system(rng, plan.pmus)
    count = round(plan.seconds * plan.rate_hz)
    seconds = np.arange(count) / plan.rate_hz
    motion = ambient_motion(rng, plan, system, seconds)
    small_doings(rng, system, seconds, motion)
    begins = float(rng.uniform(0.3, 0.6) * plan.seconds)
    pmus: tuple[int, ...] = ()
    size = 0.0
    if event in HAPPENINGS:
        pmus, size = HAPPENINGS[event](rng, system, seconds - begins, motion)
    block = _measured(rng, plan, system, motion)
    if event is GridEvent.BAD_DATA:
        block, pmus, size = spoil(rng, block, begins)
    return Scene(block, event, begins if event is not GridEvent.NONE else np.inf, pmus, size)


def ambient_motion(rng: np.random.Generator, plan: PhasorPlan, system: System, seconds: FloatArray) -> Motion:
    """Return the swinging of a quiet system: a slow common wander of 10 to 25 mHz and its modes at 1 to 6 mHz."""
    count, pmus = len(seconds), plan.pmus
    keep = decay(rng.uniform(8.0, 25.0), 1.0 / plan.rate_hz)
    wander = coloured(rng, (count,), keep)
    smooth = np.convolve(wander, np.ones(plan.rate_hz) / plan.rate_hz, mode="same")
    hz = (rng.uniform(0.005, 0.02) * smooth)[:, None] * np.ones((1, pmus))
    for mode in range(len(system.mode_hz)):
        wave = ambient(rng, count, plan.rate_hz, float(system.mode_hz[mode]), float(system.damping[mode]))
        hz += rng.uniform(0.0005, 0.003) * wave[:, None] * system.shape[:, mode]
    slow = coloured(rng, (count, pmus), decay(3.0, 1.0 / plan.rate_hz))
    voltage = 0.0008 * np.cumsum(slow, axis=0) / plan.rate_hz
    return Motion(hz, np.zeros((count, pmus)), voltage - voltage[0])


def _measured(rng: np.random.Generator, plan: PhasorPlan, system: System, motion: Motion) -> PhasorBlock:
    """Return what PMUs report of a motion: angle as the integral of frequency, all with coloured and white error."""
    count, pmus = motion.hz.shape
    angle = system.angle_rad + 2.0 * np.pi * np.cumsum(motion.hz, axis=0) / plan.rate_hz + motion.angle
    moved = np.gradient(motion.angle, axis=0) * plan.rate_hz / (2.0 * np.pi)
    noise = rng.uniform(0.5, 2.0)
    frequency = plan.nominal_hz + motion.hz + moved + 0.001 * noise * rng.standard_normal((count, pmus))
    angle += 0.0004 * noise * rng.standard_normal((count, pmus))
    voltage = system.voltage_pu + motion.voltage + 0.0004 * noise * rng.standard_normal((count, pmus))
    start = START_NS + int(rng.integers(0, 31_536_000)) * 1_000_000_000
    at = start + (np.arange(count, dtype=np.int64) * 1_000_000_000) // plan.rate_hz
    unusable = np.zeros((count, pmus), dtype=bool)
    if rng.random() < 0.3:  # now and then a frame is late or lost: that is no event
        unusable |= rng.random((count, pmus)) < 0.002
    wrapped = np.angle(np.exp(1j * angle))
    wrapped[unusable] = voltage[unusable] = frequency[unusable] = np.nan
    return PhasorBlock(at, float(plan.rate_hz), plan.nominal_hz, voltage, wrapped, frequency, unusable)
