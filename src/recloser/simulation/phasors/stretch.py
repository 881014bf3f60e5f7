"""Owns a long stretch of a simulated wide-area measurement that begins anew without a step, with events in it.

All synthetic. What happened is over after a minute or two: operators restored it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recloser.core import FloatArray, InvalidInput
from recloser.simulation.phasors.happenings import HAPPENINGS, Motion
from recloser.simulation.phasors.plan import GridEvent, PhasorPlan, draw_system
from recloser.simulation.phasors.scenes import ambient_motion

JOIN_S = 20.0
STAYS_S, FADES_S = 40.0, 60.0
"""An event stays so long, and fades within so long."""


class PhasorStretch:
    """What PMUs measure, instant after instant, for ever; equal arguments give equal numbers.

    Args:
        plan: PMUs, rate, and after how many seconds it begins anew.
        events: what happens how many seconds after each beginning.

    Raises:
        InvalidInput: an event that is no motion of the grid, or that does not fade before the end.
    """

    def __init__(self, plan: PhasorPlan, events: Sequence[tuple[GridEvent, float]] = ()) -> None:
        self.plan = plan
        rng = np.random.default_rng([plan.seed, 77])
        system = draw_system(rng, plan.pmus)
        count, join = round(plan.seconds * plan.rate_hz), round(JOIN_S * plan.rate_hz)
        seconds = np.arange(count + join) / plan.rate_hz
        quiet = ambient_motion(rng, plan, system, seconds)
        hz, voltage = _joined(quiet.hz, join), _joined(quiet.voltage, join)
        angle = np.zeros_like(hz)
        for number, (event, begins_s) in enumerate(events):
            if event not in HAPPENINGS or not 0.0 <= begins_s <= plan.seconds - STAYS_S - FADES_S:
                raise InvalidInput(
                    "an event that cannot be shown",
                    got=f"{event.value} at {begins_s:g} s",
                    expected=f"one of {', '.join(HAPPENINGS)}, at 0 to {plan.seconds - STAYS_S - FADES_S:g} s",
                )
            motion = Motion(*(np.zeros((count, plan.pmus)) for _ in range(3)))
            after = seconds[:count] - begins_s
            HAPPENINGS[event](np.random.default_rng([plan.seed, 78, number]), system, after, motion)
            fade = np.clip((STAYS_S + FADES_S - after) / FADES_S, 0.0, 1.0)[:, None]
            hz += motion.hz * fade
            angle += motion.angle * fade
            voltage += motion.voltage * fade
        self._hz, self._system = hz, system
        self._voltage = system.voltage_pu + voltage
        self._turned = 2.0 * np.pi * np.cumsum(hz, axis=0) / plan.rate_hz
        self._angle = system.angle_rad + self._turned + angle
        self._moved = np.gradient(angle, axis=0) * plan.rate_hz / (2.0 * np.pi)

    def at(self, index: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return voltage (per unit), angle (rad, wrapped) and frequency (Hz) of every PMU at an instant, shape (p,)."""
        rounds, place = divmod(index, len(self._hz))
        noise = np.random.default_rng([self.plan.seed, 79, index]).standard_normal((3, self.plan.pmus))
        voltage = self._voltage[place] + 0.0004 * noise[0]
        angle = self._angle[place] + rounds * self._turned[-1] + 0.0004 * noise[1]
        frequency = self.plan.nominal_hz + self._hz[place] + self._moved[place] + 0.001 * noise[2]
        return voltage, np.angle(np.exp(1j * angle)), frequency


def _joined(numbers: FloatArray, join: int) -> FloatArray:
    """Return the numbers without the last `join`, which are faded into the first: it goes on without a step."""
    share = np.linspace(0.0, 1.0, join, endpoint=False)[:, None]
    result = numbers[:-join].copy()
    result[:join] = share * result[:join] + (1.0 - share) * numbers[-join:]
    return result
