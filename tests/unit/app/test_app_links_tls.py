"""Mutual TLS to a device, as IEC 62351-3 wants it: both sides must show a certificate that the other trusts."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from recloser.app.links.linking import FirstCertificate
from recloser.app.links.opening import endpoint_of
from recloser.app.links.state import LinkFolders, LinkReport, write_report
from recloser.app.links.telling import link_families, link_sentences, links_document
from recloser.app.project.tables.links import DeviceSection
from recloser.app.security.certificates import read_certificate
from recloser.connectors.points import nanoseconds
from recloser.core import InvalidInput, Unavailable
from recloser.testing.certificates import Authority

DAY = timedelta(days=1)
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


def test_a_link_tells_which_certificate_ends_first_and_status_warns_in_time(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "grid")
    authority.issue("us")
    device = DeviceSection.model_validate(
        {**DEVICE, "tls_ca": "grid.pem", "tls_certificate": "us.pem", "tls_key": "us.key"}
    )
    watch = FirstCertificate(tmp_path, device)
    watch.look(0.0)
    assert watch.found is not None
    assert watch.found.until == min(read_certificate(tmp_path / file).until for file in ("grid.pem", "us.pem"))
    (tmp_path / "us.pem").unlink()
    watch.look(3600.0)  # half-way through a renewal
    assert watch.found is not None

    folders, end = LinkFolders(tmp_path / "links"), watch.found.until
    folders.state("rtu").parent.mkdir(parents=True)
    for before, expected in ((timedelta(days=200), None), (timedelta(days=3), "ends in 3 days"), (-DAY, "has ended")):
        now = end - before
        report = LinkReport("rtu", "iec104", 1, "up", 0, "", 1, 0, 0, 5, None, nanoseconds(now), 0, 0, 0)
        told = msgspec.structs.replace(report, certificate_ns=nanoseconds(end), certificate="CN=us")
        write_report(folders.state("rtu"), told)
        (row,) = links_document([device], folders, now)
        assert row["certificate_s"] == pytest.approx(before.total_seconds())
        sentences = [line for line in link_sentences([row]) if "certificate" in line]
        assert (not sentences) if expected is None else expected in sentences[0]
        figures = {one.name: one for one in link_families([device], folders, now)}
        assert "recloser_link_certificate_seconds" in figures


def test_a_certificate_in_der_is_read_too(tmp_path: Path) -> None:
    Authority(tmp_path, "grid")
    pem = (tmp_path / "grid.pem").read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    (tmp_path / "grid.der").write_bytes(der)
    assert read_certificate(tmp_path / "grid.der") == read_certificate(tmp_path / "grid.pem")
