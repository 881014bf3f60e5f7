"""Three times as many requests as can be answered, over real sockets: who comes does not wait for who was answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from recloser.core import ModelRows
from recloser.serving import GuardPolicy, Route
from recloser.serving.http.admission import TrafficLimits

INFER = "/v2/models/forecast/infer"
EACH_S, OVERLOAD_MS = 0.01, 200.0
CAPACITY = round(1 / EACH_S)
"""Requests a second."""


class Slow:
    """A champion that takes its time for each row; notes how many came at once, and when."""

    release = "rel-1"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def predict(self, rows: pl.DataFrame | ModelRows) -> np.ndarray:
        if rows["area"].n_unique() == 1:  # not what the kit asks before anything is served
            self.batches.append(len(rows))
            time.sleep(EACH_S * len(rows))
        level = rows["scale_mw"].to_numpy()
        return np.stack([level - 40.0, level, level + 40.0], axis=1)


async def ask(address: tuple[str, int], method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str]]:
    """Send one request on a connection of its own; return status and headers."""
    reader, writer = await asyncio.open_connection(*address)
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    content = await reader.read()
    writer.close()
    first, *lines = content.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines)


def test_at_three_times_the_capacity_the_queue_stays_short_and_forecasts_are_read(
    kit: SimpleNamespace, served: Callable[..., Any], net: SimpleNamespace
) -> None:
    champion = Slow()
    policy = GuardPolicy(late_after_ms=20_000.0)
    gate = kit.gateway({"rel-1": champion}, Route(1, "rel-1", fallback=()), policy)
    limits = TrafficLimits(overload_ms=OVERLOAD_MS, concurrent=100_000, connections=100_000)
    whole = kit.service(gate, limits=limits)
    server, body, most = served(whole), net.infer_body(["a"]), [0]

    async def overload() -> tuple[list[Any], list[Any]]:
        asked, read = [], []
        for k in range(10 * CAPACITY):
            asked.append(asyncio.create_task(ask(server.address, "POST", INFER, body)))
            if k % CAPACITY == 0:
                read.append(asyncio.create_task(ask(server.address, "GET", "/v1/areas/a/forecast")))
            if k > 3 * CAPACITY:  # a second after it began
                most[0] = max(most[0], whole.plane.waiting)
            await asyncio.sleep(EACH_S / 3)
        return await asyncio.gather(*asked), await asyncio.gather(*read)

    infers, reads = asyncio.run(overload())
    assert {status for status, _ in reads} == {200}
    statuses = Counter(status for status, _ in infers)
    assert set(statuses) == {200, 503}
    assert all(int(headers["retry-after"]) >= 1 for status, headers in infers if status == 503)
    assert statuses[503] > 2 * CAPACITY
    # 20 requests take 0.2 s. So many may wait while a batch of so many is at work; some more were on their way.
    assert most[0] <= 3 * OVERLOAD_MS / 1000 * CAPACITY
    assert statuses[200] > CAPACITY  # and it did not stop working
