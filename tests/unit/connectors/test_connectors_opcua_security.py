"""A secure channel to an OPC UA server: each side trusts the other's certificate alone, or nothing is read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from recloser.app.clock import SystemClock
from recloser.app.links.opening import client_of
from recloser.app.project.tables.links import DeviceSection
from recloser.connectors.live import Backoff, Link, LinkEvent
from recloser.connectors.points import PointReading
from recloser.core import InvalidInput

URI = "urn:recloser:link"


def issue(folder: Path, name: str, uri: str) -> None:
    """Write a self-signed certificate of an application and its key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=subject, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.key").write_bytes(key.private_bytes(*form))


class Kept:
    def __init__(self) -> None:
        self.readings: list[PointReading] = []

    def accept(self, readings: Sequence[PointReading]) -> int:
        self.readings += readings
        return 0

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        del source, start_ns, end_ns, reason
        return 0

    def tell_link(self, event: LinkEvent) -> None:
        pass


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - the peer offers no event
            await asyncio.sleep(0.02)


async def serving(folder: Path, port: int) -> Any:
    """A server of asyncua that takes encrypted channels of one client only."""
    from asyncua import Server, ua
    from asyncua.common.utils import ServiceError

    trusted = x509.load_pem_x509_certificate((folder / "us.pem").read_bytes())

    async def check(certificate: Any, _application: Any) -> None:
        if certificate != trusted:
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)

    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    await server.load_certificate(str(folder / "server.pem"))
    await server.load_private_key(str(folder / "server.key"), format="pem")
    server.set_certificate_validator(check)
    space = await server.register_namespace("urn:test")
    await server.nodes.objects.add_variable(ua.NodeId("P", space), "P", 12.5)
    await server.start()
    return server


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("keys", "reads"),
    [
        ({}, True),
        ({"tls_certificate": "them.pem", "tls_key": "them.key"}, False),
        ({"server_certificate": "other.pem"}, False),
        ({"security": None}, False),
    ],
    ids=["trusted", "we are not trusted", "another server", "no security"],
)
def test_only_who_is_trusted_reads(tmp_path: Path, keys: dict[str, Any], *, reads: bool) -> None:
    pytest.importorskip("asyncua", reason="needs the extra opcua")
    for name in ("us", "them", "server", "other"):
        issue(tmp_path, name, URI if name in {"us", "them"} else "urn:test:server")
    (tmp_path / "p.csv").write_text("address,name\nns=2;s=P,P\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    wanted = {"security": "Basic256Sha256", "tls_certificate": "us.pem", "tls_key": "us.key"}
    wanted |= {"server_certificate": "server.pem"} | keys
    if wanted["security"] is None:
        wanted = {}
    section = {"name": "plant", "protocol": "opcua", "points": "p.csv", "url": f"opc.tcp://127.0.0.1:{port}/"}
    device = DeviceSection.model_validate(section | wanted)
    output = Kept()

    async def main() -> None:
        server = await serving(tmp_path, port)
        link = Link("plant", client_of(tmp_path, device, SystemClock()), output, SystemClock(), Backoff(0.05, 0.1))
        task = asyncio.create_task(link.run())
        await until(lambda: bool(output.readings) if reads else link.status.failures >= 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.stop()

    asyncio.run(main())
    assert [reading.number for reading in output.readings] == ([12.5] if reads else [])


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"security": "Basic256Sha256"}, "without its certificates"),
        ({"tls_certificate": "us.pem"}, "without a secure channel"),
        ({"username": "me", "password_file": "secret"}, "without a secure channel"),
        ({"security": "Basic128Rsa15"}, "bad value"),
    ],
)
def test_a_channel_is_secured_whole_or_not_at_all(tmp_path: Path, keys: dict[str, str], what: str) -> None:
    from recloser.app.project.settings import load_project
    from recloser.testing import QUICK, empty_project

    told = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    device = f'[[links.devices]]\nname = "plant"\nprotocol = "opcua"\nurl = "u"\npoints = "p.csv"\n{told}'
    with pytest.raises(InvalidInput, match=what):
        load_project(empty_project(tmp_path / "grid", ("F01",), f"{QUICK}\n{device}"))
