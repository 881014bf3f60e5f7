"""Mutual TLS to a device, as IEC 62351-3 wants it: both sides must show a certificate that the other trusts."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloser.app.links.opening import endpoint_of
from recloser.app.project.tables.links import DeviceSection
from recloser.core import InvalidInput, Unavailable
from recloser.testing.certificates import Authority

DEVICE = {"name": "rtu", "protocol": "iec104", "host": "127.0.0.1", "points": "rtu.csv"}


@pytest.fixture
def server(tmp_path: Path) -> ssl.SSLContext:
    """The context of a device that lets in only who shows a certificate of the grid's authority."""
    authority, stranger = Authority(tmp_path, "grid"), Authority(tmp_path, "stranger")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("device"))
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue("us")
    stranger.issue("them")
    return context


async def greeted(root: Path, context: ssl.SSLContext, keys: dict[str, str]) -> bytes:
    """Return what a device says on a connection made with the keys of a project file."""

    async def hello(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await writer.drain()

    listening = await asyncio.start_server(hello, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    try:
        device = DeviceSection.model_validate({**DEVICE, **keys, "port": port})
        reader, writer = await endpoint_of(root, device).open(20.0, "rtu")
        try:
            return await reader.readexactly(5)
        finally:
            writer.close()
    finally:
        listening.close()


def test_both_sides_trust_each_other(tmp_path: Path, server: ssl.SSLContext) -> None:
    keys = {"tls_ca": "grid.pem", "tls_certificate": "us.pem", "tls_key": "us.key"}
    assert asyncio.run(greeted(tmp_path, server, keys)) == b"hello"


@pytest.mark.parametrize(
    "keys",
    [
        {"tls_ca": "stranger.pem", "tls_certificate": "us.pem", "tls_key": "us.key"},
        {"tls_ca": "grid.pem", "tls_certificate": "them.pem", "tls_key": "them.key"},
        {"tls_ca": "grid.pem"},
    ],
    ids=["the device is not trusted", "we are not trusted", "we show nothing"],
)
def test_who_is_not_trusted_reads_nothing(tmp_path: Path, server: ssl.SSLContext, keys: dict[str, str]) -> None:
    with pytest.raises((Unavailable, OSError, asyncio.IncompleteReadError)):
        asyncio.run(greeted(tmp_path, server, keys))


def test_files_that_are_no_certificates_are_refused(tmp_path: Path) -> None:
    (tmp_path / "nonsense.pem").write_text(f"not a certificate, {datetime.now(UTC)}", encoding="utf-8")
    for name in ("nonsense.pem", "nowhere.pem"):
        device = DeviceSection.model_validate({**DEVICE, "tls_ca": name})
        with pytest.raises(InvalidInput, match="unusable TLS files"):
            endpoint_of(tmp_path, device)
