"""Measures the whole way of phasor data on one core: bytes of a socket, readings, spool, cleaning, table of readings.

CPU time of one process, by stage; in blocks, as phasor data go, and one by one, as slow protocols do.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from streams import points_of

from recloser.app.clock import SystemClock
from recloser.app.links.sink import TableSink
from recloser.connectors.c37118 import Configuration, configuration_frames, layout_of
from recloser.connectors.c37118.batches.points import block_of, choose, selection_of
from recloser.connectors.cleaning import Cleaner, ColumnCleaner
from recloser.connectors.live import C37118Session, SessionRules
from recloser.connectors.points import nanoseconds
from recloser.connectors.spool import Forwarder, Spool, SpoolPolicy
from recloser.store import ReadingTable

WANTED = 480_000  # numbers a second: 500 PMUs, 60 frames a second, 16 numbers each


def received(frames: bytes) -> list[bytes]:
    """Return bytes that went through a TCP connection on the loopback, read in pieces."""
    server = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(server.getsockname())
    link, _ = server.accept()

    def send() -> None:
        sender.sendall(frames)
        sender.close()

    thread = threading.Thread(target=send)
    thread.start()
    pieces = []
    while data := link.recv(1 << 16):
        pieces.append(data)
    thread.join()
    link.close()
    server.close()
    return pieces


def to_store(known: Configuration, frames: list[bytes], *, columns: bool) -> dict[str, float]:
    """Return numbers a CPU second of each stage and of the whole, and its share of one core at 480,000 a second.

    Args:
        known: configuration of the frames.
        frames: whose numbers go the whole way.
        columns: as blocks, or one by one as the slow protocols do.
    """
    spent = dict.fromkeys(("socket", "decode", "readings", "spool", "store"), 0.0)

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        started = time.process_time()
        found = work()
        spent[stage] += time.process_time() - started
        return found

    clock, points = SystemClock(), points_of(known)
    selection = selection_of(choose(layout_of(known), points)[0], "pdc")
    pieces = timed("socket", lambda: received(configuration_frames(known)[0] + b"".join(frames)))
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder, "spool"), SpoolPolicy(most_bytes=1 << 32), clock, time.monotonic)
        session, count = C37118Session(known.idcode, SessionRules(), time.monotonic()), 0
        for piece in pieces:
            batches = timed("decode", partial(session.feed, piece, time.monotonic()))
            for batch in batches:
                made = timed("readings", partial(block_of, batch, selection, nanoseconds(clock.now())))
                made = made if columns else timed("readings", partial(tuple, made))
                timed("spool", partial(spool.accept, made))
                count += len(made)
        table, by_name = ReadingTable(Path(folder, "table")), {point.name: point for point in points}
        cleaner = ColumnCleaner if columns else Cleaner
        forwarder = Forwarder(spool, TableSink(table, "pdc", lambda: cleaner(by_name), 60.0))
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
