"""Owns running a simulated device in real time, for `recloser simulate`. Simulates nothing itself."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from recloser.app.clock import SystemClock
from recloser.app.links.extras import extra_device
from recloser.app.project.tables.links import PORTS
from recloser.connectors.points import registry_text
from recloser.simulation import GridPlan, SimulatedGrid
from recloser.simulation.devices import (
    Device,
    DeviceFault,
    DeviceFeed,
    Dnp3Outstation,
    GridWaveFeed,
    Iec104Station,
    ModbusServer,
    PmuServer,
    SttpPublisher,
    WaveFeed,
)
from recloser.simulation.phasors import GridEvent, PhasorPlan

PROTOCOLS = ("iec104", "dnp3", "modbus", "c37118", "sttp", "mqtt", "sparkplug", "opcua")
OPCUA_PORT = 4840
MOST_DAYS = 400


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """What is simulated.

    Attributes:
        protocol: one of PROTOCOLS.
        host, port: where it listens (mqtt, sparkplug: where the broker is); None for the registered port, 0 for any
            free one.
        feeders: of the simulated grid, or PMUs of the stream.
        seed: of the grid.
        rate: values of a point a second; for c37118 frames a second.
        speed: simulated seconds a second.
        faults: what goes wrong when.
        seconds: ends after so long; None for when it is told to.
        points: file that the registry is written to, by which the device can be read.
        ambient: of c37118: PMUs swing as a grid at rest does.
        events: of c37118: what happens to that grid how many seconds after the start.
        transport, data_port: of c37118; see `PmuServer`. With 'listen' host and port are the receiver's.
    """

    protocol: str
    host: str = "127.0.0.1"
    port: int | None = None
    feeders: int = 6
    seed: int = 1
    rate: float = 1.0
    speed: float = 1.0
    faults: Sequence[DeviceFault] = ()
    seconds: float | None = None
    points: Path | None = None
    ambient: bool = False
    events: Sequence[tuple[GridEvent, float]] = ()
    transport: str = "tcp"
    data_port: int = 0


def device_of(options: DeviceOptions) -> Device:
    """Return the device; it does not listen yet.

    Raises:
        Unavailable: the protocol's extra is not installed.
    """
    clock = SystemClock()
    if options.protocol == "c37118":
        rate = max(1, round(options.rate))
        return PmuServer(_waves(options, rate), rate, options.transport, options.data_port)
    plan = GridPlan(
        seed=options.seed, feeders=options.feeders, days=MOST_DAYS, resolution=timedelta(minutes=30), substations=0
    )
    feed = DeviceFeed(SimulatedGrid(plan), clock, time.monotonic, speed=options.speed, faults=options.faults)
    if options.protocol == "iec104":
        return Iec104Station(feed, 1.0 / options.rate)
    if options.protocol == "dnp3":
        return Dnp3Outstation(feed, 1.0 / options.rate)
    if options.protocol == "modbus":
        return ModbusServer(feed)
    if options.protocol == "sttp":
        return SttpPublisher(feed, options.rate)
    return extra_device(options.protocol, feed, 1.0 / options.rate)


def _waves(options: DeviceOptions, rate: int) -> WaveFeed:
    clock = SystemClock()
    if not options.ambient and not options.events:
        return WaveFeed(options.feeders, clock, time.monotonic, faults=options.faults)
    plan = PhasorPlan(options.seed, options.feeders, rate)
    return GridWaveFeed(plan, clock, time.monotonic, events=options.events, faults=options.faults)


def run_device(options: DeviceOptions, say: Callable[[str], None], ready: Callable[[dict[str, Any]], None]) -> None:
    """Run a simulated device until told to stop, or for its time.

    Args:
        options: what.
        say: told for people.
        ready: told {"protocol", "host", "port", "points", "registry"} once it answers.

    Raises:
        Unavailable: the address is taken, no broker is there, or an extra is missing.
    """
    device = device_of(options)
    if options.points is not None:
        options.points.parent.mkdir(parents=True, exist_ok=True)
        options.points.write_text(registry_text(device.registry), encoding="utf-8")
    asyncio.run(_run(device, options, say, ready))


async def _run(
    device: Device, options: DeviceOptions, say: Callable[[str], None], ready: Callable[[dict[str, Any]], None]
) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    usual = PORTS.get(options.protocol, OPCUA_PORT)
    async with await device.open(options.host, usual if options.port is None else options.port) as opened:
        say(
            f"{options.protocol} at {options.host}:{opened.port}, {len(device.registry.points)} points (Ctrl-C ends it)"
        )
        ready(
            {
                "protocol": options.protocol,
                "host": options.host,
                "port": opened.port,
                "points": len(device.registry.points),
                "registry": None if options.points is None else str(options.points),
            }
        )
        try:
            async with asyncio.timeout(options.seconds):
                await ended.wait()
        except TimeoutError:
            say("its time is over")
