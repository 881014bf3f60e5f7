"""pyPMU, an independent C37.118, over real sockets: we read its PMU, and its PDC reads our simulated one.

It (PyPI `synchrophasor`) runs in a virtual environment of its own, `$RECLOSER_PEERS/c37118`, patched at run time, as no
release imports on Python 3.10 or later. `python benchmarks/connectors/run.py --make-venvs $RECLOSER_PEERS` makes it.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from recloser.app.clock import SystemClock
from recloser.connectors.c37118 import (
    AnalogChannel,
    Configuration,
    DigitalWord,
    PhasorChannel,
    PmuConfiguration,
    configuration_frames,
    crc_ok,
    data_frame,
    forms,
    layout_of,
    read_batch,
    read_configuration,
    read_data,
)
from recloser.connectors.live import Backoff, C37118Client, Endpoint, Link, LinkEvent, Stream
from recloser.connectors.points import Point, PointQuality, PointReading, PointRegistry, Readings
from recloser.simulation.devices import PmuServer, WaveFeed

PATCH = """
import collections, collections.abc, json, logging, sys, time
collections.Sequence = collections.abc.Sequence
from synchrophasor.frame import CommonFrame, ConfigFrame2, DataFrame
"""
THEIR_PMU = """
from synchrophasor.pmu import Pmu
pmu = Pmu(pmu_id=7, data_rate=50, port=int(sys.argv[1]))
pmu.logger.setLevel(logging.ERROR)
names = ["VA", "IA", "POW", *(f"B{n}" for n in range(16))]
pmu.set_configuration(ConfigFrame2(7, 1000000, 1, "Theirs", 7, (True, True, True, False), 2, 1, 1, names,
    [(0, "v"), (0, "i")], [(1, "pow")], [(0, 0xFFFF)], 50, 1, 50))
pmu.run()
turn = 0
while True:
    turn += 1
    pmu.send_data([(1000.0 + turn, 0.5), (turn, -0.5)], [turn * 2.0], [5], 250, 50)
    time.sleep(0.01)
"""
THEIR_PDC = """
from synchrophasor.pdc import Pdc
pdc = Pdc(pdc_id=7, pmu_port=int(sys.argv[1]))
pdc.logger.setLevel(logging.ERROR)
pdc.run()
config, found = pdc.get_config(), []
pdc.start()
while len(found) < 20:
    frame = pdc.get()
    if type(frame) is DataFrame:
        found.append([frame.get_soc(), frame.get_phasors(), frame.get_freq(), frame.get_dfreq()])
pdc.stop()
pdc.quit()
print(json.dumps([config.get_station_name(), config.get_channel_names(), found]))
"""
THEIR_READING = """
lines = [bytes.fromhex(line) for line in sys.stdin.read().split()]
config = ConfigFrame2.convert2frame(lines[0])
for line in lines[1:]:
    frame = DataFrame.convert2frame(line, config)
    print(json.dumps([frame.get_soc(), frame.get_frasec()[0], frame.get_phasors(), frame.get_freq(),
        frame.get_dfreq(), frame.get_analog(), frame.get_digital()]))
    print(frame.convert2bytes().hex())
