"""Owns turning a device of the project file into a client of its protocol. Connects to nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from recloser.app.links.encryption import tls_of
from recloser.app.links.extras import mqtt_client, opcua_client
from recloser.app.project.settings import Project
from recloser.app.project.tables.links import DeviceSection
from recloser.connectors.c37118 import Waits
from recloser.connectors.cleaning import CleaningRules
from recloser.connectors.live import (
    C37118Client,
    ConcentratingClient,
    Dnp3Addresses,
    Dnp3Client,
    Dnp3Timing,
    Endpoint,
    Iec104Client,
    Iec104Timing,
    LiveClient,
    ModbusClient,
    Stream,
    SttpClient,
    SttpTiming,
    Transport,
)
from recloser.connectors.points import PointRegistry, read_registry
from recloser.core import Clock, unknown_name


def device_named(project: Project, name: str) -> DeviceSection:
    """Return a device of the project file.

    Raises:
        InvalidInput: there is none of that name.
    """
    for device in project.links.devices:
        if device.name == name:
            return device
    raise unknown_name("device", name, [device.name for device in project.links.devices], where="links.devices")


def registry_of(root: Path, device: DeviceSection) -> PointRegistry:
    """Return the device's points; those without an area are of the device's.

    Raises:
        InvalidInput, Unavailable: see `read_registry`.
    """
    found = read_registry(root / device.points, device.protocol)
    if device.area is None:
        return found
    points = tuple(point if point.area else replace(point, area=device.area) for point in found.points)
    return PointRegistry(found.protocol, points)


def rules_of(device: DeviceSection) -> CleaningRules:
    """Return the device's rules of cleaning."""
    return CleaningRules(
        ahead_s=device.clock_ahead_seconds,
        shift_within_s=30.0 if device.hour_shift_check else 0.0,
        unit_check=device.unit_check,
        cycle_check=device.cycle_check,
    )


def client_of(root: Path, device: DeviceSection, clock: Clock) -> LiveClient:
    """Return the client that reads a device.

    Raises:
        InvalidInput: a file or address is wrong.
        Unavailable: a file cannot be read, or the protocol's extra is not installed.
    """
    registry = registry_of(root, device)
    return CLIENTS[device.protocol](root, device, registry, clock)


def endpoint_of(root: Path, device: DeviceSection) -> Endpoint:
    """Return where a device listens; raises as `tls_of`."""
    host, port = device.address
    return Endpoint(host, port, tls_of(root, device))


def stream_of(root: Path, device: DeviceSection) -> Stream:
    """Return the one stream of a c37118 device; raises as `tls_of`."""
    place, way = endpoint_of(root, device), Transport(device.transport)
    return Stream(place, device.idcode or 0, way, device.data_port, device.configuration)


def _iec104(root: Path, device: DeviceSection, registry: PointRegistry, clock: Clock) -> LiveClient:
    answer_s, usual = device.answer_seconds, Iec104Timing()
    timing = Iec104Timing(
        answer_s=answer_s,
        acknowledge_s=min(usual.acknowledge_s, answer_s * 2 / 3),
        interrogate_s=device.interrogate_seconds,
    )
    return Iec104Client(device.name, endpoint_of(root, device), registry, clock, timing)


def _dnp3(root: Path, device: DeviceSection, registry: PointRegistry, clock: Clock) -> LiveClient:
    addresses = Dnp3Addresses(device.outstation or 0, device.master)
    timing = Dnp3Timing(
        answer_s=device.answer_seconds,
        poll_s=device.period_seconds,
        integrity_s=device.integrity_seconds,
        unsolicited=device.unsolicited,
    )
    return Dnp3Client(device.name, endpoint_of(root, device), addresses, registry, clock, timing)


def _modbus(root: Path, device: DeviceSection, registry: PointRegistry, clock: Clock) -> LiveClient:
    return ModbusClient(
        device.name,
        endpoint_of(root, device),
        registry,
        clock,
        period_s=device.period_seconds,
        answer_s=device.answer_seconds,
    )


def _c37118(root: Path, device: DeviceSection, registry: PointRegistry, clock: Clock) -> LiveClient:
    answer_s = device.answer_seconds
    if not device.streams:
        return C37118Client(device.name, stream_of(root, device), registry, clock, answer_s=answer_s)
    tls = tls_of(root, device)
    streams = [
        Stream(
            Endpoint(one.host, one.port, tls), one.idcode, Transport(one.transport), one.data_port, device.configuration
        )
        for one in device.streams
    ]
    waits = Waits(device.lag_seconds, device.lead_seconds, device.lag_from == "arrival")
    return ConcentratingClient(device.name, streams, registry, clock, waits, answer_s=answer_s)


def _sttp(root: Path, device: DeviceSection, registry: PointRegistry, clock: Clock) -> LiveClient:
    timing = SttpTiming(device.answer_seconds, device.silence_seconds, device.compressed)
    return SttpClient(device.name, endpoint_of(root, device), registry, clock, timing)


CLIENTS: dict[str, Callable[[Path, DeviceSection, PointRegistry, Clock], LiveClient]] = {
    "iec104": _iec104,
    "dnp3": _dnp3,
    "modbus": _modbus,
    "c37118": _c37118,
    "sttp": _sttp,
    "mqtt": mqtt_client,
    "sparkplug": mqtt_client,
    "opcua": opcua_client,
}
