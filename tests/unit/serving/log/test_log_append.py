"""Appending, recovery after any end, and a disk that is full."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from recloser.core import InvalidInput, Unavailable, VirtualClock
from recloser.journal.file import SegmentFile
from recloser.serving.log import (
    AnswerRecord,
    CloseRecord,
    GapRecord,
    LogPolicy,
    PredictionLog,
    read_segment,
    segments,
)
from recloser.serving.log.record import inputs_digest

Opened = Callable[..., PredictionLog]


def healthy() -> SimpleNamespace:
    return SimpleNamespace(create=False, write=False, sync=False)


def until(log: PredictionLog, state: str, error: str = "") -> None:
    """Wait until the log is in that state, for that reason if one is given."""
    pause = threading.Event()
    for _ in range(1000):
        told = log.status()
        if told.state == state and error in ("", told.error):
            return
        pause.wait(0.01)
    raise AssertionError(log.status())


def test_an_answer_is_read_back_as_it_was(opened: Opened, folder: Path, logbook: SimpleNamespace) -> None:
    log = opened(replace(logbook.QUICK, inputs="full"))
    given = logbook.decided(3, rows=2)
    sequence = log.append(given)
    assert sequence == 1
    assert log.wait(sequence, 10.0)
    [(number, record)] = logbook.everything(folder)
    assert number == 1
    assert isinstance(record, AnswerRecord)
    assert (record.request_id, record.asked, record.epoch, record.latency_us) == ("r3", "forecast", 7, 250)
    assert [area.area for area in record.areas] == ["a", "b"]
    area = record.areas[1]
    assert (area.release, area.served_by, area.reason, area.rows) == ("rel-1", "champion", "", 2)
    assert area.targets_us() == [2 * 3_600_000_000, 3 * 3_600_000_000]
    assert area.answer("rel-1").tolist() == given.scoring.answers[1]["rel-1"].tolist()
    assert area.answer("rel-2").tolist() == given.scoring.answers[1]["rel-2"].tolist()
    assert [(held.kind, held.release) for held in record.incidents] == [("output", "rel-2")]
    names, table = given.batch.names, given.batch.table
    assert record.inputs_digest == inputs_digest(given.batch.areas, given.batch.at_us, names, table)
    assert record.columns == ("scale_mw", "lag")
    assert record.table().tolist() == [[1000.0, 3.0], [1000.0, 4.0], [1000.0, 5.0], [1000.0, 6.0]]


@pytest.mark.parametrize(("inputs", "digest", "columns"), [("digest", 32, 0), ("none", 0, 0), ("full", 32, 2)])
def test_inputs_are_kept_by_policy(
    opened: Opened, folder: Path, logbook: SimpleNamespace, inputs: str, digest: int, columns: int
) -> None:
    log = opened(replace(logbook.QUICK, inputs=inputs))
    log.append(logbook.decided(1))
    log.close()
    record = logbook.everything(folder)[0][1]
    assert (len(record.inputs_digest), len(record.columns)) == (digest, columns)


def test_the_digest_tells_inputs_apart(logbook: SimpleNamespace) -> None:
    batches = [logbook.decided(k).batch for k in (1, 1, 2)]
    found = [inputs_digest(batch.areas, batch.at_us, batch.names, batch.table) for batch in batches]
    assert found[0] == found[1] != found[2]
    assert inputs_digest(("x", "y"), batches[0].at_us, batches[0].names, batches[0].table) != found[0]


def test_many_threads_lose_nothing_and_share_syncs(opened: Opened, folder: Path, logbook: SimpleNamespace) -> None:
    log = opened(replace(logbook.QUICK, pause_s=0.005))

    def work(start: int) -> None:
        for k in range(200):
            log.append(logbook.decided(start + k))

    threads = [threading.Thread(target=work, args=(1000 * t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.close()
    assert log.status().syncs < 800
    ids = logbook.request_ids(folder)
    assert sorted(ids) == sorted(f"r{1000 * t + k}" for t in range(4) for k in range(200))
    assert [number for number, _ in logbook.everything(folder)] == list(range(1, 802))


def test_segments_rotate_by_size_and_by_age(opened: Opened, folder: Path, logbook: SimpleNamespace) -> None:
    now = [0.0]
    log = opened(replace(logbook.QUICK, segment_bytes=2000, segment_age_s=60.0), timer=lambda: now[0])
    for k in range(30):
        assert log.wait(log.append(logbook.decided(k)) or 0, 10.0)
    log.close()
    by_size = len(segments(folder))
    assert by_size > 3
    assert [segment.sealed for segment in segments(folder)] == [True] * (by_size - 1) + [False]
    aged = opened(replace(logbook.QUICK, segment_age_s=60.0), timer=lambda: now[0])
    assert aged.wait(aged.append(logbook.decided(100)) or 0, 10.0)
    before = len(segments(folder))
    now[0] = 61.0
    aged.wait(aged.append(logbook.decided(101)) or 0, 10.0)
    aged.close()
    assert len(segments(folder)) > before
    assert logbook.request_ids(folder) == [f"r{k}" for k in (*range(30), 100, 101)]


def test_a_closed_log_goes_on_where_it_ended_without_a_gap(
    opened: Opened, folder: Path, logbook: SimpleNamespace
) -> None:
    first = opened()
    first.append(logbook.decided(1))
    assert first.close()
    second = opened()
    assert second.recovery.in_order
    assert second.identity == first.identity
    second.append(logbook.decided(2))
    assert second.close()
    kinds = [type(record) for _, record in logbook.everything(folder)]
    assert kinds == [AnswerRecord, CloseRecord, AnswerRecord, CloseRecord]
    assert [number for number, _ in logbook.everything(folder)] == [1, 2, 3, 4]


def test_the_sequence_goes_on_when_all_sealed_segments_were_moved_away(
    opened: Opened, folder: Path, logbook: SimpleNamespace
) -> None:
    log = opened()
    for k in range(5):
        log.append(logbook.decided(k))
    log.close()
    for segment in segments(folder):
        if segment.sealed:
            segment.path.unlink()
    assert opened().append(logbook.decided(9)) == 7


def test_one_writer_a_folder(opened: Opened) -> None:
    opened()
    with pytest.raises(Unavailable, match="another process"):
        opened()


def test_a_torn_tail_is_cut_kept_and_reported(opened: Opened, folder: Path, logbook: SimpleNamespace) -> None:
    whole = killed(folder, 20)
    newest = segments(folder)[-1]
    content = newest.path.read_bytes()
    newest.path.write_bytes(content[:-7])
    log = opened()
    assert log.recovery.cut_bytes > 0
    assert not log.recovery.in_order
    log.append(logbook.decided(99))
    log.close()
    assert logbook.request_ids(folder) == [*whole[:-1], "r99"]
    gaps = [record for _, record in logbook.everything(folder) if isinstance(record, GapRecord)]
    assert [(gap.first, gap.last) for gap in gaps] == [(20, None)]
    kept = list((folder / "quarantine").iterdir())
    assert sum(path.stat().st_size for path in kept) == log.recovery.cut_bytes


def test_a_flipped_bit_is_found_and_quarantined_and_later_records_are_read(
    opened: Opened, folder: Path, logbook: SimpleNamespace
) -> None:
    whole = killed(folder, 20)
    newest = segments(folder)[-1]
    content = bytearray(newest.path.read_bytes())
    content[len(content) // 2] ^= 4
    newest.path.write_bytes(content)
    log = opened()
    assert log.recovery.damaged == 1
    assert log.recovery.cut_bytes == 0
    assert log.status().damaged == 1
    log.close()
    read = logbook.request_ids(folder)
    assert len(read) == 19
    assert set(read) < set(whole)
    assert read[-1] == whole[-1]
    assert len(list((folder / "quarantine").iterdir())) == 1


def killed(folder: Path, count: int) -> list[str]:
    """Let a process write so many durable answers and kill it; return their request ids."""
    return kill_writer(folder, count)


def kill_writer(folder: Path, count: int, *extra: str) -> list[str]:
    command = [sys.executable, str(Path(__file__).with_name("writer.py")), str(folder), *extra]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    acknowledged = []
    assert process.stdout is not None
    for line in process.stdout:
        acknowledged.append(json.loads(line))
        if len(acknowledged) >= count:
            break
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += [json.loads(line) for line in process.stdout.read().splitlines() if line.endswith('"')]
    process.wait()
    process.stdout.close()
    return acknowledged


@pytest.mark.slow
@pytest.mark.chaos
def test_every_acknowledged_answer_survives_kill_9_once(opened: Opened, folder: Path, logbook: SimpleNamespace) -> None:
    acknowledged: list[str] = []
    for count in (1, 40, 17, 90):
        acknowledged += kill_writer(folder, count, "on")
    log = opened()
    log.close()
    read = logbook.request_ids(folder)
    assert len(set(read)) == len(read)
    assert set(acknowledged) <= set(read)
    numbers = [number for number, _ in logbook.everything(folder)]
    assert numbers == sorted(set(numbers))
    gaps = [record for _, record in logbook.everything(folder) if isinstance(record, GapRecord)]
    assert len(gaps) == 4


def test_a_full_disk_is_a_flagged_gap_and_heals_by_itself(
    opened: Opened, folder: Path, logbook: SimpleNamespace
) -> None:
    faults = healthy()
    log = opened(replace(logbook.QUICK, queue_bytes=20_000), faults)
    assert log.wait(log.append(logbook.decided(0)) or 0, 10.0)
    faults.write = True
    kept = [f"r{k}" for k in range(1, 60) if log.append(logbook.decided(k)) is not None]
    until(log, "stalled", "No space left on device")
    told = log.status()
    assert told.waiting_bytes <= 20_000
    assert told.dropped == 59 - len(kept) > 0
    assert not log.wait(10**9, 0.0)
    faults.write = False
    until(log, "ok")
    after = log.append(logbook.decided(60))
    assert log.wait(after or 0, 10.0)
    assert log.status().gaps == 1
    assert log.close()
    assert logbook.request_ids(folder) == ["r0", *kept, "r60"]
    [gap] = [record for _, record in logbook.everything(folder) if isinstance(record, GapRecord)]
    assert gap.last is not None
    assert gap.last - gap.first + 1 == told.dropped
    numbers = [number for number, _ in logbook.everything(folder)]
    assert set(range(1, numbers[-1] + 1)) - set(numbers) == set(range(gap.first, gap.last + 1))


def test_after_a_failed_sync_the_records_go_into_another_segment_once(
    opened: Opened, folder: Path, logbook: SimpleNamespace
) -> None:
    faults = healthy()
    log = opened(faults=faults)
    assert log.wait(log.append(logbook.decided(0)) or 0, 10.0)
    faults.sync = True
    second = log.append(logbook.decided(1))
    until(log, "stalled")
    faults.sync = False
    until(log, "ok")
    assert log.status().durable == second
    assert len(segments(folder)) == 2
    assert log.close()
    assert logbook.request_ids(folder) == ["r0", "r1"]


def test_no_space_for_a_new_segment_keeps_the_old_one_in_use(
    opened: Opened, folder: Path, logbook: SimpleNamespace
) -> None:
    faults = healthy()
    log = opened(replace(logbook.QUICK, segment_bytes=500), faults)
    faults.create = True
    sequences = [log.append(logbook.decided(k)) for k in range(5)]
    until(log, "stalled")
    faults.create = False
    until(log, "ok")
    assert log.close()
    assert None not in sequences
    assert logbook.request_ids(folder) == [f"r{k}" for k in range(5)]


def test_a_disk_that_stays_full_ends_without_the_word_that_nothing_is_missing(
    opened: Opened, folder: Path, logbook: SimpleNamespace
) -> None:
    faults = healthy()
    log = opened(faults=faults)
    assert log.wait(log.append(logbook.decided(0)) or 0, 10.0)
    faults.write = True
    log.append(logbook.decided(1))
    assert not log.close()
    assert log.append(logbook.decided(2)) is None
    again = opened()
    assert not again.recovery.in_order
    again.close()
    assert logbook.request_ids(folder) == ["r0"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_really_full_disk(tmp_path: Path, logbook: SimpleNamespace) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", small], check=False).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    try:
        policy = replace(logbook.QUICK, segment_bytes=32_000, queue_bytes=100_000)
        log = PredictionLog(small / "log", policy, VirtualClock(logbook.NOW))
        ballast = small / "ballast"
        ballast.write_bytes(bytes(120_000))
        taken = []
        for k in range(3000):
            if log.append(logbook.decided(k)) is not None:
                taken.append(f"r{k}")
            while log.status().state == "ok" and log.status().waiting_bytes > 50_000:
                time.sleep(0.001)  # the disk gets full, not the queue, however slow the machine is
        until(log, "stalled", "No space left on device")
        assert len(taken) < 3000
        # What was moved away and the ballast make room again.
        sealed = [segment for segment in segments(small / "log") if segment.sealed]
        moved = [record for segment in sealed for _, record in read_segment(segment).records]
        for segment in sealed:
            segment.path.unlink()
        ballast.unlink()
        until(log, "ok")
        assert log.close()
        moved += [record for _, record in logbook.everything(small / "log")]
        assert [record.request_id for record in moved if isinstance(record, AnswerRecord)] == taken
        gaps = [record for record in moved if isinstance(record, GapRecord)]
        assert sum((gap.last or 0) - gap.first + 1 for gap in gaps) == 3000 - len(taken)
    finally:
        subprocess.run(["umount", small], check=True)


def test_an_answer_may_wait_until_it_is_durable(opened: Opened, logbook: SimpleNamespace) -> None:
    faults = healthy()
    log = opened(replace(logbook.QUICK, sync="each"), faults)
    assert log.holds_answers

    async def one(number: int) -> bool:
        log.append(logbook.decided(number))
        return await log.settled()

    assert asyncio.run(one(0))
    assert log.status().durable == 1
    faults.write = True
    assert not asyncio.run(one(1))
    assert not asyncio.run(one(2))  # stalled already: it leaves at once
    faults.write = False
    until(log, "ok")
    assert asyncio.run(one(3))


def test_an_answer_that_cannot_be_written_down_is_a_gap(opened: Opened, folder: Path, logbook: SimpleNamespace) -> None:
    log = opened()
    log.append(logbook.decided(1)._replace(request_id="\ud800"))
    log.append(logbook.decided(2))
    log.close()
    records = [record for _, record in logbook.everything(folder)]
    assert [type(record) for record in records] == [GapRecord, AnswerRecord, CloseRecord]


def test_a_policy_with_nothing_to_wait_in_is_refused() -> None:
    with pytest.raises(InvalidInput, match="queue_bytes"):
        LogPolicy(queue_bytes=0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_of_the_writer_is_told_and_holds_up_no_answer(opened: Opened, logbook: SimpleNamespace) -> None:
    class Defect(SegmentFile):
        def write(self, offset: int, content: bytes) -> None:
            if offset > 8:
                raise ZeroDivisionError
            super().write(offset, content)

    log = opened(replace(logbook.QUICK, sync="each", segment_bytes=10**9), open_file=Defect)

    async def one(number: int) -> bool:
        log.append(logbook.decided(number))
        return await log.settled()

    assert asyncio.run(one(0))
    assert not asyncio.run(one(1))
    assert log.status().state == "stalled"
    assert "defect" in log.status().error
    assert not asyncio.run(one(2))
    assert not log.close()
    assert opened().append(logbook.decided(3)) is not None  # the folder is free again


def test_a_disk_that_hangs_holds_up_no_answer_for_long(opened: Opened, logbook: SimpleNamespace) -> None:
    hang = threading.Event()

    class Hanging(SegmentFile):
        def sync(self) -> None:
            if hang.is_set():
                released.wait()
            super().sync()

    released = threading.Event()
    policy = replace(logbook.QUICK, sync="each", patience_s=0.05, queue_bytes=5000)
    log = opened(policy, open_file=Hanging)
    hang.set()

    async def one(number: int) -> bool:
        log.append(logbook.decided(number))
        return await log.settled()

    assert not asyncio.run(one(0))
    for number in range(1, 9):
        log.append(logbook.decided(number))
    told = log.status()
    assert (told.state, told.dropped > 0) == ("stalled", True)
    assert told.waiting_bytes <= 5000
    hang.clear()
    released.set()
    until(log, "ok")
    assert asyncio.run(one(10))
