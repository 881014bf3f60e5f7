"""Feeds malformed frames to all decoders and to the capture reader: `python tests/fuzz/run.py --frames 10000000`.

Prints one line a protocol; exit code 1 after a fault, a frame of more than ten seconds, or memory that grows.
Frames that a decoder did not survive go to the corpus, which the unit tests feed again.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
import time
from itertools import islice
from pathlib import Path
from types import FrameType

from recloser.connectors.capture import Damage, Packet, Traffic
from recloser.testing import CaptureBuilder
from recloser.testing.fuzzing import PORTS, fuzz, mutated, seeds

CORPUS = Path(__file__).parent / "corpus"
PROTOCOLS = ("c37118", "iec104", "dnp3", "modbus", "goose", "sv")
STEP, PATIENCE_S, GROWTH_MB = 10_000, 10, 80


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def hung(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"no progress within {PATIENCE_S} s a thousand frames")


def one(protocol: str, frames: int, seed: int) -> int:
    """Fuzz one decoder; returns the number of faults."""
    faults, started, before = 0, time.perf_counter(), memory_mb()
    for step in range(0, frames, STEP):
        signal.alarm(PATIENCE_S * STEP // 1000)
        for fault in islice(fuzz(protocol, min(STEP, frames - step), seed * 1_000_003 + step), 5):
            faults += 1
            CORPUS.mkdir(exist_ok=True)
            (CORPUS / f"{protocol}-{seed}-{step}-{faults}.hex").write_text(fault.frame.hex() + "\n")
            print(f"{protocol}: {fault.reason}: {fault.frame[:40].hex()}", flush=True)
        if step == STEP:
            before = memory_mb()
    signal.alarm(0)
    grown = memory_mb() - before
    print(
        f"{protocol}: {frames} frames, {faults} faults, {time.perf_counter() - started:.0f} s, +{grown:.0f} MB",
        flush=True,
    )
    return faults + (grown > GROWTH_MB)


def packets(count: int, seed: int) -> int:
    """Fuzz the capture reader with mutated packets; returns the number of faults."""
    rng, traffic, faults = random.Random(seed), Traffic(), 0
    builder = CaptureBuilder().tcp((1, 2), (2, 1), b"", at=0, flags=2)
    for protocol in PORTS:
        for frame in seeds(protocol):
            builder.tcp((1, 2), (2, 1), frame).udp((1, 2), (2, 1), frame).ip(1, 2, 17, frame, fragment=0x2001)
    good = builder.packets
    signal.alarm(PATIENCE_S * count // 1000 + PATIENCE_S)
    for number in range(1, count + 1):
        data = mutated(rng.choice(good), good, rng)
        try:
            for event in traffic.add(Packet(number, 0, rng.choice((1, 1, 1, 0, 101, 113, 276)), data)):
                assert isinstance(event, Damage) or event.packet <= number
        except Exception as error:  # noqa: BLE001 - the finding
            faults += 1
            print(f"packets: {type(error).__name__}: {error}: {data[:60].hex()}", flush=True)
    signal.alarm(0)
    print(f"packets: {count} packets, {faults} faults", flush=True)
    return faults


def main() -> int:
    """Run all; the frames are divided among the decoders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=60_000, help="malformed frames in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--protocol", choices=PROTOCOLS, action="append")
    given = parser.parse_args()
    signal.signal(signal.SIGALRM, hung)
    chosen = given.protocol or PROTOCOLS
    faults = sum(one(protocol, given.frames // len(chosen), given.seed) for protocol in chosen)
    faults += packets(given.frames // 20, given.seed)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
