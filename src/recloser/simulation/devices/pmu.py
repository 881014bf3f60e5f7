"""Owns a simulated PMU or PDC that speaks C37.118 over TCP. Its waveforms are made up: a slow swing, no physics."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Callable, Sequence

from recloser.connectors.c37118 import (
    Configuration,
    FrameType,
    PhasorChannel,
    PmuConfiguration,
    StreamFramer,
    configuration_frames,
    data_frame,
    read_envelope,
)
from recloser.connectors.points import Point, PointRegistry, nanoseconds
from recloser.core import Clock
from recloser.simulation.devices.fault import DeviceFault
from recloser.simulation.devices.feed import HOUR_NS, Moment
from recloser.simulation.devices.serving import Opened, listen, spoilt

TIME_BASE, IDCODE = 1_000_000, 7
OFF, ON, SEND_CFG1, SEND_CFG2 = 1, 2, 4, 5
POLAR_FLOAT = 0x000F
INVALID_STAT = 0x4000
SECOND_NS = 1_000_000_000


class WaveFeed:
    """What some PMUs measure: frequency near nominal with a slow inter-area swing, voltages with a little of it.

    Args:
        pmus: how many.
        clock: tells the time stamps.
        timer: seconds; the device starts when the feed is made.
        nominal_hz: 50 or 60.
        faults: when what goes wrong.
    """

    def __init__(
        self,
        pmus: int,
        clock: Clock,
        timer: Callable[[], float],
        *,
        nominal_hz: int = 50,
        faults: Sequence[DeviceFault] = (),
    ) -> None:
        self.pmus, self.nominal_hz = pmus, nominal_hz
        self._clock, self._timer, self._faults = clock, timer, tuple(faults)
        self._begun_s = timer()

    def now(self) -> Moment:
        """Return the present moment; its numbers are those of `numbers`."""
        elapsed_s = self._timer() - self._begun_s
        kinds = {fault.kind for fault in self._faults if fault.active(elapsed_s)}
        held = [fault.start_s for fault in self._faults if fault.kind == "stuck" and fault.active(elapsed_s)]
        factor = 1000.0 if "thousand" in kinds else 3.0 if "spike" in kinds else 1.0
        at_ns = nanoseconds(self._clock.now()) - (HOUR_NS if "clock" in kinds else 0)
        return Moment(
            self.numbers(min(held, default=elapsed_s), invalid="invalid" in kinds, factor=factor),
            at_ns,
            invalid="invalid" in kinds,
            damaged="damage" in kinds,
            silent="silent" in kinds,
            dropped="drop" in kinds,
        )

    def numbers(self, elapsed_s: float, *, invalid: bool = False, factor: float = 1.0) -> tuple[float, ...]:
        """Return STAT, two phasors (V, rad; A, rad), frequency (Hz) and its rate (Hz/s) of every PMU, as in a frame."""
        found: list[float] = []
        for pmu in range(self.pmus):
            swing = 2 * math.pi * (0.25 * elapsed_s + pmu / max(self.pmus, 1))
            frequency = self.nominal_hz + 0.02 * math.sin(swing)
            angle = math.remainder(0.3 * math.sin(swing / 5) + pmu, math.tau)
            voltage = factor * 63_500 * (1 + 0.002 * math.cos(swing))
            rate = 0.02 * 2 * math.pi * 0.25 * math.cos(swing)
            current = factor * 400.0
            found += [INVALID_STAT if invalid else 0, voltage, angle, current, angle - 0.2, frequency, rate]
        return tuple(found)


class PmuServer:
    """One stream of some PMUs: answers commands, sends data at `rate` frames a second on the second's grid.

    Args:
        feed: what is measured.
        rate: frames a second, 1 to 120.
    """

    def __init__(self, feed: WaveFeed, rate: int = 50) -> None:
        self._feed, self._rate = feed, rate
        volts, amperes = PhasorChannel("VA", "V", 1.0), PhasorChannel("IA", "A", 1.0)
        numbers = range(IDCODE, IDCODE + feed.pmus) if feed.pmus == 1 else range(IDCODE + 1, IDCODE + 1 + feed.pmus)
        pmus = tuple(
            PmuConfiguration(f"PMU{n}", n, POLAR_FLOAT, (volts, amperes), (), (), feed.nominal_hz, 1) for n in numbers
        )
        self.configuration = Configuration(IDCODE, TIME_BASE, pmus, rate)
        self.registry = PointRegistry("c37118", tuple(point for pmu in pmus for point in _points(pmu.idcode)))
        self.frames = 0

    async def open(self, host: str, port: int) -> Opened:
        """Begin to listen; raises as `Device.open`."""
        return await listen(host, port, self._feed.now, self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sending = asyncio.Event()
        stream = asyncio.ensure_future(self._send(writer, sending))
        try:
            framer = StreamFramer()
            while data := await reader.read(4096):
                for found in framer.feed(data, 0):
                    if found.error is None and read_envelope(found.data).type is FrameType.CMD:
                        self._command(struct.unpack_from(">H", found.data, 14)[0], writer, sending)
                await writer.drain()
        finally:
            stream.cancel()

    def _command(self, command: int, writer: asyncio.StreamWriter, sending: asyncio.Event) -> None:
        if command == ON:
            sending.set()
        elif command == OFF:
            sending.clear()
        elif command in {SEND_CFG1, SEND_CFG2}:
            time = _time(self._feed.now().at_ns)
            writer.write(b"".join(configuration_frames(self.configuration, time)))

    async def _send(self, writer: asyncio.StreamWriter, sending: asyncio.Event) -> None:
        step_ns = SECOND_NS // self._rate
        latest = -1
        while True:
            await sending.wait()
            moment = self._feed.now()
            place = moment.at_ns // step_ns
            if place != latest and not moment.silent:
                latest = place
                stamp = moment.at_ns // SECOND_NS * SECOND_NS + moment.at_ns % SECOND_NS // step_ns * step_ns
                frame = data_frame(self.configuration, moment.numbers, _time(stamp))
                writer.write(spoilt(frame) if moment.damaged else frame)
                await writer.drain()
                self.frames += 1
            await asyncio.sleep((step_ns - self._feed.now().at_ns % step_ns) / SECOND_NS)


def _points(idcode: int) -> tuple[Point, ...]:
    return (
        Point(f"{idcode}:VA", f"{idcode}_VA", "V", role="phasor"),
        Point(f"{idcode}:IA", f"{idcode}_IA", "A", role="phasor"),
        Point(f"{idcode}:frequency", f"{idcode}_FREQ", "Hz", role="frequency"),
    )


def _time(at_ns: int) -> tuple[int, int]:
    return at_ns // SECOND_NS, at_ns % SECOND_NS * TIME_BASE // SECOND_NS
