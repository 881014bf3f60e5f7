"""The spool: what was acknowledged is stored exactly once and in order, whatever ends; what is lost is told."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.connectors.points import PointQuality, PointReading
from recloser.connectors.spool import Batch, Forwarder, Gap, Record, Spool, SpoolPolicy
from recloser.connectors.spool.record import decode, encode_gap, encode_readings
from recloser.core import LOAD, InvalidInput, Unavailable, VirtualClock
from recloser.journal import SegmentFile, segments
from recloser.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SMALL = SpoolPolicy(most_bytes=4_000, segment_bytes=600)
HOUR_NS = 3_600_000_000_000
START_NS = int(NOW.timestamp()) * 1_000_000_000


def reading(number: int) -> PointReading:
    return PointReading("rtu", f"P{number}", START_NS + number * HOUR_NS, START_NS, float(number), "MW", origin="test")


def opened(folder: Path, policy: SpoolPolicy = SMALL, open_file: Any = SegmentFile) -> Spool:
    return Spool(folder, policy, VirtualClock(NOW), lambda: 0.0, open_file)


class Kept:
    """A sink that commits record and sequence together, as the store does, and may end after or before it."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}
        self.records: list[Record] = []
        self.faults: Iterator[str] = iter(())

    def committed(self, stream: str) -> int:
        return self.done.get(stream, 0)

    def store(self, stream: str, records: Sequence[Record]) -> None:
        fault = next(self.faults, "")
        if fault == "before":
            raise Unavailable("the store is away")
        if records[-1].sequence > self.committed(stream):
            self.records += records
            self.done[stream] = records[-1].sequence
        if fault == "after":
            raise Unavailable("the process ended after the commit")

    @property
    def numbers(self) -> list[float | None]:
        return [r.number for record in self.records if isinstance(record, Batch) for r in record.readings]


@given(
    readings=st.lists(
        st.builds(
            PointReading,
            st.text(max_size=5),
            st.text(max_size=5),
            st.none() | st.integers(-(2**62), 2**62),
            st.integers(0, 2**62),
            st.none() | st.floats(allow_nan=False),
            st.text(max_size=3),
            st.integers(0, 2**17 - 1).map(PointQuality),
            st.integers(0, 2**32 - 1),
            st.text(max_size=5),
            st.none() | st.floats(allow_nan=False),
        ),
        max_size=4,
    )
)
def test_a_record_is_read_as_it_was_written(readings: list[PointReading]) -> None:
    assert decode(7, encode_readings(tuple(readings))) == Batch(7, tuple(readings))
    gap = Gap(7, "s", 1, 2, "why", 3)
    assert decode(7, encode_gap(gap)) == gap


def test_accepted_readings_come_out_in_order_and_once_over_many_segments(tmp_path: Path) -> None:
    spool, sink = opened(tmp_path / "s", SpoolPolicy(most_bytes=100_000, segment_bytes=600)), Kept()
    forwarder = Forwarder(spool, sink)
    for number in range(60):
        assert spool.accept([reading(number)]) == number + 1
        if number % 7 == 0:
            forwarder.step(most=3)
    while forwarder.step():
        pass
    assert sink.numbers == list(range(60))
    assert spool.status().segments <= 2
    spool.close()


def test_a_spool_that_was_closed_goes_on_where_it_was(tmp_path: Path) -> None:
    first = opened(tmp_path / "s")
    first.accept([reading(1), reading(2)])
    first.tell_gap("rtu", 5, 9, "link down")
    first.close()
    second = opened(tmp_path / "s")
    assert second.recovery.in_order
    second.accept([reading(3)])
    records = list(second.pending())
    assert [type(record).__name__ for record in records] == ["Batch", "Gap", "Batch"]
    assert records[1] == Gap(2, "rtu", 5, 9, "link down")
    assert [record.sequence for record in second.pending(after=2)] == [records[2].sequence]
    second.close()


