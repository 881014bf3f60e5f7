"""Measures a link and the collector at work on one core: a wide-area stream over TCP until it stands in the table.

`python benchmarks/connectors/whole_way.py [--pmus 500] [--rate 60] [--seconds 20] [--flat-out] [--json]`. Another
process, a concentrator, answers and sends frames of 16 numbers a PMU in real time, or as fast as it is read. The link
writes its spool with an fsync for each arrival; the forwarder moves sealed segments, cleaned, into the table, four
times a second. Both run in one process bound to one core, whose CPU time is told; every number is found again in
the table, those of one point bit by bit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
from streams import concentrator, configuration, frames_of, points_of

from recloser.app.clock import SystemClock
from recloser.app.links.linking import SpoolOutput
from recloser.app.links.sink import TableSink
from recloser.connectors.c37118 import Configuration, layout_of
from recloser.connectors.cleaning import ColumnCleaner
from recloser.connectors.live import C37118Client, Endpoint, Link, Stream
from recloser.connectors.points import PointRegistry
from recloser.connectors.spool import Forwarder, Spool, SpoolPolicy
from recloser.store import ReadingTable

SEGMENT_BYTES = 4 << 20


async def carried(link: Link, spool: Spool, forwarder: Forwarder, wanted: int) -> dict[str, float]:
    """Run link and forwarder until so many numbers were accepted; return the seconds spent."""
    task, moving = asyncio.create_task(link.run()), 0.0
    while not link.status.readings:  # noqa: ASYNC110 - the link offers no event
        await asyncio.sleep(0.001)
    began, began_cpu = time.monotonic(), time.process_time()
    while True:
        done = link.status.readings >= wanted
        before = time.process_time()
        spool.seal_due()
        while forwarder.step():
            pass
        moving += time.process_time() - before
        if done:
            break
        await asyncio.sleep(0.25)
    spent = {"cpu_s": time.process_time() - began_cpu, "collector_cpu_s": moving, "wall_s": time.monotonic() - began}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return spent


def measured(pmus: int, rate: int, seconds: int, *, flat_out: bool) -> dict[str, Any]:
    known = configuration(pmus=pmus, rate=rate)
    frames, points, clock = frames_of(known, rate * seconds, noise=1e-3, hz=50.0), points_of(known), SystemClock()
    listener = socket.create_server(("127.0.0.1", 0))
    pace_s = 0.0 if flat_out else 1 / rate
    sender = multiprocessing.get_context("fork").Process(target=concentrator, args=(listener, known, frames, pace_s))
    sender.start()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        policy = SpoolPolicy(most_bytes=1 << 32, segment_bytes=SEGMENT_BYTES)
        spool = Spool(Path(folder, "spool"), policy, clock, time.monotonic)
        table, by_name = ReadingTable(Path(folder, "table")), {point.name: point for point in points}
        forwarder = Forwarder(spool, TableSink(table, "pdc", lambda: ColumnCleaner(by_name), 60.0))
        stream = Stream(Endpoint("127.0.0.1", listener.getsockname()[1]), known.idcode, kind=known.kind)
        client = C37118Client("pdc", stream, PointRegistry("c37118", tuple(points)), clock, answer_s=60.0)
        link = Link("pdc", client, SpoolOutput(spool, lambda _: None), clock)
        wanted = len(frames) * len(points)
        spent = asyncio.run(carried(link, spool, forwarder, wanted))
        while forwarder.step():
            pass
        spool.close()
        files = sum(path.stat().st_size for path in Path(folder, "table").rglob("*.parquet"))
        check(table, frames, known, points)
    sender.join()
    return {
        "pmus": pmus,
        "numbers": wanted,
        **spent,
        "numbers_per_cpu_s": wanted / spent["cpu_s"],
        "share_of_the_core": spent["cpu_s"] / seconds,
        "numbers_a_second_wanted": pmus * rate * 16,
        "table_bytes_a_number": files / wanted,
    }


def check(table: ReadingTable, frames: list[bytes], known: Configuration, points: list[Any]) -> None:
    """Find every number again: as many as were sent, each once, and those of the first PMU's frequency one by one."""
    rows = table.scan().filter(pl.col("kind") == "reading")
    counts = rows.group_by("point").agg(pl.len(), pl.col("source_ns").n_unique().alias("times")).collect()
    if (
        counts.height != len(points)
        or not (counts["len"] == len(frames)).all()
        or not (counts["times"] == len(frames)).all()
    ):
        raise SystemExit(f"not every number is stored once: {counts}")
    layout = layout_of(known)
    place = layout.frequencies[0]
    sent = [layout.unpack.unpack_from(frame, 14)[place] for frame in frames]
    found = rows.filter(pl.col("point") == points[0].name).sort("source_ns").collect()["number"].to_list()
    if found != sent:
        raise SystemExit("other numbers are stored than were sent")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pmus", type=int, default=500)
    parser.add_argument("--rate", type=int, default=60)
    parser.add_argument("--seconds", type=int, default=20, help="of data")
    parser.add_argument("--flat-out", action="store_true", help="send as fast as it is read")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measured(given.pmus, given.rate, given.seconds, flat_out=given.flat_out)
    found["load_1_min"] = os.getloadavg()[0]
    print(json.dumps(found) if given.json else "\n".join(f"{name:<26} {value:,.3f}" for name, value in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
