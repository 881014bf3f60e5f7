"""Notices reach a real rsyslogd as RFC 5424 with CEF in it, and an encrypted peer; a dead server keeps them waiting."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloser.app.delivery.syslog import SyslogServer
from recloser.core import Refused, Unavailable
from recloser.ledger import NoticeRecord
from recloser.testing.certificates import Authority

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
FACTS = {
    "state": "open",
    "since": "2020-03-01T08:30:00Z",
    "areas": ["a=b", "c|d"],
    "sentence": "No forecast | of a=b\\c.",
}
ABSENCE = NoticeRecord("notice-7", NOW, "absence", "forecast", FACTS)


FORM = "%timereported:::date-rfc3339% %hostname% %app-name% %msgid% %syslogseverity% %msg%"


def server(port: int, transport: str) -> SyslogServer:
    return SyslogServer("siem", ("127.0.0.1", port), transport, "host-1", "grid")


def test_the_message_is_rfc_5424_with_cef_whose_separators_are_escaped() -> None:
    line = server(1, "tcp").line(ABSENCE, NOW).decode()
    assert line.startswith("<83>1 2020-03-01T09:00:00.000Z host-1 recloser - absence - \ufeffCEF:0|Recloser|Recloser|")
    cef = line.partition("CEF:0|")[2]
    head = re.split(r"(?<!\\)\|", cef)
    assert head[:2] == ["Recloser", "Recloser"]
    assert head[3:6] == ["absence", r"No forecast \| of a=b\\c.", "8"]
    assert "externalId=notice-7" in line
    assert r"msg=Since 2020-03-01T08:30:00Z. Areas: a\=b, c|d." in line
    assert line == server(1, "udp").line(ABSENCE, NOW.replace(hour=20)).decode()  # the same at every attempt


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def rsyslogd(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    program = shutil.which("rsyslogd") or shutil.which("/usr/sbin/rsyslogd")
    if program is None:
        pytest.skip("rsyslogd is not installed (Debian: apt-get install rsyslog)")
    port, out, config = free_port(), tmp_path / "log", tmp_path / "rsyslog.conf"
    config.write_text(
        f"""
global(workDirectory="{tmp_path}")
module(load="imtcp")
module(load="imudp")
input(type="imtcp" port="{port}" address="127.0.0.1")
input(type="imudp" port="{port}" address="127.0.0.1")
template(name="all" type="string" string="{FORM}\\n")
*.* action(type="omfile" file="{out}" template="all")
""",
        encoding="utf-8",
    )
    child = subprocess.Popen([program, "-n", "-f", str(config), "-i", str(tmp_path / "pid")])
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port, out
    finally:
        child.terminate()
        child.wait(60)


@pytest.mark.services
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_real_server_understands_it(rsyslogd: tuple[int, Path], transport: str) -> None:
    port, out = rsyslogd
    channel = server(port, transport)
    channel.check()
    channel.send(ABSENCE, NOW)
    for _ in range(600):
        if out.exists() and "notice-7" in out.read_text(encoding="utf-8"):
            break
        time.sleep(0.05)
    (line,) = [one for one in out.read_text(encoding="utf-8").splitlines() if "notice-7" in one]
    assert line.startswith("2020-03-01T09:00:00")
    assert " host-1 recloser absence 3 " in line
    assert r"|No forecast \| of a=b\\c.|8|rt=1583053200000 externalId=notice-7 " in line


class Peer:
    """One TLS server that reads a stream to its end."""

    def __init__(self, certificate: tuple[Path, Path], *, drops: bool = False) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self.got, self.listening, self._drops = b"", socket.create_server(("127.0.0.1", 0)), drops
        self._context = context
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        plain, _ = self.listening.accept()
        plain.settimeout(60)
        try:
            with self._context.wrap_socket(plain, server_side=True) as link:
                while not self._drops and (part := link.recv(4096)):
                    self.got += part
                if not self._drops:
                    link.unwrap().close()
        except OSError:
            plain.close()


@pytest.mark.parametrize("drops", [False, True])
def test_over_tls_with_octet_counting_and_an_end_that_is_waited_for(tmp_path: Path, *, drops: bool) -> None:
    authority = Authority(tmp_path, "authority")
    peer = Peer(authority.issue("server"), drops=drops)
    peer.thread.start()
    trust = lambda: ssl.create_default_context(cafile=str(authority.path))  # noqa: E731
    port = peer.listening.getsockname()[1]
    channel = SyslogServer("siem", ("localhost", port), "tls", "host-1", "grid", 30.0, trust)
    try:
        if drops:
            with pytest.raises((Refused, Unavailable)):
                channel.send(ABSENCE, NOW)
        else:
            channel.send(ABSENCE, NOW)
    finally:
        peer.thread.join()
        peer.listening.close()
    if not drops:
        length, _, line = peer.got.partition(b" ")
        assert int(length) == len(line)
        assert line == channel.line(ABSENCE, NOW)


def test_a_stranger_is_told_nothing(tmp_path: Path) -> None:
    peer = Peer(Authority(tmp_path, "authority").issue("server"))
    peer.thread.start()
    stranger = Authority(tmp_path, "stranger")
    trust = lambda: ssl.create_default_context(cafile=str(stranger.path))  # noqa: E731
    port = peer.listening.getsockname()[1]
    try:
        with pytest.raises(Unavailable, match="certificate verify failed"):
            SyslogServer("siem", ("localhost", port), "tls", "h", "grid", 30.0, trust).send(ABSENCE, NOW)
    finally:
        peer.thread.join()
        peer.listening.close()
    assert peer.got == b""


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_server_that_is_not_there_is_unavailable(transport: str) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        server(free_port(), transport).send(ABSENCE, NOW)