@settings(deadline=None, max_examples=30)  # every record is synced to the disk
@given(seed=st.integers(0, 10_000))
def test_ends_before_and_after_a_commit_lose_and_double_nothing(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng, folder, sink = random.Random(seed), tmp_path_factory.mktemp("spool"), Kept()
    spool, sent = opened(folder / "s", SpoolPolicy(100_000, 600)), 0
    for _ in range(12):
        for _ in range(rng.randrange(4)):
            spool.accept([reading(sent)])
            sent += 1
        sink.faults = iter(rng.choices(["", "", "before", "after"], k=3))
        try:
            Forwarder(spool, sink).step()
        except Unavailable:
            if rng.random() < 0.5:
                spool.close()
                spool = opened(folder / "s", SpoolPolicy(100_000, 600))
    sink.faults = iter(())
    while Forwarder(spool, sink).step():
        pass
    assert sink.numbers == list(range(sent))
    spool.close()


def test_a_full_spool_refuses_and_takes_again_once_there_is_room(tmp_path: Path) -> None:
    spool, sink, taken = opened(tmp_path / "s"), Kept(), 0
    while spool.status().bytes < SMALL.most_bytes - 200:
        spool.accept([reading(taken)])
        taken += 1
    with pytest.raises(Unavailable, match="spool is full"):
        spool.accept([reading(n) for n in range(9)])
    assert spool.status().bytes <= SMALL.most_bytes
    Forwarder(spool, sink).step()
    spool.accept([reading(taken)])
    Forwarder(spool, sink).step()
    assert sink.numbers == list(range(taken + 1))
    spool.close()


def test_a_spool_that_drops_the_oldest_counts_every_reading(tmp_path: Path) -> None:
    spool, sink = opened(tmp_path / "s", SpoolPolicy(4_000, 600, "drop_oldest")), Kept()
    for number in range(300):
        spool.accept([reading(number)])
        assert spool.status().bytes <= 4_000 + 600
    while Forwarder(spool, sink).step():
        pass
    gaps = [record for record in sink.records if isinstance(record, Gap)]
    assert sum(gap.dropped for gap in gaps) + len(sink.numbers) == 300
    assert sink.numbers == sorted(set(sink.numbers), key=lambda number: number or 0)
    assert spool.status().dropped == 300 - len(sink.numbers)
    spool.close()


class FullDisk(SegmentFile):
    """A real segment file on a disk that takes nothing while `full` is set."""

    full = False

    def write(self, offset: int, content: bytes) -> None:
        if FullDisk.full:
            super().write(offset, content[:5])  # a part of it gets there
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(offset, content)


def test_a_disk_that_takes_nothing_acknowledges_nothing(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s", open_file=FullDisk)
    spool.accept([reading(1)])
    FullDisk.full = True
    try:
        for _ in range(3):
            with pytest.raises(Unavailable, match="did not take it"):
                spool.accept([reading(2)])
    finally:
        FullDisk.full = False
    spool.accept([reading(2)])
    numbers = [r.number for record in spool.pending() if isinstance(record, Batch) for r in record.readings]
    assert numbers == [1.0, 2.0]
    spool.close()


def test_damage_in_a_sealed_segment_is_a_gap_and_costs_only_its_record(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s", SpoolPolicy(100_000, 600))
    for number in range(30):
        spool.accept([reading(number)])
    sealed = next(segment for segment in segments(tmp_path / "s") if segment.sealed)
    content = bytearray(sealed.read())
    content[60] ^= 0xFF
    sealed.path.write_bytes(bytes(content))
    records = list(spool.pending())
    lost = {float(n) for n in range(30)} - {r.number for x in records if isinstance(x, Batch) for r in x.readings}
    assert len(lost) == 1
    assert [record.reason for record in records if isinstance(record, Gap)] == [
        "a segment of the spool was damaged: records in it are lost"
    ]
    assert list((tmp_path / "s" / "quarantine").iterdir())
    spool.close()


def test_a_record_of_a_later_release_is_kept_and_told(tmp_path: Path) -> None:
    from recloser.journal.folder import fresh_segment, seal
    from recloser.journal.frame import MAGIC, frame

    folder = tmp_path / "s"
    opened(folder).close()
    later = fresh_segment(folder, 50)
    later.path.write_bytes(MAGIC + frame(b"\x92\xa1z\x01", 50, later.salt))
    seal(later)
    spool = opened(folder)
    with pytest.raises(Unavailable, match="does not know"):
        list(spool.pending())
    assert any(segment.first == 50 for segment in segments(folder))
    spool.close()


def test_wrong_policies_and_empty_batches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="full spool"):
        SpoolPolicy(when_full="forget")
    with pytest.raises(InvalidInput, match="two segments"):
        SpoolPolicy(most_bytes=10, segment_bytes=9)
    spool = opened(tmp_path / "s")
    with pytest.raises(InvalidInput, match="no readings"):
        spool.accept([])
    with pytest.raises(Unavailable, match="another process"):
        opened(tmp_path / "s")
    spool.close()


class StoreSink:
    """The real store as a sink: the batch and its sequence in one Delta transaction."""

    def __init__(self, folder: Path) -> None:
        self.store_ = Store.open(folder, timedelta(hours=1))
        self.done: dict[str, int] = {}

    def committed(self, stream: str) -> int:
        return self.done.get(stream, 0)  # forgotten with the process: the store itself drops what it has

    def store(self, stream: str, records: Sequence[Record]) -> None:
        for record in records:
            self._store(stream, record)

    def _store(self, stream: str, record: Record) -> None:
        if isinstance(record, Batch):
            at = [datetime.fromtimestamp(r.at_ns / 1e9, UTC) for r in record.readings]
            frame = pl.DataFrame(
                {
                    "area": [r.point for r in record.readings],
                    "quantity": LOAD,
                    "at": at,
                    "available_at": at,
                    "value": [r.number for r in record.readings],
                    "quality": pl.Series([0] * len(at), dtype=pl.Int32),
                    "source": stream,
                }
            )
            self.store_.append(frame, stream, record.sequence)
        self.done[stream] = record.sequence


def test_the_store_holds_each_reading_once_after_a_forwarder_that_forgot(tmp_path: Path) -> None:
    spool = opened(tmp_path / "s", SpoolPolicy(100_000, 600))
    for number in range(8):
        spool.accept([reading(number)])
    sink = StoreSink(tmp_path / "store")
    for record in list(spool.pending())[:5]:
        sink.store(f"spool:{spool.identity}", [record])  # then killed, before anything was released
    again = StoreSink(tmp_path / "store")
    Forwarder(spool, again).step()
    stored = again.store_.read(as_of=NOW + timedelta(days=9)).frame
    assert sorted(stored["value"].to_list()) == [float(number) for number in range(8)]
    spool.close()


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from recloser.connectors.points import PointReading
from recloser.connectors.spool import Spool, SpoolPolicy
from recloser.core import VirtualClock
clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
spool = Spool(Path(sys.argv[1]), SpoolPolicy(10_000_000, 2_000), clock, lambda: 0.0)
number = int(sys.argv[2])
while True:
    spool.accept([PointReading("rtu", "P", None, 1, float(number), "MW")])
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


@pytest.mark.slow
@pytest.mark.chaos
def test_kill_at_any_time_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    sink, rng = Kept(), random.Random(5)
    for _ in range(4):
        first = acknowledged[-1] + 2 if acknowledged else 0
        command = [sys.executable, "-c", WRITER, str(tmp_path / "s"), str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            acknowledged += [json.loads(child.stdout.readline()) for _ in range(rng.randrange(20, 200))]
            child.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in child.stdout.read().split("\n")[:-1]]
        spool = opened(tmp_path / "s", SpoolPolicy(10_000_000, 2_000))
        assert not spool.recovery.in_order
        while Forwarder(spool, sink).step():
            pass
        spool.close()
    stored = [int(number or 0) for number in sink.numbers]
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))
    assert stored == sorted(stored)
    assert len(set(stored) - set(acknowledged)) <= 4  # durable, but killed before it was told
    assert sum(isinstance(record, Gap) for record in sink.records) == 4