"""


@pytest.fixture
def python() -> str:
    found = Path(os.environ.get("RECLOSER_PEERS", "/nowhere"), "c37118/bin/python")
    if not found.exists():
        pytest.skip("needs pyPMU (synchrophasor 1.0.0a0) in $RECLOSER_PEERS/c37118, a venv: see benchmarks/connectors")
    return str(found)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Kept:
    def __init__(self) -> None:
        self.readings: list[PointReading] = []

    def accept(self, readings: Readings) -> int:
        self.readings += readings
        return 0

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        raise AssertionError((source, start_ns, end_ns, reason))

    def tell_link(self, event: LinkEvent) -> None:
        pass


@pytest.mark.slow
def test_we_read_a_pmu_of_pypmu(python: str) -> None:
    port, output = free_port(), Kept()
    names = ("VA", "IA/re", "frequency", "rocof", "POW")
    registry = PointRegistry("c37118", tuple(Point(f"7:{name}", name) for name in names))
    client = C37118Client("theirs", Stream(Endpoint("127.0.0.1", port), 7), registry, SystemClock())

    async def main() -> None:
        task = asyncio.create_task(Link("theirs", client, output, SystemClock(), Backoff(0.1, 0.2)).run())
        async with asyncio.timeout(120):
            while len(output.readings) < 20 * len(names):  # noqa: ASYNC110 - the peer offers no event
                await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with subprocess.Popen([python, "-c", PATCH + THEIR_PMU, str(port)]) as peer:
        try:
            asyncio.run(main())
        finally:
            peer.kill()
    told = [r for r in output.readings if not r.quality & PointQuality.STALE]
    rows = [{r.point: r.number for r in told[n : n + len(names)]} for n in range(0, len(told), len(names))]
    first = int((rows[0]["VA"] or 0) - 1000)
    for turn, row in enumerate(rows, first):
        current = turn * math.cos(-0.5)
        assert row == pytest.approx(
            {"VA": 1000.0 + turn, "IA/re": current, "frequency": 50.25, "rocof": 0.5, "POW": 2.0 * turn}, rel=1e-6
        )


@pytest.mark.slow
def test_a_pdc_of_pypmu_reads_our_simulated_pmu(python: str) -> None:
    class Deviating(WaveFeed):
        """pyPMU refuses a frequency above 32.767 in floating point: it takes it for a deviation."""

        def numbers(self, elapsed_s: float, *, invalid: bool = False, factor: float = 1.0) -> tuple[float, ...]:
            *rest, frequency, rate = super().numbers(elapsed_s, invalid=invalid, factor=factor)
            return (*rest, frequency - self.nominal_hz, rate)

    async def main() -> tuple[list[Any], list[float]]:
        feed = Deviating(1, SystemClock(), lambda: 0.0)
        async with await PmuServer(feed, 50).open("127.0.0.1", 0) as opened:
            command = [python, "-c", PATCH + THEIR_PDC, str(opened.port)]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True, timeout=300)
        station, channels, found = json.loads(done.stdout)
        assert (station.strip(), [name.strip() for name in channels]) == ("PMU7", ["VA", "IA"])
        return found, list(feed.numbers(0.0))

    found, numbers = asyncio.run(main())
    assert len(found) == 20
    for _soc, phasors, frequency, rocof in found:
        told = [part for phasor in phasors for part in phasor]
        assert [*told, frequency, rocof] == pytest.approx(numbers[1:], rel=1e-6)


def frames(form: int) -> tuple[Configuration, list[bytes]]:
    bits = tuple(f"B{number}" for number in range(16))
    one = PmuConfiguration(
        "S",
        7,
        form,
        (PhasorChannel("VA", "V", 0.01), PhasorChannel("IA", "A", 0.001)),
        (AnalogChannel("AN", 1.0),),
        (DigitalWord(bits, 0, 0xFFFF),),
        50,
        1,
    )
    config = Configuration(7, 1_000_000, (one,), 50)
    layout, frames = layout_of(config), []
    for place in range(30):
        values: list[float] = [0] * len(layout.fields)
        for index in (*layout.phasors[::2], *layout.analogs):
            values[index] = 100 + place
        for index in (*layout.phasors[1::2], *layout.frequencies):
            values[index] = place / 10 if layout.fields[index].code == "f" else 10 * place
        frames.append(data_frame(config, values, (1_700_000_000, place * 20_000)))
    return config, frames


@pytest.mark.slow
@pytest.mark.parametrize("form", [15, 14, 1, 0, 10, 4])
def test_frames_mean_the_same_to_both_and_are_written_alike(python: str, form: int) -> None:
    config, ours = frames(form)
    text = "\n".join(frame.hex() for frame in [configuration_frames(config)[0], *ours])
    command = [python, "-c", PATCH + THEIR_READING]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=300)
    lines = done.stdout.split("\n")
    layout = layout_of(read_configuration(configuration_frames(config)[0]))
    batch, polar, whole = read_batch(ours, layout), bool(form & 1), not form & 2
    for place, frame in enumerate(ours):
        soc, fraction, phasors, frequency, rocof, analogs, digitals = json.loads(lines[2 * place])
        assert batch.t_ns[place] == soc * 10**9 + fraction * 1000 == read_data(frame, layout).t_ns
        for (size, angle), mine in zip(phasors, batch.phasors[place].tolist(), strict=True):
            _re, _im, magnitude, degrees = forms(*mine, polar=polar)
            assert size == pytest.approx(magnitude)
            if not (polar and whole):  # pyPMU scales an angle of 16 bits as it scales the magnitude
                assert math.degrees(angle) == pytest.approx(degrees, abs=1e-6)
        raw = layout.unpack.unpack_from(frame, 14)
        assert [frequency, rocof] == pytest.approx([raw[index] for index in layout.frequencies])
        assert analogs == pytest.approx(batch.raw_analogs[place].tolist())
        assert digitals == batch.digitals[place].tolist()
        theirs = bytes.fromhex(lines[2 * place + 1])
        assert crc_ok(theirs)
        assert theirs[:14] + theirs[16:-2] == frame[:14] + frame[16:-2]  # pyPMU turns the bit of synchronisation over
