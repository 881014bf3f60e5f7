"""Measures the C37.118 decoder: beside pyPMU, and end to end from a socket. The peer is PyPI `synchrophasor`.

`python benchmarks/connectors/run.py [--peer PYTHON | --make-venvs DIR] [--seconds 10] [--json]`. All numbers are CPU
time of one process; ratios travel between machines, microseconds do not. End to end: 50 streams of 10 PMUs each at 60
frames a second, with 16 numbers a PMU (480,000 numbers a second), over TCP on the loopback, framed, checked and decoded
to arrays. The way into the table, as a link and the collector go it: `whole_way.py`; to a decision: `latency.py`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import selectors
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from storing import to_store
from streams import PMUS, RATE, configuration, frames_of

from recloser.connectors.c37118 import (
    Layout,
    configuration_frames,
    layout_of,
    leading_frames,
    read_batch,
    read_data,
)

STREAMS, PYPMU = 50, "synchrophasor==1.0.0a0"


def cpu_us(work: Callable[[], object], frames: int, repeats: int) -> float:
    """Microseconds of CPU per frame, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        for _ in range(repeats):
            work()
        best = min(best, (time.process_time() - started) / repeats / frames * 1e6)
    return best


def python_of(peer: Path | None, folder: Path | None) -> Path | None:
    """Return the Python that has pyPMU, made if it may be."""
    if peer is not None or folder is None:
        return peer
    python = folder / "c37118" / "bin" / "python"
    if not python.exists():
        venv.create(folder / "c37118", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PYPMU], check=True)
    return python


def decoding(peer: Path | None) -> dict[str, Any]:
    known = configuration()
    layout, frames = layout_of(known), frames_of(known, 50)
    result: dict[str, Any] = {
        "frame_bytes": layout.size,
        "single_us": cpu_us(lambda: read_data(frames[0], layout), 1, 2_000),
        "batch_10_us": cpu_us(lambda: read_batch(frames[:10], layout), 10, 200),
        "batch_50_us": cpu_us(lambda: read_batch(frames, layout), 50, 100),
    }
    if peer:
        text = "\n".join(frame.hex() for frame in [configuration_frames(known)[0], *frames * 4])
        script = Path(__file__).with_name("pypmu_peer.py")
        done = subprocess.run([peer, str(script)], input=text, capture_output=True, text=True, check=True)
        result["pypmu_us"] = float(done.stdout)
        for name in ("single", "batch_10", "batch_50"):
            result[f"{name}_ratio"] = result["pypmu_us"] / result[f"{name}_us"]
    return result


def send(address: tuple[str, int], seconds: int) -> None:
    """Send all streams as fast as the receiver takes them, sixty frames of each in turn."""
    links = [(socket.create_connection(address), b"".join(frames_of(configuration(n + 1), 6))) for n in range(STREAMS)]
    for _ in range(seconds * RATE // 6):
        for link, data in links:
            link.sendall(data)
    for link, _ in links:
        link.close()


def end_to_end(seconds: int) -> dict[str, Any]:
    server = socket.create_server(("127.0.0.1", 0))
    sender = multiprocessing.get_context("fork").Process(target=send, args=(server.getsockname(), seconds))
    sender.start()
    layouts: dict[int, Layout] = {n + 1: layout_of(configuration(n + 1)) for n in range(STREAMS)}
    selector, held, numbers, frames = selectors.DefaultSelector(), {}, 0, 0
    for _ in range(STREAMS):
        link, _address = server.accept()
        selector.register(link, selectors.EVENT_READ, link)
        held[link] = bytearray()
    started = time.process_time()
    while selector.get_map():
        for key, _mask in selector.select():
            link = key.data
            data = link.recv(1 << 18)
            if not data:
                selector.unregister(link)
                continue
            buffer = held[link]
            buffer += data
            if len(buffer) < 6:
                continue
            layout = layouts[int.from_bytes(buffer[4:6])]
            count = leading_frames(buffer, layout)
            batch = read_batch(bytes(buffer[: count * layout.size]), layout)
            del buffer[: count * layout.size]
            if not batch.crc_ok.all():
                raise SystemExit("a wrong check word")
            frames += count
            numbers += count * PMUS * 16
    spent = time.process_time() - started
    sender.join()
    if frames != STREAMS * seconds * RATE or any(held.values()):
        raise SystemExit(f"{frames} frames of {STREAMS * seconds * RATE}")
    return {
        "numbers": numbers,
        "frames": frames,
        "cpu_s": spent,
        "numbers_per_cpu_s": numbers / spent,
        "share_of_a_core_at_480k": 480_000 * spent / numbers,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, help="a Python with `synchrophasor` installed")
    parser.add_argument(
        "--make-venvs", type=Path, metavar="DIR", help="make that Python in DIR/c37118 if it is missing"
    )
    parser.add_argument("--seconds", type=int, default=10, help="of data, sent as fast as it goes")
    parser.add_argument("--stored", type=int, default=3_000, help="frames of 10 PMUs that go the whole way in blocks")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result = {"c37118": decoding(python_of(given.peer, given.make_venvs)), "end_to_end": end_to_end(given.seconds)}
    known = configuration()
    stored = frames_of(known, given.stored, int(time.time()), noise=1e-3)
    result["to_store_in_blocks"] = to_store(known, stored, columns=True)
    result["to_store_one_by_one"] = to_store(known, stored[: given.stored // 10], columns=False)
    result["load"] = dict(zip(("1_min", "5_min", "15_min"), os.getloadavg(), strict=True))
    if given.json:
        print(json.dumps(result))
        return 0
    for part, numbers in result.items():
        print(part)
        for name, value in numbers.items():
            print(f"  {name:<26} {value:,.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
