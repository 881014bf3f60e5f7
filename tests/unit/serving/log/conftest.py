"""Answered requests to log, and disks that fail on demand."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recloser.core import VirtualClock
from recloser.journal.file import SegmentFile
from recloser.serving.answer import Incident, Scoring
from recloser.serving.batch import batch_from_arrays
from recloser.serving.log import (
    AnswerRecord,
    Decided,
    LogPolicy,
    PredictionLog,
    Record,
    Segment,
    read_segment,
    segments,
)

NOW = datetime(2020, 3, 1, 22, 0, 5, tzinfo=UTC)
QUICK = LogPolicy(pause_s=0.0, retry_s=0.01)


def decided(number: int, areas: tuple[str, ...] = ("a", "b"), rows: int = 1) -> Decided:
    """Return an answered request whose numbers follow from its number."""
    n = len(areas) * rows
    at_us = np.arange(n, dtype=np.int64) * 3_600_000_000
    numbers = {"scale_mw": np.full(n, 1000.0), "lag": np.arange(n) + float(number)}
    batch, _ = batch_from_arrays([area for area in areas for _ in range(rows)], numbers, at_us)
    mw = [np.full((rows, 3), number + k + 0.25) + np.arange(3) for k in range(len(areas))]
    answers = [{"rel-1": cells, "rel-2": cells + 5.0} for cells in mw]
    held = [Incident("output", "not finite", NOW, areas[0], "rel-2", "T0")]
    scoring = Scoring(["rel-1"] * len(areas), ["champion"] * len(areas), [""] * len(areas), answers, held, {})
    made = NOW + timedelta(milliseconds=number)
    return Decided(f"r{number}", "forecast", 7, made, 0.00025, (0.1, 0.5, 0.9), batch, scoring)


class FailingFile(SegmentFile):
    """A real segment whose disk fails while `faults` says so; a failing write leaves half of its bytes."""

    def __init__(self, segment: Segment, faults: SimpleNamespace) -> None:
        self.faults = faults
        if faults.create:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().__init__(segment)

    def write(self, offset: int, content: bytes) -> None:
        if self.faults.write:
            super().write(offset, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(offset, content)

    def sync(self) -> None:
        if self.faults.sync:
            raise OSError(errno.EIO, "Input/output error")
        super().sync()


def everything(folder: Path) -> list[tuple[int, Record]]:
    """Return all records of a folder in order."""
    return [record for segment in segments(folder) for record in read_segment(segment).records]


def request_ids(folder: Path) -> list[str]:
    return [record.request_id for _, record in everything(folder) if isinstance(record, AnswerRecord)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def opened(folder: Path) -> Iterator[Callable[..., PredictionLog]]:
    """Open logs that are closed when the test ends."""
    logs: list[PredictionLog] = []

    def open_log(policy: LogPolicy = QUICK, faults: SimpleNamespace | None = None, **options: object) -> PredictionLog:
        if faults is not None:
            options["open_file"] = lambda segment: FailingFile(segment, faults)
        logs.append(PredictionLog(folder, policy, VirtualClock(NOW), **options))
        return logs[-1]

    yield open_log
    for log in logs:
        log.close()


@pytest.fixture(scope="session")
def logbook() -> SimpleNamespace:
    return SimpleNamespace(decided=decided, everything=everything, request_ids=request_ids, NOW=NOW, QUICK=QUICK)
