"""Owns turning a device of the project file into a client of its protocol. Connects to nothing."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from recloser.app.project.links import DeviceSection
from recloser.app.project.settings import Project
from recloser.app.security.reaching import client_context
from recloser.connectors.cleaning import CleaningRules
from recloser.connectors.live import (
    C37118Client,
    Dnp3Addresses,
    Dnp3Client,
    Dnp3Timing,
    Endpoint,
    Iec104Client,
    Iec104Timing,
    LiveClient,
    ModbusClient,
)
from recloser.connectors.live.mqtt_payload import MqttFormat
from recloser.connectors.points import PointRegistry, read_registry
from recloser.core import Clock, Unavailable, unknown_name


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
    )


def client_of(root: Path, device: DeviceSection, clock: Clock) -> LiveClient:
    """Return the client that reads a device.

    Raises:
        InvalidInput: a file or address is wrong.
        Unavailable: a file cannot be read, or the protocol's extra is not installed.
    """
    registry = registry_of(root, device)
    return CLIENTS[device.protocol](root, device, registry, clock)


def tls_of(root: Path, device: DeviceSection) -> ssl.SSLContext | None:
    """Return the context of an encrypted connection as IEC 62351-3 wants it, None without `tls_ca`.

    Raises:
        InvalidInput: a file is missing or unusable.
    """
    if device.tls_ca is None:
        return None
    both = device.tls_certificate is not None and device.tls_key is not None
    own = (device.tls_certificate or "", device.tls_key or "") if both else None
    return client_context(root, device.tls_ca, own, f"links.devices {device.name}")


def endpoint_of(root: Path, device: DeviceSection) -> Endpoint:
    """Return where a device listens; raises as `tls_of`."""
    host, port = device.address
    return Endpoint(host, port, tls_of(root, device))


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
    return C37118Client(
        device.name, endpoint_of(root, device), device.idcode or 0, registry, clock, answer_s=device.answer_seconds
    )


def _mqtt(root: Path, device: DeviceSection, registry: PointRegistry, clock: Clock) -> LiveClient:
    try:
        from recloser.connectors.live.mqtt import Broker, MqttClient  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise missing_extra("mqtt", f"links.devices {device.name}") from error
    host, port = device.address
    broker = Broker(
        host,
        port,
        client_id=device.client_id or f"recloser-{device.name}",
        username=device.username,
        password=_secret(root, device),
        tls=tls_of(root, device),
    )
    form = MqttFormat(device.payload_value, device.payload_time, device.payload_time_unit, device.payload_quality)
    return MqttClient(device.name, broker, registry, clock, form)


def _opcua(_root: Path, device: DeviceSection, registry: PointRegistry, clock: Clock) -> LiveClient:
    try:
        from recloser.connectors.live.opcua import OpcUaClient  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise missing_extra("opcua", f"links.devices {device.name}") from error
    return OpcUaClient(
        device.name,
        device.url or "",
        registry,
        clock,
        period_ms=int(device.period_seconds * 1000),
        answer_s=device.answer_seconds,
    )


CLIENTS: dict[str, Callable[[Path, DeviceSection, PointRegistry, Clock], LiveClient]] = {
    "iec104": _iec104,
    "dnp3": _dnp3,
    "modbus": _modbus,
    "c37118": _c37118,
    "mqtt": _mqtt,
    "opcua": _opcua,
}


def missing_extra(name: str, where: str) -> Unavailable:
    """Return the error about an extra that is not installed."""
    return Unavailable(f"the extra {name!r} is not installed", where=where, next_step=f"Install recloser[{name}].")


def _secret(root: Path, device: DeviceSection) -> str | None:
    if device.password_file is None:
        return None
    path = root / device.password_file
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Unavailable("the password cannot be read", got=error.strerror, where=str(path)) from error
