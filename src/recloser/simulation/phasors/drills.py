"""Owns drills: a simulated event laid over a stretch of measured phasors, so that rare events can be practised.

What a drill shows is synthetic; what lies under it is the grid as it was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recloser.features.phasors import PhasorBlock
from recloser.simulation.phasors.faulty import spoil
from recloser.simulation.phasors.happenings import HAPPENINGS, Motion
from recloser.simulation.phasors.plan import GridEvent, draw_system


@dataclass(frozen=True, slots=True)
class Drill:
    """A measurement with an event laid over it.

    Attributes:
        block: the measurement.
        event: what was laid over it.
        begins_s: seconds after the block's start.
    """

    block: PhasorBlock
    event: GridEvent
    begins_s: float


def drill(block: PhasorBlock, event: GridEvent, begins_s: float, seed: tuple[int, ...]) -> Drill:
    """Lay an event over a measurement, from `begins_s` on; equal seeds give equal bytes.

    Where the PMUs stand is not known and drawn, as in `scene`. Frames that were unusable stay so.

    Args:
        block: measured, at least as long as `begins_s`.
        event: anything but NONE.
        begins_s: seconds after the block's start.
        seed: of everything that is drawn.
    """
    rng = np.random.default_rng(seed)
    if event not in HAPPENINGS:
        return Drill(spoil(rng, block, begins_s)[0], event, begins_s)
    shape = block.voltage_pu.shape
    system = draw_system(rng, shape[1])
    motion = Motion(np.zeros(shape), np.zeros(shape), np.zeros(shape))
    after = np.arange(shape[0]) / block.rate_hz - begins_s
    HAPPENINGS[event](rng, system, after, motion)
    turned = 2.0 * np.pi * np.cumsum(motion.hz, axis=0) / block.rate_hz + motion.angle
    moved = np.gradient(motion.angle, axis=0) * block.rate_hz / (2.0 * np.pi)
    return Drill(
        replace(
            block,
            voltage_pu=block.voltage_pu + motion.voltage,
            angle_rad=np.angle(np.exp(1j * (block.angle_rad + turned))),
            frequency_hz=block.frequency_hz + motion.hz + moved,
        ),
        event,
        begins_s,
    )
