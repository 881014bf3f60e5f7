"""Measures the whole way of phasor data on one core: bytes of a socket, readings, spool, cleaning, table of readings.

And the way of a decision: the last frame of a window, decoded, its features, a detector's answer, the rule of events.
CPU time of one process, by stage. The detector has learned from noise: what it says is void, what it takes is not.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from recloser.app.clock import SystemClock
from recloser.app.links.sink import TableSink
from recloser.connectors.c37118 import Configuration, configuration_frames, layout_of, read_batch
from recloser.connectors.c37118.points import choose, readings_of
from recloser.connectors.cleaning import Cleaner
from recloser.connectors.live import C37118Session, SessionRules
from recloser.connectors.points import Point, nanoseconds
from recloser.connectors.spool import Forwarder, Spool, SpoolPolicy
from recloser.features.phasors import PHASOR_FEATURES, PhasorBlock, phasor_features
from recloser.models import DetectorPlan, train_detector
from recloser.monitoring import EventRule, EventWatch, watched
from recloser.store import ReadingTable

WANTED = 480_000  # numbers a second: 500 PMUs, 60 frames a second, 16 numbers each
CLASSES = ("loss_of_generation", "oscillation", "line_trip", "islanding", "bad_data")


def points_of(known: Configuration) -> list[Point]:
    """Sixteen numbers of each PMU: frequency, its rate, four phasors in polar form, four analogs, two parts more."""
    points = []
    for pmu in known.pmus:
        names = ["frequency", "rocof"]
        names += [f"{channel.name}/{part}" for channel in pmu.phasors for part in ("magnitude", "angle_deg")]
        names += [channel.name for channel in pmu.analogs]
        names += [f"{pmu.phasors[0].name}/re", f"{pmu.phasors[0].name}/im"]
        points += [Point(f"{pmu.idcode}:{name}", f"{pmu.idcode}:{name}", "") for name in names]
    return points


def received(frames: bytes) -> list[bytes]:
    """Return bytes that went through a TCP connection on the loopback, read in pieces."""
    server = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(server.getsockname())
    link, _ = server.accept()
    thread = threading.Thread(target=lambda: (sender.sendall(frames), sender.close()))
    thread.start()
    pieces = []
    while data := link.recv(1 << 16):
        pieces.append(data)
    thread.join()
    link.close()
    server.close()
    return pieces


def to_store(known: Configuration, frames: list[bytes]) -> dict[str, float]:
    """Return numbers a CPU second of each stage and of the whole, and its share of one core at 480,000 a second."""
    spent = dict.fromkeys(("socket", "decode", "readings", "spool", "store"), 0.0)

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        started = time.process_time()
        found = work()
        spent[stage] += time.process_time() - started
        return found

    clock, points = SystemClock(), points_of(known)
    pieces = timed("socket", lambda: received(configuration_frames(known)[0] + b"".join(frames)))
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder, "spool"), SpoolPolicy(most_bytes=1 << 32), clock, time.monotonic)
        session, count = C37118Session(known.idcode, SessionRules(), time.monotonic()), 0
        for piece in pieces:
            batches = timed("decode", lambda piece=piece: session.feed(piece, time.monotonic()))
            for batch in batches:
                chosen = choose(batch.layout, points)[0]
                now_ns = nanoseconds(clock.now())
                made = timed("readings", lambda b=batch, c=chosen, n=now_ns: readings_of(b, c, "pdc", n))
                timed("spool", lambda made=made: spool.accept(made))
                count += len(made)
        table, by_name = ReadingTable(Path(folder, "table")), {point.name: point for point in points}
        forwarder = Forwarder(spool, TableSink(table, "pdc", lambda: Cleaner(by_name), 60.0))
        timed("store", lambda: [None for _ in iter(forwarder.step, 0)])
        stored = table.read("pdc", kind="reading").height
        spool.close()
    if not count == stored == len(frames) * len(points):
        raise SystemExit(f"{stored} of {len(frames) * len(points)} numbers are stored")
    whole = sum(spent.values())
    rates = {f"{stage}_per_cpu_s": count / seconds if seconds else float("inf") for stage, seconds in spent.items()}
    return {
        "numbers": count,
        **rates,
        "numbers_per_cpu_s": count / whole,
        "of_480k_on_one_core": count / whole / WANTED,
    }


def deciding(known: Configuration, frame: bytes, pmus: int, rate: int) -> dict[str, float]:
    """Return milliseconds of CPU and of the clock from the last frame of a window to the decision."""
    rng, window, layout = np.random.default_rng(1), 10 * rate, layout_of(known)
    rows = rng.normal(size=(600, len(PHASOR_FEATURES)))
    labels = [(*CLASSES, "none")[number % 6] for number in range(600)]
    detector = train_detector(rows, labels, PHASOR_FEATURES, CLASSES, DetectorPlan(trees=120))
    at_ns = np.arange(window, dtype=np.int64) * (1_000_000_000 // rate)
    voltage, angle = 1 + rng.normal(size=(window, pmus)) * 1e-3, rng.normal(size=(window, pmus)) * 0.01
    frequency, unusable = 50 + rng.normal(size=(window, pmus)) * 0.01, np.zeros((window, pmus), bool)
    cpu, wall = [], []
    for turn in range(40):
        began, began_cpu = time.perf_counter(), time.process_time()
        batch = read_batch([frame], layout)
        voltage[-1], angle[-1] = batch.phasors[0, :: len(known.pmus[0].phasors), 0], 0.0
        frequency[-1] = batch.frequencies[0, :, 0]
        block = PhasorBlock(at_ns, rate, 50.0, voltage, angle, frequency, unusable)
        answer = detector.all_classes(phasor_features(block)[None].astype(np.float32))[0]
        watched(EventWatch(EventRule()), datetime.now(UTC), dict(zip(CLASSES, answer.tolist(), strict=True)))
        if turn >= 5:
            cpu.append((time.process_time() - began_cpu) * 1e3)
            wall.append((time.perf_counter() - began) * 1e3)
    return {
        "pmus": pmus,
        "cpu_ms_median": float(np.median(cpu)),
        "wall_ms_median": float(np.median(wall)),
        "wall_ms_p90": float(np.quantile(wall, 0.9)),
    }
