"""Measures how long a frame takes from its arrival to what is decided because of it, through a real link.

`python benchmarks/connectors/latency.py [--pmus 10] [--rate 60] [--seconds 20] [--json]`. Another process sends frames
over TCP in real time. For each, from the moment the socket gave it: decoded and made readings, durable in the spool
(fsync), then the features of the last ten seconds, the answer of a detector of five boosters, and the rule of events.
Milliseconds by the clock, median and 99 %, and of CPU. On a busy machine several frames arrive together and are decided
on once. The detector has learned from noise: what it says is void, not what it does.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the processes of a project that follow streams have it

import argparse
import asyncio
import json
import multiprocessing
import socket
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from streams import CLASSES, concentrator, configuration, frames_of, points_of, trained

from recloser.app.clock import SystemClock
from recloser.connectors.live import C37118Client, Endpoint, Link, LinkEvent, Stream
from recloser.connectors.points import PointRegistry, ReadingBlock, Readings
from recloser.connectors.spool import Spool, SpoolPolicy
from recloser.features.phasors import PhasorBlock, phasor_features
from recloser.models import EventDetector
from recloser.monitoring import EventRule, EventWatch, watched

WINDOW_S, PER_PMU = 10, 16
FREQUENCY, MAGNITUDE, ANGLE_DEG = 0, 2, 3  # columns of a PMU's sixteen


class Decision:
    """The output of a link: keeps what comes, then decides; notes how long ago it arrived."""

    def __init__(self, spool: Spool, detector: EventDetector, pmus: int, rate: int) -> None:
        self._spool, self._detector, self._pmus, self._rate = spool, detector, pmus, rate
        rng, shape = np.random.default_rng(1), (WINDOW_S * rate, pmus)
        self._at_ns = np.arange(shape[0], dtype=np.int64) * (1_000_000_000 // rate)
        self._voltage, self._angle = 1 + rng.normal(size=shape) * 1e-3, rng.normal(size=shape) * 0.01
        self._frequency, self._unusable = 50 + rng.normal(size=shape) * 0.01, np.zeros(shape, bool)
        self._watch = EventWatch(EventRule())
        self.durable_ms: list[float] = []
        self.decided_ms: list[float] = []
        self.cpu_ms: list[float] = []

    def accept(self, readings: Readings) -> int:
        before = time.process_time()
        sequence = self._spool.accept(readings)
        if isinstance(readings, ReadingBlock):
            arrived_ns = int(readings.receive_ns[-1])
            self.durable_ms.append((time.time_ns() - arrived_ns) / 1e6)
            self._decide(readings)
            self.decided_ms.append((time.time_ns() - arrived_ns) / 1e6)
            self.cpu_ms.append((time.process_time() - before) * 1e3)
        return sequence

    def _decide(self, block: ReadingBlock) -> None:
        fresh = len(block.source_ns)
        table = block.number.reshape(fresh, self._pmus, PER_PMU)
        unusable = block.quality.reshape(table.shape).any(axis=2)
        for window, values in (
            (self._voltage, table[:, :, MAGNITUDE]),
            (self._angle, np.radians(table[:, :, ANGLE_DEG])),
            (self._frequency, table[:, :, FREQUENCY]),
            (self._unusable, unusable),
        ):
            window[:-fresh] = window[fresh:]
            window[-fresh:] = values
        whole = PhasorBlock(self._at_ns, self._rate, 50.0, self._voltage, self._angle, self._frequency, self._unusable)
        answer = self._detector.all_classes(phasor_features(whole)[None].astype(np.float32))[0]
        self._watch, _ = watched(self._watch, datetime.now(UTC), dict(zip(CLASSES, answer.tolist(), strict=True)))

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        return self._spool.tell_gap(source, start_ns, end_ns, reason)

    def tell_link(self, event: LinkEvent) -> None:
        pass


def measured(pmus: int, rate: int, seconds: int) -> dict[str, float]:
    known = configuration(pmus=pmus, rate=rate)
    frames, points, clock = frames_of(known, rate * seconds, noise=1e-3, hz=50.0), points_of(known), SystemClock()
    detector = trained()
    listener = socket.create_server(("127.0.0.1", 0))
    sender = multiprocessing.get_context("fork").Process(target=concentrator, args=(listener, known, frames, 1 / rate))
    sender.start()
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder), SpoolPolicy(most_bytes=1 << 32), clock, time.monotonic)
        output = Decision(spool, detector, pmus, rate)
        stream = Stream(Endpoint("127.0.0.1", listener.getsockname()[1]), known.idcode, kind=known.kind)
        link = Link("pdc", C37118Client("pdc", stream, PointRegistry("c37118", tuple(points)), clock), output, clock)
        wanted = len(frames) * len(points)

        async def main() -> None:
            task = asyncio.create_task(link.run())
            while link.status.readings < wanted:  # noqa: ASYNC110 - the link offers no event
                await asyncio.sleep(0.1)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        asyncio.run(main())
        spool.close()
    sender.join()
    warm = len(output.decided_ms) // 10
    durable, decided, cpu = output.durable_ms[warm:], output.decided_ms[warm:], output.cpu_ms[warm:]
    return {
        "pmus": pmus,
        "frames": len(frames),
        "decisions": len(decided),
        "cpu_ms_median": float(np.median(cpu)),
        "durable_ms_median": float(np.median(durable)),
        "durable_ms_p99": float(np.quantile(durable, 0.99)),
        "decided_ms_median": float(np.median(decided)),
        "decided_ms_p99": float(np.quantile(decided, 0.99)),
        "load_1_min": os.getloadavg()[0],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pmus", type=int, default=10)
    parser.add_argument("--rate", type=int, default=60)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measured(given.pmus, given.rate, given.seconds)
    print(json.dumps(found) if given.json else "\n".join(f"{name:<22} {value:,.3f}" for name, value in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
