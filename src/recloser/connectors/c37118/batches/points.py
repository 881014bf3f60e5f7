"""Owns turning batches of phasor data into readings of registered points, all points at once. Pure; no connection.

A point's address is IDCODE:CHANNEL of a PMU, for phasors with /magnitude (default), /angle_deg, /re or /im; `frequency`
and `rocof` are channels that every PMU has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.c37118.batches.batch import DataBatch
from recloser.connectors.c37118.configuration import PmuConfiguration
from recloser.connectors.c37118.layout import Layout
from recloser.connectors.points import BlockHead, Point, PointQuality, ReadingBlock, c37118_quality

PARTS = ("magnitude", "angle_deg", "re", "im")
ORIGIN = "c37118:data"
CLOCK = 0x0F  # of the time quality byte
INVALID = int(PointQuality.INVALID)


@dataclass(frozen=True, slots=True)
class Channel:
    """Where the numbers of a point stand in a batch.

    Attributes:
        kind: the array, for phasors also the part that is wanted.
        polar: of a phasor: sent as magnitude and angle.
        place: in the array: column of frequencies (two a PMU) or analogs, or number of the phasor.
        turn_rad: by which the phasor must be turned back.
    """

    kind: Literal["frequency", "analog", "magnitude", "angle_deg", "re", "im"]
    place: int
    polar: bool = False
    turn_rad: float = 0.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """A point, the PMU it belongs to, and where its numbers stand."""

    point: Point
    pmu: int
    channel: Channel


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Points whose numbers come about in the same way: places in the batch, turns (rad), and columns of the block."""

    kind: str
    polar: bool
    places: NDArray[np.intp]
    turns: NDArray[np.float64]
    columns: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """How a block of readings comes out of the batches of one configuration; worked out once.

    Attributes:
        head: of the blocks.
        pmus: (points,) the PMU that a point belongs to.
        scale, offset: (points,) of the registry.
        groups: how the numbers come about.
    """

    head: BlockHead
    pmus: NDArray[np.intp]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    groups: tuple[_Group, ...]


def choose(layout: Layout, points: Iterable[Point]) -> tuple[list[Chosen], list[Point]]:
    """Return the points that the configuration has, and those that it has not."""
    channels: dict[str, tuple[int, Channel]] = {}
    phasor = analog = 0
    for index, pmu in enumerate(layout.configuration.pmus):
        for name, channel in _channels(pmu, index, phasor, analog):
            channels.setdefault(f"{pmu.idcode}:{name}", (index, channel))
        phasor, analog = phasor + len(pmu.phasors), analog + len(pmu.analogs)
    chosen, missing = [], []
    for point in points:
        found = channels.get(point.address)
        if found is None:
            missing.append(point)
        else:
            chosen.append(Chosen(point, *found))
    return chosen, missing


def _channels(pmu: PmuConfiguration, index: int, phasor: int, analog: int) -> Iterator[tuple[str, Channel]]:
    yield "frequency", Channel("frequency", 2 * index)
    yield "rocof", Channel("frequency", 2 * index + 1)
    for place, channel in enumerate(pmu.phasors, phasor):
        turn = 0.0 if pmu.phasors_float or pmu.polar else channel.angle_offset_rad
        yield channel.name, Channel("magnitude", place, pmu.polar, turn)
        yield f"{channel.name}/magnitude", Channel("magnitude", place, pmu.polar, turn)
        yield f"{channel.name}/angle_deg", Channel("angle_deg", place, pmu.polar, turn)
        yield f"{channel.name}/re", Channel("re", place, pmu.polar, turn)
        yield f"{channel.name}/im", Channel("im", place, pmu.polar, turn)
    for place, known in enumerate(pmu.analogs, analog):
        yield known.name, Channel("analog", place)


def selection_of(chosen: Sequence[Chosen], source: str, origin: str = ORIGIN) -> Selection:
    """Return how the chosen points come out of a batch, as readings of a source."""
    points = [item.point for item in chosen]
    by_way: dict[tuple[str, bool], list[int]] = {}
    for column, item in enumerate(chosen):
        by_way.setdefault((item.channel.kind, item.channel.polar), []).append(column)
    groups = [
        _Group(
            kind,
            polar,
            np.array([chosen[column].channel.place for column in columns], np.intp),
            np.array([chosen[column].channel.turn_rad for column in columns]),
            np.array(columns, np.intp),
        )
        for (kind, polar), columns in by_way.items()
    ]
    return Selection(
        BlockHead(source, origin, tuple(point.name for point in points), tuple(point.unit for point in points)),
        np.array([item.pmu for item in chosen], np.intp),
        np.array([point.scale for point in points]),
        np.array([point.offset for point in points]),
        tuple(groups),
    )


def block_of(batch: DataBatch, selection: Selection, receive_ns: int) -> ReadingBlock:
    """Return a reading of each point for each frame; a number that is absent, or none, is INVALID.

    Args:
        batch: (n,) frames of the configuration that the selection was made for.
        selection: the points.
        receive_ns: time of arrival, ns since 1970 UTC.
    """
    count = len(batch.t_ns)
    numbers = np.empty((count, len(selection.pmus)))
    for group in selection.groups:
        numbers[:, group.columns] = _numbers(batch, group)
    numbers = numbers * selection.scale + selection.offset
    absent = ~np.isfinite(numbers)
    quality = _quality(batch)[:, selection.pmus]
    if absent.any():
        numbers[absent] = np.nan
        quality[absent] |= INVALID
    flags = batch.stats[:, selection.pmus].astype(np.uint32)
    arrival = np.full(count, receive_ns, np.int64)
    return ReadingBlock(selection.head, batch.t_ns, arrival, numbers, quality, flags)


def _numbers(batch: DataBatch, group: _Group) -> NDArray[Any]:
    if group.kind == "analog":
        return batch.analogs[:, group.places]
    if group.kind == "frequency":
        return batch.frequencies.reshape(len(batch.t_ns), -1)[:, group.places]
    first, second = batch.phasors[:, group.places, 0], batch.phasors[:, group.places, 1]
    if group.polar and group.kind == "magnitude":
        return first
    if group.polar and group.kind == "angle_deg":
        return np.asarray(np.degrees(second))
    phasor = first * np.exp(1j * second) if group.polar else (first + 1j * second) * np.exp(-1j * group.turns)
    if group.kind == "magnitude":
        return np.asarray(np.abs(phasor))
    if group.kind == "angle_deg":
        return np.asarray(np.degrees(np.angle(phasor)))
    return np.asarray(phasor.real if group.kind == "re" else phasor.imag)


def _quality(batch: DataBatch) -> NDArray[np.int32]:
    """Return the bits of each PMU in each frame, (n, PMUs): few different words are said."""
    words, places = np.unique(batch.stats, return_inverse=True)
    of_stat = np.array([int(c37118_quality(word)) for word in words.tolist()], np.int32)
    clocks, when = np.unique(batch.time_quality & CLOCK, return_inverse=True)
    of_clock = np.array([int(c37118_quality(0, clock)) for clock in clocks.tolist()], np.int32)
    bits: NDArray[np.int32] = of_stat[places].reshape(batch.stats.shape) | of_clock[when].reshape(-1, 1)
    return bits
