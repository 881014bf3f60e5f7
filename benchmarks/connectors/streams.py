"""The streams that are measured: PMUs of 4 phasors, 4 analogs, 1 digital word, and the 16 numbers that are wanted."""

from __future__ import annotations

import socket
import time

import numpy as np

from recloser.connectors.c37118 import (
    AnalogChannel,
    Configuration,
    DigitalWord,
    FrameType,
    Location,
    PhasorChannel,
    PmuConfiguration,
    configuration_frames,
    layout_of,
    seal,
)
from recloser.connectors.points import Point
from recloser.features.phasors import PHASOR_FEATURES
from recloser.models import DetectorPlan, EventDetector, train_detector

PMUS, RATE, BEGIN = 10, 60, 1_700_000_000
CLASSES = ("loss_of_generation", "oscillation", "line_trip", "islanding", "bad_data")
COMMAND = 18  # bytes
BITS = tuple(f"B{number}" for number in range(16))


def configuration(idcode: int = 7, pmus: int = PMUS, rate: int = RATE) -> Configuration:
    """All in floating point, 60 bytes a PMU: 616 bytes a frame at 10; more than 100 need a CFG-3."""
    kind = 2 if pmus <= 100 else 3
    one = [
        PmuConfiguration(
            f"STATION {number}",
            number + 1,
            15,
            tuple(PhasorChannel(f"PH{n}", "VA"[n % 2], 1.0) for n in range(4)),
            tuple(AnalogChannel(f"AN{n}", 1.0) for n in range(4)),
            (DigitalWord(BITS, 0, 0xFFFF),),
            50,
            1,
            None if kind == 2 else Location(f"{number:032x}", None, None, None, "M", 0, 0),
        )
        for number in range(pmus)
    ]
    return Configuration(idcode, 1_000_000, tuple(one), rate, kind)


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


def frames_of(
    known: Configuration, count: int, begin: int = BEGIN, *, noise: float = 0.0, hz: float = 1.25
) -> list[bytes]:
    """Frames in the order of their time, from a whole second on; numbers of 1.25, frequencies, noise; words of 0."""
    layout, rng = layout_of(known), np.random.default_rng(1)
    words, frames = [field.code != "f" for field in layout.fields], []
    usual = np.full(len(words), 1.25)
    usual[list(layout.frequencies[::2])] = hz
    for place in range(count):
        values = (usual + noise * rng.normal(size=len(words)) if noise else usual).tolist()
        numbers = [0 if word else value for value, word in zip(values, words, strict=True)]
        stamp = (begin + place // known.rate, place % known.rate * 1_000_000 // known.rate)
        frames.append(seal(FrameType.DATA, known.idcode, stamp, layout.unpack.pack(*numbers)))
    return frames


def concentrator(listener: socket.socket, known: Configuration, frames: list[bytes], pace_s: float) -> None:
    """Serve one client: configuration, then the frames, one each `pace_s`, or as fast as they are taken."""
    link, _ = listener.accept()
    link.recv(COMMAND, socket.MSG_WAITALL)
    link.sendall(b"".join(configuration_frames(known)))
    link.recv(COMMAND, socket.MSG_WAITALL)
    began = time.monotonic()
    for place, frame in enumerate(frames):
        time.sleep(max(0.0, began + place * pace_s - time.monotonic()))
        link.sendall(frame)
    link.recv(COMMAND)  # until the client has had enough
    link.close()


def trained() -> EventDetector:
    """A detector of five classes, 120 trees each, that has learned from noise."""
    rows = np.random.default_rng(1).normal(size=(600, len(PHASOR_FEATURES)))
    labels = [(*CLASSES, "none")[number % 6] for number in range(600)]
    return train_detector(rows, labels, PHASOR_FEATURES, CLASSES, DetectorPlan(trees=120))
