"""What the prediction log and the gate in front of the gateway cost: `python benchmarks/predictions/run.py`.

CPU per one-row answer with 26 columns and two models, beside a plain log that encodes each answer as JSON on the
request's path and syncs it alone. Prints one JSON document; seconds depend on the machine, ratios travel.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from recloser.app.predictions.mover import move_all
from recloser.core import VirtualClock
from recloser.serving.answer import Scoring
from recloser.serving.batch import batch_from_arrays
from recloser.serving.http import Access
from recloser.serving.http.admission import Admission, Gate, TrafficLimits
from recloser.serving.http.exposition import Meter
from recloser.serving.log import Decided, LogPolicy, PredictionLog
from recloser.store import PredictionTable

NOW = datetime(2020, 3, 1, 22, tzinfo=UTC)
NUMBERS = {f"feature_{k}": np.array([float(k)]) for k in range(25)} | {"scale_mw": np.array([1000.0])}
BATCH, _ = batch_from_arrays(["F01"], NUMBERS, np.array([3_600_000_000], dtype=np.int64))
MW = np.array([[960.0, 1000.0, 1040.0]])
SCORING = Scoring(["rel-1"], ["champion"], [""], [{"rel-1": MW, "rel-2": MW + 5.0}], [], {})
QUANTILES = (0.1, 0.5, 0.9)


def answer(number: int) -> Decided:
    return Decided(f"r{number}", "forecast", 7, NOW, 0.0002, QUANTILES, BATCH, SCORING)


def cpu_us(work: Callable[[], Any], count: int) -> float:
    """Return the CPU of the whole process per item, in microseconds."""
    begun = time.process_time()
    work()
    return (time.process_time() - begun) / count * 1e6


def ours(folder: Path, count: int, policy: LogPolicy) -> dict[str, float]:
    log = PredictionLog(folder, policy, VirtualClock(NOW))
    path: list[float] = []

    def work() -> None:
        begun = time.thread_time()
        for number in range(count):
            log.append(answer(number))
        path.append((time.thread_time() - begun) / count * 1e6)
        log.close(60.0)

    wall = time.perf_counter()
    total = cpu_us(work, count)
    status = log.status()
    assert status.written == count, status
    return {
        "request_path_cpu_us": path[0],
        "all_cpu_us": total,
        "durable_per_s": count / (time.perf_counter() - wall),
        "syncs": status.syncs,
    }


def plain(path: Path, count: int) -> dict[str, float]:
    """Encode each answer as JSON on the request's path, write it and sync it alone."""
    with path.open("wb") as file:

        def work() -> None:
            for number in range(count):
                record = {
                    "id": f"r{number}",
                    "areas": list(BATCH.areas),
                    "inputs": {name: column.tolist() for name, column in NUMBERS.items()},
                    "answers": {name: mw.tolist() for name, mw in SCORING.answers[0].items()},
                    "served_by": SCORING.served_by[0],
                }
                file.write(json.dumps(record).encode() + b"\n")
                file.flush()
                os.fdatasync(file.fileno())

        wall = time.perf_counter()
        total = cpu_us(work, count)
    return {"all_cpu_us": total, "durable_per_s": count / (time.perf_counter() - wall)}


def moved(folder: Path) -> dict[str, float]:
    rows = [0]

    def work() -> None:
        rows[0] = move_all(folder / "log", PredictionTable(folder / "table"), NOW).rows

    total = cpu_us(work, 1)
    size = sum(path.stat().st_size for path in (folder / "table").rglob("*.parquet"))
    return {"rows": rows[0], "cpu_us_per_row": total / rows[0], "bytes_per_row": size / rows[0]}


def gate(count: int = 50_000) -> dict[str, float]:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None: ...

    headers = [(b"host", b"localhost"), (b"authorization", b"Bearer secret"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v2/models/forecast/infer",
        "headers": headers,
        "client": ("127.0.0.1", 1),
    }
    tokens = {hashlib.sha256(b"secret").hexdigest(): ("ann", frozenset({"infer"}))}

    async def each(access: Access, limits: TrafficLimits) -> float:
        admission = Admission(app, Gate(access, limits, meter=Meter()))
        begun = time.process_time()
        for _ in range(count):
            await admission(scope, None, None)  # type: ignore[arg-type]
        return (time.process_time() - begun) / count * 1e6

    return {
        "without_tokens_cpu_us": asyncio.run(each(Access(), TrafficLimits())),
        "token_and_rate_cpu_us": asyncio.run(each(Access(tokens), TrafficLimits(requests_per_second=1e9))),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, big = Path(name), LogPolicy(queue_bytes=1 << 30)
        group, alone = ours(folder / "log" / "a", 20_000, big), plain(folder / "plain.jsonl", 1_000)
        document = {
            "group": group,
            "plain": alone,
            "path_ratio": group["request_path_cpu_us"] / alone["all_cpu_us"],
            "throughput_ratio": group["durable_per_s"] / alone["durable_per_s"],
            "move": moved(folder),
            "gate": gate(),
        }
    sys.stdout.write(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
