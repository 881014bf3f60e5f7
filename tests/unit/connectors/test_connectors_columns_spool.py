"""Blocks of readings in the spool: whole or not at all, once and in order, whatever ends; counted when dropped."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from recloser.connectors.live import Link, LinkEvent, LinkState
from recloser.connectors.points import (
    BlockHead,
    PointQuality,
    PointReading,
    ReadingBlock,
    ReadingRun,
    Readings,
    merged,
    run_of,
)
from recloser.connectors.spool import Batch, Forwarder, Gap, Record, Spool, SpoolPolicy
from recloser.core import InvalidInput, Unavailable, VirtualClock
from recloser.journal import SegmentFile, segments

CLOCK = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
WIDTH = 50
HEAD = BlockHead("pdc", "test", tuple(f"P{n}" for n in range(WIDTH)), ("MW",) * WIDTH)


def block(number: int, head: BlockHead = HEAD, rows: int = 2) -> ReadingBlock:
    """All its readings have this number; times too."""
    shape = rows, len(head.points)
    at = np.full(rows, number, np.int64)
    whole = np.full(shape, float(number))
    return ReadingBlock(head, at, at.copy(), whole, np.zeros(shape, np.int32), np.zeros(shape, np.uint32))


def single(number: int, point: str = "P0") -> PointReading:
    return PointReading("pdc", point, None, number, float(number), "MW")


def opened(folder: Path, policy: SpoolPolicy, kind: type[SegmentFile] = SegmentFile) -> Spool:
    return Spool(folder, policy, CLOCK, lambda: 0.0, kind)


class Kept:
    """A sink in memory, and a link's output."""

    def __init__(self) -> None:
        self.done = 0
        self.records: list[Record] = []
        self.accepted: list[Readings] = []
        self.commits = 0
        self.away = False

    def committed(self, stream: str) -> int:
        assert stream
        return self.done

    def store(self, stream: str, records: Sequence[Record]) -> None:
        assert stream
        self.records += records
        self.done = records[-1].sequence
        self.commits += 1

    def accept(self, readings: Readings) -> int:
        if self.away:
            raise Unavailable("the disk is full")
        self.accepted.append(readings)
        return 0

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        raise AssertionError((source, start_ns, end_ns, reason))

    def tell_link(self, event: LinkEvent) -> None:
        assert event.state in LinkState

    @property
    def counts(self) -> Counter[float]:
        batches = [record.readings for record in self.records if isinstance(record, Batch)]
        return Counter(reading.number or 0.0 for readings in batches for reading in readings)


def moved(spool: Spool) -> Kept:
    sink = Kept()
    while Forwarder(spool, sink).step():
        pass
    return sink


def test_a_spool_that_drops_the_oldest_counts_every_reading_of_its_blocks(tmp_path: Path) -> None:
    policy = SpoolPolicy(20_000, 4_000, "drop_oldest")
    spool = opened(tmp_path, policy)
    for number in range(1, 101):
        spool.accept(block(number))
        assert spool.status().bytes <= policy.most_bytes + policy.segment_bytes
    sink = moved(spool)
    gaps = [record for record in sink.records if isinstance(record, Gap)]
    assert sum(gap.dropped for gap in gaps) + sum(sink.counts.values()) == 100 * 2 * WIDTH
    assert set(sink.counts.values()) == {2 * WIDTH}
    assert min(gap.start_ns for gap in gaps) == 1
    assert max(gap.end_ns for gap in gaps) == min(sink.counts) - 1
    spool.close()


def test_what_is_handed_on_together_is_durable_together_in_order(tmp_path: Path) -> None:
    spool = opened(tmp_path, SpoolPolicy())
    run = run_of([block(1), single(2), single(3), block(4), block(5)])
    assert isinstance(run, ReadingRun)
    assert len(run) == 3 * 2 * WIDTH + 2
    assert spool.accept(run) == 4
    assert list(dict.fromkeys(moved(spool).counts)) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert run_of([block(1)]).__class__ is ReadingBlock
    assert list(run_of([single(2)])) == [single(2)]
    with pytest.raises(InvalidInput, match="no readings"):
        spool.accept(run_of([block(1).rows(2)]))
    spool.close()


