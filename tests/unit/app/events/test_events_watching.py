"""A detector on a live C37.118 stream over a real socket: windows, events, gaps, restarts, a ledger that is away.

Who answers is a rule and no trained model: what is tried is the way from frames to events.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recloser.app import Platform, SystemClock, scaffold_events
from recloser.app.events.answers import detector_policy, probability_limits
from recloser.app.events.detector import Detector
from recloser.app.events.report import detector_document, detector_sentences, read_detector, write_detector
from recloser.app.events.watching import GapsOnly, PhasorWatch, report_of
from recloser.app.events.windows import LIVE, WindowStore
from recloser.connectors.live import Backoff, Endpoint, Link, Stream
from recloser.connectors.live.c37118.client import StreamReader
from recloser.connectors.points import PointRegistry, nanoseconds
from recloser.core import FloatArray, Unavailable
from recloser.ledger import SignalRecord
from recloser.serving import Gateway, Route
from recloser.simulation.devices import DeviceFault, GridWaveFeed, PmuServer
from recloser.simulation.phasors import GridEvent, PhasorPlan, scene

SPLIT_HZ = 0.03
RATE, SLOW = 30, 10


@dataclass(frozen=True)
class Rule:
    """Calls it islanding where PMUs part in frequency."""

    release: str = "rule"

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        parted = rows["apart_end_hz"].fill_null(0.0).to_numpy() > SPLIT_HZ
        asked = rows["area"].to_numpy() == "islanding"
        return np.where(parted & asked, 0.97, 0.02)[:, None].astype(np.float64)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    scaffold_events(tmp_path / "pmu", kinds=(), time_zone="UTC")
    path = tmp_path / "pmu" / "recloser.toml"
    text = path.read_text(encoding="utf-8").replace("window_seconds = 10.0", "window_seconds = 4.0")
    path.write_text(text.replace("step_seconds = 1.0", "step_seconds = 0.5"), encoding="utf-8")
    with Platform.open(tmp_path / "pmu") as opened:
        yield opened


@pytest.fixture
def gateway(platform: Platform) -> Gateway:
    limits = probability_limits(platform.areas)
    return Gateway({"rule": Rule()}, Route(1, "rule", fallback=()), limits, detector_policy((), {}), (0.5,))


def detector_on(platform: Platform, gateway: Gateway, said: list[str]) -> tuple[Detector, WindowStore]:
    windows = WindowStore(platform.layout.windows)
    return Detector(platform, gateway, windows, said.append), windows


@pytest.mark.slow
def test_a_grid_that_splits_is_told_within_seconds_over_a_real_socket(platform: Platform, gateway: Gateway) -> None:
    said: list[str] = []
    detector, windows = detector_on(platform, gateway, said)
    clock = SystemClock()

    async def story() -> None:
        plan = PhasorPlan(5, 6, SLOW)
        faults = [DeviceFault("drop", 5.0, 0.3)]
        feed = GridWaveFeed(plan, clock, time.monotonic, events=[(GridEvent.ISLANDING, 12.0)], faults=faults)
        async with await PmuServer(feed, SLOW).open("127.0.0.1", 0) as opened:
            stream = Stream(Endpoint("127.0.0.1", opened.port), 7)
            reader = StreamReader("pdc", stream, PointRegistry("c37118", ()), clock)
            watch = PhasorWatch(reader, detector, (4.0, 0.5, None), clock.now)
            output = GapsOnly(said.append)
            link = Link("pdc", watch, output, clock, Backoff(0.2, 0.5))
            task = asyncio.create_task(link.run())
            async with asyncio.timeout(150):
                while not platform.ledger.find(SignalRecord):  # noqa: ASYNC110 - it is another task that writes
                    await asyncio.sleep(0.1)
            report = report_of(link, watch, detector, output, nanoseconds(clock.now()))
            write_detector(platform.layout.windows.parent, report)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(story())
    found = platform.ledger.find(SignalRecord)
    assert [record.areas for record in found] == [["islanding"]]
    assert found[0].evidence["release"] == "rule"
    assert found[0].at - found[0].since >= timedelta(seconds=1.0), "three windows in a row"
    report = read_detector(platform.layout.windows.parent)
    assert report is not None
    assert report.state == "up"
    assert report.gaps >= 1, "the connection was dropped once"
    document = detector_document(platform.ledger, platform.layout.windows.parent, clock.now())
    assert document["going_on"] == ["islanding"]
    assert any("islanding" in sentence for sentence in detector_sentences(document))
    detector.flush()
    kept = windows.read(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1))
    assert kept.filter(pl.col("origin") == LIVE).height == detector.counts.windows
    times = kept.filter(pl.col("origin") == LIVE)["at"]
    assert ((times.dt.epoch("us") + 1_000_000 // SLOW) % 500_000).max() == 0, "windows end on the grid of their step"


def blocks(event: GridEvent, seconds: float = 4.0, step: float = 0.5) -> Iterator[object]:
    one = scene(PhasorPlan(5, 6, RATE, seconds=40.0), event)
    for end in range(round(seconds * RATE), len(one.block) + 1, round(step * RATE)):
        yield one.block.part(end - round(seconds * RATE), end)


def test_events_that_a_process_left_open_are_closed_when_the_next_begins(platform: Platform, gateway: Gateway) -> None:
    detector, _ = detector_on(platform, gateway, [])
    for block in blocks(GridEvent.ISLANDING):
        detector.window(block)  # type: ignore[arg-type]
    (left,) = platform.ledger.find(SignalRecord, closed_at=None)
    again, _ = detector_on(platform, gateway, [])
    again.begin(platform.clock.now())
    closed = platform.ledger.get(SignalRecord, left.key)
    assert closed is not None
    assert closed.evidence["ended_by"] == "the detector began anew"
    again.begin(platform.clock.now())
    assert platform.ledger.verify().ok


def test_an_answer_does_not_wait_for_the_ledger_and_the_event_is_written_later(
    platform: Platform, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    detector, _ = detector_on(platform, gateway, said)
    whole = platform.ledger.change

    def away(*_: object) -> object:
        raise Unavailable("the database is away")

    monkeypatch.setattr(platform.ledger, "change", away)
    stretch = list(blocks(GridEvent.ISLANDING))
    for block in stretch[:-1]:
        detector.window(block)  # type: ignore[arg-type]
    assert any("islanding" in line for line in said)
    assert "away" in detector.counts.trouble
    monkeypatch.setattr(platform.ledger, "change", whole)
    detector.window(stretch[-1])  # type: ignore[arg-type]
    assert [record.areas[0] for record in platform.ledger.find(SignalRecord)] == ["islanding"]
    assert detector.counts.trouble == ""


def test_a_stream_without_usable_frames_is_answered_by_nobody(platform: Platform, gateway: Gateway) -> None:
    detector, _ = detector_on(platform, gateway, [])
    one = scene(PhasorPlan(5, 6, RATE), GridEvent.NONE).block.part(0, 4 * RATE)
    one.unusable[:] = True
    assert detector.window(one) == ()
    assert detector.counts.unanswered == 1


def test_drills_come_evenly_over_the_day_and_are_told_to_nobody(platform: Platform, gateway: Gateway) -> None:
    detector, windows = detector_on(platform, gateway, [])
    block = scene(PhasorPlan(5, 6, RATE), GridEvent.NONE).block.part(0, 10 * RATE)
    begun, number = datetime(2026, 3, 1, tzinfo=UTC), 0
    for minute in range(0, 24 * 60, 2):
        now = begun + timedelta(minutes=minute)
        if detector.drill_due(now):
            number += 1
            assert detector.practise(block, now) == 6
    detector.flush()
    assert number == 60, "twelve of each of five kinds"
    at = datetime.fromtimestamp(int(block.at_ns[0]) / 1e9, UTC)
    kept = windows.read(at - timedelta(minutes=1), at + timedelta(minutes=1))
    assert set(kept["event"].unique()) == set(platform.areas)
    assert not platform.ledger.find(SignalRecord)
