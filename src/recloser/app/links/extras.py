"""Owns what needs an optional extra: clients and simulated devices of MQTT, Sparkplug B and OPC UA.

The only own imports inside functions: guards, so that a project without such devices needs no extra.
"""

from __future__ import annotations

from pathlib import Path

from recloser.app.links.encryption import tls_of
from recloser.app.project.tables.links import DeviceSection
from recloser.app.security.reaching import secret_of
from recloser.connectors.live import LiveClient
from recloser.connectors.live.conversation import Conversation
from recloser.connectors.live.mqtt_payload import JsonMessages, MqttFormat
from recloser.connectors.live.sparkplug.host import SparkplugHost
from recloser.connectors.points import PointRegistry
from recloser.core import Clock, Unavailable
from recloser.simulation.devices import Device, DeviceFeed


def mqtt_client(root: Path, device: DeviceSection, registry: PointRegistry, clock: Clock) -> LiveClient:
    """Return the client of a device behind a broker, JSON or Sparkplug B.

    Raises:
        InvalidInput: a file of TLS is unusable.
        Unavailable: the extra is not installed, or the password cannot be read.
    """
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
        password=_password(root, device),
        tls=tls_of(root, device),
    )
    return MqttClient(device.name, broker, _conversation(device, registry), clock)


def _conversation(device: DeviceSection, registry: PointRegistry) -> Conversation:
    if device.protocol == "sparkplug":
        asks = device.request_rebirth
        return SparkplugHost(device.name, registry, host_id=device.host_id, request_rebirth=asks)
    form = MqttFormat(device.payload_value, device.payload_time, device.payload_time_unit, device.payload_quality)
    return JsonMessages(device.name, registry, form)


def opcua_client(root: Path, device: DeviceSection, registry: PointRegistry, clock: Clock) -> LiveClient:
    """Return the client of an OPC UA server.

    Raises:
        Unavailable: the extra is not installed, or the password cannot be read.
    """
    try:
        from recloser.connectors.live.opcua import OpcUaClient, OpcUaSecurity, OpcUaTiming  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise missing_extra("opcua", f"links.devices {device.name}") from error
    security = None
    if device.security is not None:
        security = OpcUaSecurity(
            device.security,
            root / (device.tls_certificate or ""),
            root / (device.tls_key or ""),
            root / (device.server_certificate or ""),
            sign_only=device.sign_only,
            username=device.username,
            password=_password(root, device),
        )
    return OpcUaClient(
        device.name,
        device.url or "",
        registry,
        clock,
        OpcUaTiming(int(device.period_seconds * 1000), device.answer_seconds),
        security,
    )


def extra_device(protocol: str, feed: DeviceFeed, period_s: float) -> Device:
    """Return a simulated device of a protocol that needs an extra.

    Raises:
        Unavailable: it is not installed.
    """
    try:
        if protocol == "mqtt":
            from recloser.simulation.devices.mqtt_node import MqttNode  # noqa: PLC0415 - an optional extra

            return MqttNode(feed, period_s)
        if protocol == "sparkplug":
            from recloser.simulation.devices.sparkplug_node import SparkplugNode  # noqa: PLC0415 - an optional extra

            return SparkplugNode(feed, period_s)
        from recloser.simulation.devices.opcua_server import OpcUaServer  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise missing_extra("opcua" if protocol == "opcua" else "mqtt", "recloser simulate") from error
    return OpcUaServer(feed, period_s)


def _password(root: Path, device: DeviceSection) -> str | None:
    file = device.password_file
    return None if file is None else secret_of(root / file, f"links.devices {device.name}").decode()


def missing_extra(name: str, where: str) -> Unavailable:
    """Return the error about an extra that is not installed."""
    return Unavailable(f"the extra {name!r} is not installed", where=where, next_step=f"Install recloser[{name}].")
