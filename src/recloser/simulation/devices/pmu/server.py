"""Owns a simulated PMU or PDC that speaks C37.118. Its waveforms are made up: a slow swing, no physics."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from recloser.connectors.c37118 import (
    Configuration,
    FrameType,
    Location,
    PhasorChannel,
    PmuConfiguration,
    StreamFramer,
    command_frame,
    configuration_frames,
    crc_ok,
    data_frame,
    read_envelope,
)
from recloser.connectors.points import Point, PointRegistry, nanoseconds
from recloser.core import Clock
from recloser.simulation.devices.fault import DeviceFault
from recloser.simulation.devices.feed import HOUR_NS, Moment
from recloser.simulation.devices.pmu.datagrams import Say, datagrams_to, listen_datagrams, send_datagrams
from recloser.simulation.devices.serving import Opened, listen, spoilt

TIME_BASE, IDCODE = 1_000_000, 7
OFF, ON, SEND_CFG2 = 1, 2, 5
KINDS = {4: 1, 5: 2, 6: 3}  # command -> configuration frame
COMMAND = 18  # bytes
TOLD_AGAIN_S = 1.0  # the configuration to those who only listen; the standard says every minute
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
        transport: 'tcp', 'udp' (to whoever sent the command), 'mixed' (commands over TCP, data in datagrams to the port
            `data_port` of who sent them), or 'listen' (datagrams to the host and port that `open` is told, unasked).
        data_port: of the receiver.
    """

    def __init__(self, feed: WaveFeed, rate: int = 50, transport: str = "tcp", data_port: int = 0) -> None:
        self._feed, self._rate, self._transport, self._data_port = feed, rate, transport, data_port
        volts, amperes = PhasorChannel("VA", "V", 1.0), PhasorChannel("IA", "A", 1.0)
        numbers = range(IDCODE, IDCODE + feed.pmus) if feed.pmus == 1 else range(IDCODE + 1, IDCODE + 1 + feed.pmus)
        pmus = tuple(
            PmuConfiguration(f"PMU{n}", n, POLAR_FLOAT, (volts, amperes), (), (), feed.nominal_hz, 1, _place(n))
            for n in numbers
        )
        self.configuration = Configuration(IDCODE, TIME_BASE, pmus, rate)
        self.registry = PointRegistry("c37118", tuple(point for pmu in pmus for point in _points(pmu.idcode)))
        self.frames = 0

    async def open(self, host: str, port: int) -> Opened:
        """Begin to listen or to send; raises as `Device.open`."""
        if self._transport == "udp":
            return await listen_datagrams(host, port, self._feed.now, self._serve_datagrams)
        if self._transport == "listen":
            return await send_datagrams(host, port, self._speak)
        return await listen(host, port, self._feed.now, self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sending = asyncio.Event()
        async with AsyncExitStack() as open_:
            say: Say = writer.write
            if self._transport == "mixed":
                caller = writer.get_extra_info("peername")[0]
                say = await open_.enter_async_context(datagrams_to(caller, self._data_port))
            stream = asyncio.ensure_future(self._send(say, writer.drain, sending))
            open_.callback(stream.cancel)
            framer = StreamFramer()
            while data := await reader.read(4096):
                for found in framer.feed(data, 0):
                    if found.error is None:
                        self._command(found.data, writer.write, sending)
                await writer.drain()

    async def _serve_datagrams(self, commands: AsyncIterator[bytes], say: Say) -> None:
        """Serve one caller, until it is told no more."""
        sending = asyncio.Event()
        stream = asyncio.ensure_future(self._send(say, _at_once, sending))
        try:
            async for datagram in commands:
                self._command(datagram, say, sending)
        finally:
            stream.cancel()

    async def _speak(self, say: Say) -> None:
        """Tell configuration and data unasked."""
        sending = asyncio.Event()
        sending.set()
        stream = asyncio.ensure_future(self._send(say, _at_once, sending))
        try:
            while True:
                self._command(command_frame(IDCODE, SEND_CFG2), say, sending)
                await asyncio.sleep(TOLD_AGAIN_S)
        finally:
            stream.cancel()

    def _command(self, frame: bytes, say: Say, sending: asyncio.Event) -> None:
        if len(frame) < COMMAND or not crc_ok(frame) or read_envelope(frame).type is not FrameType.CMD:
            return
        command = struct.unpack_from(">H", frame, 14)[0]
        if command == ON:
            sending.set()
        elif command == OFF:
            sending.clear()
        elif command in KINDS:
            told = replace(self.configuration, kind=KINDS[command])
            for part in configuration_frames(told, _time(self._feed.now().at_ns)):
                say(part)

    async def _send(self, say: Say, drain: Callable[[], Awaitable[None]], sending: asyncio.Event) -> None:
        latest = -1
        while True:
            await sending.wait()
            moment = self._feed.now()
            stamp = stamp_of(moment.at_ns, self._rate)
            if stamp != latest and not (moment.silent or moment.dropped):
                latest = stamp
                frame = data_frame(self.configuration, moment.numbers, _time(stamp))
                say(spoilt(frame) if moment.damaged else frame)
                await drain()
                self.frames += 1
            now_ns = self._feed.now().at_ns
            await asyncio.sleep((following(now_ns, self._rate) - now_ns) / SECOND_NS)


def stamp_of(at_ns: int, rate: int) -> int:
    """Return the time of the frame that is due at an instant: frames divide each second evenly (IEEE C37.118.1, 4.3).

    Both in ns since 1970; a step that is no whole number of ns is rounded down, once for each frame.
    """
    return at_ns - at_ns % SECOND_NS + _frame_in_second(at_ns, rate) * SECOND_NS // rate


def following(at_ns: int, rate: int) -> int:
    """Return the first instant (ns since 1970) at which the next frame is due."""
    return at_ns - at_ns % SECOND_NS - (-(_frame_in_second(at_ns, rate) + 1) * SECOND_NS // rate)


def _frame_in_second(at_ns: int, rate: int) -> int:
    return at_ns % SECOND_NS * rate // SECOND_NS


async def _at_once() -> None:
    """Datagrams wait for nobody."""


def _place(number: int) -> Location:
    """Return where a made-up PMU stands, for CFG-3."""
    return Location(f"{number:032x}", None, None, None, "M", 0, 0)


def _points(idcode: int) -> tuple[Point, ...]:
    return (
        Point(f"{idcode}:VA", f"{idcode}_VA", "V", role="phasor"),
        Point(f"{idcode}:IA", f"{idcode}_IA", "A", role="phasor"),
        Point(f"{idcode}:frequency", f"{idcode}_FREQ", "Hz", role="frequency"),
    )


def _time(at_ns: int) -> tuple[int, int]:
    return at_ns // SECOND_NS, at_ns % SECOND_NS * TIME_BASE // SECOND_NS
