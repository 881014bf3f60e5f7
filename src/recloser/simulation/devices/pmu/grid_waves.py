"""Owns what PMUs of a simulated grid measure, for a simulated PDC: ambient swinging, and events at set times."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from recloser.connectors.points import nanoseconds
from recloser.core import Clock, InvalidInput, unknown_name
from recloser.simulation.devices.fault import DeviceFault
from recloser.simulation.devices.feed import Moment
from recloser.simulation.devices.pmu.server import INVALID_STAT, WaveFeed
from recloser.simulation.phasors import GridEvent, PhasorPlan
from recloser.simulation.phasors.happenings import HAPPENINGS
from recloser.simulation.phasors.stretch import PhasorStretch

ROUND_S = 1800.0
RATED_V = 63_500.0
SECOND_NS = 1_000_000_000
_FORM = re.compile(r"([a-z_]+)@(\d+(?:\.\d+)?)")


class GridWaveFeed(WaveFeed):
    """The phasors of `PhasorStretch`; after half an hour it begins anew, events included.

    Args:
        plan: PMUs, frames a second, nominal frequency and seed.
        clock, timer, faults: see `WaveFeed`.
        events: what happens how many seconds after the start.
    """

    def __init__(
        self,
        plan: PhasorPlan,
        clock: Clock,
        timer: Callable[[], float],
        *,
        events: Sequence[tuple[GridEvent, float]] = (),
        faults: Sequence[DeviceFault] = (),
    ) -> None:
        super().__init__(plan.pmus, clock, timer, nominal_hz=round(plan.nominal_hz), faults=faults)
        self._stretch = PhasorStretch(replace(plan, seconds=ROUND_S), events)
        self._step_ns = SECOND_NS // plan.rate_hz
        self._begun_slot = nanoseconds(clock.now()) // self._step_ns

    def now(self) -> Moment:
        """Return the present moment; its numbers are those of its instant on the grid of the rate."""
        moment = super().now()
        elapsed_s = self._timer() - self._begun_s
        kinds = {fault.kind for fault in self._faults if fault.active(elapsed_s)}
        slot = max(0, nanoseconds(self._clock.now()) // self._step_ns - self._begun_slot)
        if "stuck" in kinds:
            slot = min(round(fault.start_s * self._stretch.plan.rate_hz) for fault in self._faults)
        factor = 1000.0 if "thousand" in kinds else 3.0 if "spike" in kinds else 1.0
        voltage, angle, frequency = self._stretch.at(slot)
        current = np.angle(np.exp(1j * (angle - 0.2)))
        stat = INVALID_STAT if moment.invalid else 0
        numbers: list[float] = []
        for pmu in range(self.pmus):
            volts = float(voltage[pmu]) * RATED_V * factor
            numbers += [stat, volts, float(angle[pmu]), 400.0 * factor, float(current[pmu]), float(frequency[pmu]), 0.0]
        return replace(moment, numbers=tuple(numbers))


def parse_grid_event(text: str) -> tuple[GridEvent, float]:
    """Return the event that a text such as 'islanding@60' names, and after how many seconds.

    Raises:
        InvalidInput: another form, or an event that cannot be shown.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidInput("not an event", got=text, expected="KIND@SECONDS such as islanding@60", where="--event")
    kinds = [event.value for event in HAPPENINGS]
    if found[1] not in kinds:
        raise unknown_name("event", found[1], kinds, "--event")
    return GridEvent(found[1]), float(found[2])
