"""Owns turning batches of phasor data into readings of registered points. Pure; no connection.

A point's address is IDCODE:CHANNEL of a PMU, for phasors with /magnitude (default), /angle_deg, /re or /im; `frequency`
and `rocof` are channels that every PMU has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.c37118.batch import DataBatch
from recloser.connectors.c37118.configuration import PmuConfiguration
from recloser.connectors.c37118.layout import Layout
from recloser.connectors.points import Point, PointQuality, PointReading, c37118_quality

Column = Callable[[DataBatch], NDArray[Any]]
PARTS = ("magnitude", "angle_deg", "re", "im")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A point, the PMU it belongs to, and how its numbers come out of a batch."""

    point: Point
    pmu: int
    column: Column


def choose(layout: Layout, points: Iterable[Point]) -> tuple[list[Chosen], list[Point]]:
    """Return the points that the configuration has, and those that it has not."""
    columns: dict[str, tuple[int, Column]] = {}
    phasor = analog = 0
    for index, pmu in enumerate(layout.configuration.pmus):
        for name, column in _columns(pmu, index, phasor, analog):
            columns.setdefault(f"{pmu.idcode}:{name}", (index, column))
        phasor, analog = phasor + len(pmu.phasors), analog + len(pmu.analogs)
    chosen, missing = [], []
    for point in points:
        found = columns.get(point.address)
        if found is None:
            missing.append(point)
        else:
            chosen.append(Chosen(point, *found))
    return chosen, missing


def _columns(pmu: PmuConfiguration, index: int, phasor: int, analog: int) -> Iterable[tuple[str, Column]]:
    yield "frequency", lambda batch: batch.frequencies[:, index, 0]
    yield "rocof", lambda batch: batch.frequencies[:, index, 1]
    for place, channel in enumerate(pmu.phasors, phasor):
        turn = 0.0 if pmu.phasors_float else channel.angle_offset_rad
        for part in PARTS:
            column = _phasor(place, part, polar=pmu.polar, turn_rad=turn)
            yield f"{channel.name}/{part}", column
            if part == PARTS[0]:
                yield channel.name, column
    for place, known in enumerate(pmu.analogs, analog):
        yield known.name, lambda batch, place=place: batch.analogs[:, place]  # type: ignore[misc]


def _phasor(place: int, part: str, *, polar: bool, turn_rad: float) -> Column:
    def column(batch: DataBatch) -> NDArray[Any]:
        first, second = batch.phasors[:, place, 0], batch.phasors[:, place, 1]
        if polar and part == "magnitude":
            return first
        if polar and part == "angle_deg":
            return np.asarray(np.degrees(second))
        phasor = first * np.exp(1j * second) if polar else (first + 1j * second) * np.exp(-1j * turn_rad)
        if part == "magnitude":
            return np.asarray(np.abs(phasor))
        if part == "angle_deg":
            return np.asarray(np.degrees(np.angle(phasor)))
        return np.asarray(phasor.real if part == "re" else phasor.imag)

    return column


def readings_of(batch: DataBatch, chosen: list[Chosen], source: str, receive_ns: int) -> list[PointReading]:
    """Return a reading of each point for each frame, frame by frame; a number that is absent is INVALID."""
    columns = [(item, item.column(batch) * item.point.scale + item.point.offset) for item in chosen]
    readings = []
    for row, (t_ns, clock) in enumerate(zip(batch.t_ns.tolist(), batch.time_quality.tolist(), strict=True)):
        for item, numbers in columns:
            stat, number = int(batch.stats[row, item.pmu]), float(numbers[row])
            good = math.isfinite(number)
            quality = c37118_quality(stat, clock)
            quality = quality if good else quality | PointQuality.INVALID
            value = number if good else None
            readings.append(
                PointReading(
                    source, item.point.name, t_ns, receive_ns, value, item.point.unit, quality, stat, "c37118:data"
                )
            )
    return readings
