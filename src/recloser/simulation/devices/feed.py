"""Owns what a simulated device measures at a moment: the simulated grid, with the faults that are active. No socket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
import polars as pl

from recloser.connectors.points import Point, nanoseconds
from recloser.core import LOAD, Clock, FloatArray
from recloser.simulation.devices.fault import DeviceFault
from recloser.simulation.grid import SimulatedGrid

HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """What a device says now.

    Attributes:
        numbers: of its points, in their order.
        at_ns: its time stamp, ns since 1970 UTC.
        invalid: it says that they are invalid.
        damaged: what it sends is spoilt.
        silent: it says nothing.
        dropped: it closes and takes no connection.
    """

    numbers: tuple[float, ...]
    at_ns: int
    invalid: bool = False
    damaged: bool = False
    silent: bool = False
    dropped: bool = False


Now = Callable[[], Moment]


class Feed(Protocol):
    """What a device measures: `areas` name its points, `now` is the present moment with a number for each."""

    areas: tuple[str, ...]

    def now(self) -> Moment:
        """Return the present moment."""
        ...


class DeviceFeed:
    """The loads of the grid's feeders as one device measures them.

    Args:
        grid: whose loads; they begin anew after its last day.
        clock: tells the time stamps.
        timer: seconds; the device starts when the feed is made.
        speed: simulated seconds a second.
        faults: when what goes wrong.
    """

    def __init__(
        self,
        grid: SimulatedGrid,
        clock: Clock,
        timer: Callable[[], float],
        *,
        speed: float = 1.0,
        faults: Sequence[DeviceFault] = (),
    ) -> None:
        self._clock, self._timer, self._speed, self._faults = clock, timer, speed, tuple(faults)
        self.areas = grid.areas
        self._step_s = grid.plan.resolution / timedelta(seconds=1)
        loads = grid.frame().filter(pl.col("quantity") == LOAD).pivot(on="area", index="at", values="value")
        self._loads: FloatArray = loads.sort("at").select(self.areas).to_numpy()
        self._begun_s, self._held = timer(), dict[DeviceFault, tuple[float, ...]]()
        self.start = grid.plan.start

    def now(self) -> Moment:
        """Return the present moment."""
        elapsed_s = self._timer() - self._begun_s
        kinds = {fault.kind for fault in self._faults if fault.active(elapsed_s)}
        numbers = self.numbers(elapsed_s)
        for fault in self._faults:
            if fault.kind == "stuck" and fault.active(elapsed_s):
                numbers = self._held.setdefault(fault, numbers)
        factor = 1000.0 if "thousand" in kinds else 3.0 if "spike" in kinds else 1.0
        at_ns = nanoseconds(self._clock.now())
        return Moment(
            numbers=tuple(number * factor for number in numbers),
            at_ns=at_ns - (HOUR_NS if "clock" in kinds else 0),
            invalid="invalid" in kinds,
            damaged="damage" in kinds,
            silent="silent" in kinds,
            dropped="drop" in kinds,
        )

    def numbers(self, elapsed_s: float) -> tuple[float, ...]:
        """Return the loads (MW) so many seconds after the start, between two intervals by a straight line."""
        place = elapsed_s * self._speed / self._step_s
        before = int(place) % len(self._loads)
        after, share = (before + 1) % len(self._loads), place - int(place)
        line: FloatArray = self._loads[before] * (1 - share) + self._loads[after] * share
        return tuple(np.round(line, 6).tolist())

    def simulated(self, elapsed_s: float) -> datetime:
        """Return which instant of the grid it is so many seconds after the start."""
        return self.start + timedelta(seconds=elapsed_s * self._speed)


def load_points(areas: Sequence[str], address: Callable[[int, str], str]) -> tuple[Point, ...]:
    """Return one point for each area's load; `address` is told the place and the area."""
    return tuple(
        Point(address(place, area), f"{area}_P", "MW", role="load", area=area) for place, area in enumerate(areas)
    )
