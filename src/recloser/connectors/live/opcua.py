"""Owns reading points from an OPC UA server (extra `opcua`: asyncua) by subscription. Writes and calls nothing.

The subscription's first notification of each node is its present value: the integrity poll of OPC UA.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from asyncua.crypto import security_policies, uacrypto
from cryptography import x509

from recloser.connectors.live.supervision import Deliver
from recloser.connectors.points import (
    Missed,
    Point,
    PointQuality,
    PointReading,
    PointRegistry,
    measured,
    nanoseconds,
    opcua_overflowed,
    opcua_quality,
    source_time,
)
from recloser.core import Clock, InvalidInput, Unavailable

TOGETHER, WAITING = 500, 100_000  # readings handed on in one go; that may wait before the link is given up
NO_TIME = datetime(1601, 1, 1, tzinfo=UTC)  # a DateTime of 0: not told (OPC 10000-6, 5.2.2.5)
POLICIES = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
Queued = PointReading | Missed | Unavailable
BROKEN = (OSError, TimeoutError, ConnectionError, ua.UaError)


@dataclass(frozen=True, slots=True)
class OpcUaTiming:
    """The server publishes every `period_ms` milliseconds and must answer within `answer_s` seconds."""

    period_ms: int = 500
    answer_s: float = 4.0


@dataclass(frozen=True, slots=True)
class OpcUaSecurity:
    """How the secure channel is made: both sides show a certificate, and each trusts only that of the other.

    Attributes:
        policy: name of the security policy, such as Basic256Sha256.
        sign_only: messages are signed and not encrypted.
        certificate, key: ours, PEM or DER; the server must have been told to trust the certificate.
        server_certificate: of the server; a channel to any other cannot be made.
        username, password: of a user of the server; None for nobody in particular.
    """

    policy: str
    certificate: Path
    key: Path
    server_certificate: Path
    sign_only: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)


class OpcUaClient:
    """Reads the points of a registry from one server.

    Args:
        source: the server, as the project names it.
        url: such as opc.tcp://10.0.0.7:4840.
        registry: its points; their addresses are node ids.
        clock: tells the time of arrival.
        timing: of the subscription.
        security: of the channel; None for none.

    Raises:
        InvalidInput: an address that is no node id.
    """

    def __init__(
        self,
        source: str,
        url: str,
        registry: PointRegistry,
        clock: Clock,
        timing: OpcUaTiming | None = None,
        security: OpcUaSecurity | None = None,
    ) -> None:
        self._source, self._url, self._clock, self._security = source, url, clock, security
        self._timing = timing or OpcUaTiming()
        self._points: dict[Any, Point] = {}
        for point in registry.points:
            try:
                self._points[ua.NodeId.from_string(point.address)] = point
            except (ua.UaError, ValueError) as error:
                raise InvalidInput("not a node id", got=point.address, where=point.name) from error

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        """Read until the connection is lost.

        Raises:
            Unavailable: it cannot be made, is refused or lost, or no node of a point is there.
        """
        client = Client(self._url, timeout=self._timing.answer_s)
        queue: asyncio.Queue[Queued] = asyncio.Queue()

        async def lost(error: Exception) -> None:
            queue.put_nowait(Unavailable("the connection to the server broke", got=str(error), where=self._source))

        client.connection_lost_callback = lost
        try:
            await self._secure(client)
            await client.connect()
        except BROKEN as error:
            raise Unavailable("no connection to the server", got=str(error), where=self._source) from error
        try:
            await self._subscribe(client, queue)
            up()
            await _hand_on(queue, deliver)
        except BROKEN as error:
            raise Unavailable("the server broke the connection", got=str(error), where=self._source) from error
        finally:
            await _leave(client)

    async def _secure(self, client: Any) -> None:
        """Prepare a secure channel.

        Raises:
            Unavailable: a certificate or key cannot be used.
        """
        found = self._security
        if found is None:
            return
        mode = ua.MessageSecurityMode.Sign if found.sign_only else ua.MessageSecurityMode.SignAndEncrypt
        try:
            client.application_uri = _application_uri(found.certificate) or client.application_uri
            await client.set_security(
                POLICIES[found.policy],
                _file(found.certificate),
                _file(found.key),
                server_certificate=_file(found.server_certificate),
                mode=mode,
            )
        except (OSError, ValueError, TypeError, ua.UaError) as error:
            raise Unavailable("unusable certificate or key", got=str(error)[:200], where=self._source) from error
        if found.username is not None:
            client.set_user(found.username)
            client.set_password(found.password or "")

    async def _subscribe(self, client: Any, queue: asyncio.Queue[Queued]) -> None:
        nodes = [client.get_node(address) for address in self._points]
        subscription = await client.create_subscription(self._timing.period_ms, _Listener(self, queue))
        for node, result in zip(nodes, await subscription.subscribe_data_change(nodes, queuesize=100), strict=True):
            if isinstance(result, ua.StatusCode):
                point, now = self._points[node.nodeid], self._now_ns()
                origin = f"opcua:{result.name}"
                queue.put_nowait(
                    PointReading(
                        self._source,
                        point.name,
                        None,
                        now,
                        None,
                        point.unit,
                        PointQuality.OFFLINE,
                        result.value,
                        origin,
                    )
                )

    def reading(self, node_id: Any, data: Any) -> PointReading:
        """Return the reading of a data value; a value that is no number is a reading without one."""
        point = self._points[node_id]
        raw = None if data.Value is None else data.Value.Value
        found = measured(point, raw)
        status = int(data.StatusCode.value) if data.StatusCode is not None else 0
        stamp = data.SourceTimestamp
        stamp = stamp.replace(tzinfo=UTC) if stamp is not None and stamp.tzinfo is None else stamp
        told = None if stamp is None or stamp <= NO_TIME else nanoseconds(stamp)
        source_ns, timed = source_time(told)
        return PointReading(
            source=self._source,
            point=point.name,
            source_ns=source_ns,
            receive_ns=self._now_ns(),
            number=found.number,
            unit=point.unit,
            quality=opcua_quality(status) | found.quality | timed,
            raw_flags=status,
            origin="opcua:change",
            raw=found.raw,
        )

    def _now_ns(self) -> int:
        return nanoseconds(self._clock.now())


class _Listener:
    """Puts what the server publishes into the queue."""

    def __init__(self, client: OpcUaClient, queue: asyncio.Queue[Queued]) -> None:
        self._client, self._queue = client, queue
        self._heard: dict[Any, int] = {}

    def datachange_notification(self, node: Any, _value: Any, data: Any) -> None:
        """Take a changed value."""
        if self._queue.qsize() < WAITING:
            reading = self._client.reading(node.nodeid, data.monitored_item.Value)
            at_ns = reading.source_ns or reading.receive_ns
            if opcua_overflowed(reading.raw_flags):
                reason = f"the server's queue overflowed: values of {reading.point} are missing"
                self._queue.put_nowait(Missed(min(self._heard.get(node.nodeid, at_ns), at_ns), at_ns, reason))
            self._heard[node.nodeid] = at_ns
            self._queue.put_nowait(reading)
        else:
            self._queue.put_nowait(Unavailable("values come faster than they can be kept", got=f"{WAITING} waiting"))

    def status_change_notification(self, status: Any) -> None:
        """Take the news that the server ended the subscription."""
        self._queue.put_nowait(Unavailable("the server ended the subscription", got=str(status)))


async def _hand_on(queue: asyncio.Queue[Queued], deliver: Deliver) -> None:
    while True:
        items = [await queue.get()]
        while not queue.empty() and len(items) < TOGETHER:
            items.append(queue.get_nowait())
        deliver([item for item in items if not isinstance(item, Unavailable)])
        for item in items:
            if isinstance(item, Unavailable):
                raise item


async def _leave(client: Any) -> None:
    """Close the connection; a server that is gone already needs no good-bye."""
    try:
        await client.disconnect()
    except BROKEN:
        return


def _file(path: Path) -> Any:
    """Return a certificate or key with its form, which the end of its name need not tell."""
    form = "pem" if path.read_bytes().startswith(b"-----") else "der"
    return uacrypto.CertProperties(path, form)


def _application_uri(path: Path) -> str | None:
    """Return the application's name in a certificate; servers compare it with what the client says."""
    content = path.read_bytes()
    load = x509.load_pem_x509_certificate if content.startswith(b"-----") else x509.load_der_x509_certificate
    certificate = load(content)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), None)