class FullDisk(SegmentFile):
    """Takes a part of what is written while `full` is set."""

    full = False

    def write(self, offset: int, content: bytes) -> None:
        if FullDisk.full:
            super().write(offset, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(offset, content)


def test_a_disk_that_takes_a_part_has_accepted_nothing(tmp_path: Path) -> None:
    spool = opened(tmp_path, SpoolPolicy(), FullDisk)
    spool.accept(block(1))
    FullDisk.full = True
    try:
        with pytest.raises(Unavailable, match="did not take it"):
            spool.accept(run_of([block(2), block(3)]))
    finally:
        FullDisk.full = False
    spool.accept(run_of([block(2), block(3)]))
    assert moved(spool).counts == {1.0: 2 * WIDTH, 2.0: 2 * WIDTH, 3.0: 2 * WIDTH}
    spool.close()


def test_a_damaged_block_costs_no_other(tmp_path: Path) -> None:
    spool = opened(tmp_path, SpoolPolicy(1 << 20, 6_000))
    for number in range(1, 31):
        spool.accept(block(number))
    sealed = next(segment for segment in segments(tmp_path) if segment.sealed)
    content = bytearray(sealed.read())
    content[100] ^= 0xFF
    sealed.path.write_bytes(bytes(content))
    sink = moved(spool)
    assert len(sink.counts) == 29
    assert sum("damaged" in record.reason for record in sink.records if isinstance(record, Gap)) == 1
    spool.close()


def test_a_commit_takes_more_of_blocks_than_of_single_readings(tmp_path: Path) -> None:
    spool = opened(tmp_path, SpoolPolicy())
    for number in range(30):
        spool.accept(block(number, rows=400))
    assert moved(spool).commits == 3
    spool.close()


def test_the_latest_of_each_point_becomes_stale_whichever_way_it_came() -> None:
    class Client:
        async def run(self, up: object, deliver: object) -> None:
            """Nobody runs it."""

    output = Kept()
    link = Link("pdc", Client(), output, CLOCK)
    other = BlockHead("pdc", "else", ("P1", "Q"), ("MW", "MW"))
    link._up()
    link._deliver([single(1, "P0"), block(2), block(3, other), single(4, "P2")])
    assert link.status.readings == 2 * WIDTH + 2 * 2 + 2
    assert link.status.last_ns == 4
    link._down("lost")
    stale = list(output.accepted[-1])
    assert {reading.quality for reading in stale} == {PointQuality.STALE}
    last = {reading.point: reading.number for reading in stale}
    assert (last["P0"], last["P1"], last["P2"], last["P3"], last["Q"]) == (2.0, 3.0, 4.0, 2.0, 3.0)
    assert len(stale) == WIDTH + 1


def test_an_instant_of_several_streams_is_one_block() -> None:
    other = BlockHead("pdc", "test", ("Q",), ("kV",))
    late = block(1, other)
    late.receive_ns[:] = 9
    (one,) = merged([block(1), late])
    assert one.head.points == (*HEAD.points, "Q")
    assert one.receive_ns.tolist() == [9, 9]
    assert len(one) == 2 * (WIDTH + 1)
    assert merged([block(1), late])[0].head is one.head
    apart = [block(1), block(2, other)]
    assert merged(apart) == apart
    assert merged([]) == []


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_connectors_columns_spool import SpoolPolicy, block, opened, run_of, single
spool = opened(Path(sys.argv[1]), SpoolPolicy(100_000_000, 20_000))
number = int(sys.argv[2])
while True:
    spool.accept(run_of([block(number), single(number), block(number)]))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


@pytest.mark.slow
@pytest.mark.chaos
def test_kill_at_any_time_loses_no_block_that_was_acknowledged_and_tears_none(tmp_path: Path) -> None:
    acknowledged, rng, stored = list[int](), random.Random(7), Counter[float]()
    unclean = 0
    for _ in range(4):
        first = acknowledged[-1] + 2 if acknowledged else 1
        command = [sys.executable, "-c", WRITER, str(tmp_path / "s"), str(first), str(Path(__file__).parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            acknowledged += [int(child.stdout.readline()) for _ in range(rng.randrange(20, 200))]
            child.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in child.stdout.read().split("\n")[:-1]]
        spool = opened(tmp_path / "s", SpoolPolicy(100_000_000, 20_000))
        sink = moved(spool)
        stored.update(sink.counts)
        unclean += sum(isinstance(record, Gap) for record in sink.records)
        spool.close()
    whole = 2 * 2 * WIDTH + 1
    assert all(stored[number] == whole for number in acknowledged)
    others = {number: count for number, count in stored.items() if number not in set(acknowledged)}
    assert len(others) <= 4  # durable in part or whole, but killed before it was told
    assert set(others.values()) <= {2 * WIDTH, 2 * WIDTH + 1, whole}
    assert unclean == 4
