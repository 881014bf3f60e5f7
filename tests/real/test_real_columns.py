"""Phasor data of every capture: blocks of readings say what each frame alone says, and are stored as single ones."""

from __future__ import annotations

import math
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recloser.app.links.sink import TableSink
from recloser.connectors.c37118 import DataFrame, Found, Layout, Observation, Observer, forms, read_batch
from recloser.connectors.c37118.batches.points import PARTS, block_of, choose, selection_of
from recloser.connectors.capture import Chunk, Endpoint, read_traffic
from recloser.connectors.cleaning import Cleaner, ColumnCleaner
from recloser.connectors.points import Point, PointQuality, ReadingBlock, c37118_quality
from recloser.connectors.spool import Batch
from recloser.connectors.spool.record import decode, encode_readings
from recloser.store import READING_SCHEMA, ReadingTable

pytestmark = pytest.mark.real

CAPTURES = Path(__file__).parents[2].parent / "shared" / "captures" / "c37118"
FILES = sorted(CAPTURES.glob("*.pcap"))
NONE = [pytest.param(None, marks=pytest.mark.skip(reason="no captures beside the project"))]
STEP = 7  # frames of a batch


class Frames(Observer):
    """Keeps the bytes of data frames beside what they say."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[bytes, DataFrame]] = []

    def _observe(self, item: Found, sender: Endpoint, target: Endpoint) -> Observation:
        observation = super()._observe(item, sender, target)
        if observation.data is not None and observation.crc_ok:
            self.found.append((item.data, observation.data))
        return observation


def data_of(capture: Path) -> list[tuple[bytes, DataFrame]]:
    frames = Frames()
    for event in read_traffic(capture):
        if isinstance(event, Chunk):
            for _ in frames.add(event):
                pass
    return frames.found


def points_of(layout: Layout) -> list[Point]:
    points: dict[str, Point] = {}
    for pmu in layout.configuration.pmus:
        names = ["frequency", "rocof", *(channel.name for channel in pmu.analogs)]
        names += [f"{channel.name}/{part}" for channel in pmu.phasors for part in PARTS]
        for name in names:
            address = f"{pmu.idcode}:{name}"
            points.setdefault(address, Point(address, address, "x", scale=1.5 if name == "frequency" else 1.0))
    return list(points.values())


def numbers_of(data: DataFrame) -> dict[str, tuple[float, int]]:
    """The number of each address by one frame alone, and its STAT; the first of those of one address."""
    found: dict[str, tuple[float, int]] = {}
    phasor = analog = 0
    for index, pmu in enumerate(data.layout.configuration.pmus):
        stat, numbers = data.stats[index], dict[str, float]()
        for channel in pmu.phasors:
            pair = data.phasors[2 * phasor], data.phasors[2 * phasor + 1]
            turn = 0.0 if pmu.phasors_float else channel.angle_offset_rad
            re, im, magnitude, angle = forms(*pair, polar=pmu.polar, turn_rad=turn)
            for part, number in zip(PARTS, (magnitude, angle, re, im), strict=True):
                numbers.setdefault(f"{channel.name}/{part}", number)
            phasor += 1
        for known in pmu.analogs:
            numbers.setdefault(known.name, data.analogs[analog])
            analog += 1
        numbers |= {"frequency": 1.5 * data.frequencies[2 * index], "rocof": data.frequencies[2 * index + 1]}
        for name, number in numbers.items():
            found.setdefault(f"{pmu.idcode}:{name}", (number, stat))
    return found


def blocks_of(frames: list[tuple[bytes, DataFrame]]) -> list[tuple[ReadingBlock, list[DataFrame]]]:
    blocks = []
    for layout, together in groupby(frames, lambda frame: frame[1].layout):
        run = list(together)
        selection = selection_of(choose(layout, points_of(layout))[0], "pdc")
        for begin in range(0, len(run), STEP):
            part = run[begin : begin + STEP]
            blocks.append(
                (block_of(read_batch([raw for raw, _ in part], layout), selection, begin), [d for _, d in part])
            )
    return blocks


@pytest.mark.parametrize("capture", FILES or NONE, ids=lambda path: path and path.name)
def test_a_block_says_what_each_frame_says(capture: Path) -> None:
    count = 0
    for block, frames in blocks_of(data_of(capture)):
        rows = iter(block)
        for data in frames:
            expected = numbers_of(data)
            for _ in block.head.points:
                row = next(rows)
                number, stat = expected[row.point]
                quality = c37118_quality(stat, data.time_quality)
                if math.isfinite(number):
                    assert row.number == pytest.approx(number, rel=1e-12, abs=1e-12)
                else:
                    quality |= PointQuality.INVALID
                    assert row.number is None
                assert (row.quality, row.raw_flags, row.source_ns) == (quality, stat, data.t_ns)
                count += 1
    assert count or not data_of(capture)


@pytest.mark.parametrize("capture", FILES or NONE, ids=lambda path: path and path.name)
def test_a_capture_is_stored_alike_in_blocks_and_one_by_one(capture: Path, tmp_path: Path) -> None:
    blocks = [block for block, _ in blocks_of(data_of(capture))]
    points = {
        name: Point(name, name, "x", rate_per_s=10.0, stuck_after_s=1.0) for b in blocks for name in b.head.points
    }
    tables = ReadingTable(tmp_path / "single"), ReadingTable(tmp_path / "columns")
    sinks = (
        TableSink(tables[0], "pdc", lambda: Cleaner(points)),
        TableSink(tables[1], "pdc", lambda: ColumnCleaner(points)),
    )
    kept = [decode(number, encode_readings(block)) for number, block in enumerate(blocks, 1)]
    for begin in range(0, len(blocks), 50):
        batches = [record for record in kept[begin : begin + 50] if isinstance(record, Batch)]
        sinks[0].store("s", [Batch(one.sequence, tuple(one.readings)) for one in batches])
        sinks[1].store("s", batches)
    frames = [table.read().select(*READING_SCHEMA) for table in tables]
    assert frames[0].equals(frames[1])
    assert frames[0].height == sum(map(len, blocks))
    assert sinks[0].counts == sinks[1].counts
    assert np.isfinite(frames[0].filter(pl.col("number").is_not_null())["number"].to_numpy()).all()
