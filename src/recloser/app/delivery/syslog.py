"""Owns one syslog server, as SIEMs listen: a notice as RFC 5424 with a CEF event in it. Retries nothing."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from recloser import __version__
from recloser.app.delivery.wording import wording_of
from recloser.core import InvalidInput, Refused, Unavailable
from recloser.ledger import NoticeRecord

FACILITY = 10 << 3  # security/authorization messages (RFC 5424, table 1)
LARGEST_DATAGRAM = 8192


@dataclass(frozen=True, slots=True)
class SyslogServer:
    """Where notices go.

    Attributes:
        name: of the channel.
        address: host and port.
        transport: 'tls' (RFC 5425), 'tcp' (RFC 6587, octet counting) or 'udp' (RFC 5426).
        hostname: how we are named in the header.
        project: its name.
        timeout_s: of each step.
        trust: makes the context of TLS, read at each attempt.
    """

    name: str
    address: tuple[str, int]
    transport: str
    hostname: str
    project: str
    timeout_s: float = 5.0
    trust: Callable[[], ssl.SSLContext] = ssl.create_default_context

    def send(self, notice: NoticeRecord, now: datetime) -> None:
        """Send the notice once.

        Syslog knows no receipt: over tcp and tls it is that the server took the bytes and the end of the stream, over
        udp that our own system did.

        Raises:
            Unavailable: no connection.
            Refused: the server broke off.
        """
        line = self.line(notice, now)
        with self._connected() as link:
            try:
                if self.transport == "udp":
                    link.send(line[:LARGEST_DATAGRAM])
                    return
                link.sendall(b"%d %s" % (len(line), line))
                _taken(link)
            except OSError as error:
                raise Refused("the syslog server broke off", got=str(error), where=self.name) from error

    def check(self) -> None:
        """Connect and part again; sends nothing. Raises Unavailable."""
        with self._connected():
            pass

    def line(self, notice: NoticeRecord, now: datetime) -> bytes:
        """Return the message: RFC 5424 header, no structured data, a CEF event in UTF-8."""
        del now  # the time of a message is that of its event, the same at every attempt
        told = wording_of(notice)
        level = 3 if told.severity >= 7 else 4 if told.severity >= 5 else 6
        at = notice.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        header = f"<{FACILITY | level}>1 {at} {self.hostname} recloser - {notice.kind} -"
        return f"{header} \ufeff{self._cef(notice, told.subject, told.lines, told.severity)}".encode()

    def _cef(self, notice: NoticeRecord, subject: str, lines: tuple[str, ...], severity: int) -> str:
        head = ["CEF:0", "Recloser", "Recloser", __version__, notice.kind, subject, str(severity)]
        more = {
            "rt": str(int(notice.at.timestamp() * 1000)),
            "externalId": notice.key,
            "cs1Label": "project",
            "cs1": self.project,
            "cs2Label": "subject",
            "cs2": notice.subject,
            "msg": " ".join(lines),
        }
        pairs = " ".join(f"{key}={_value(text)}" for key, text in more.items())
        return "|".join([head[0], *(_head(text) for text in head[1:])]) + "|" + pairs

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        try:
            if self.transport == "udp":
                family, kind, protocol, _, place = socket.getaddrinfo(*self.address, type=socket.SOCK_DGRAM)[0]
                link = socket.socket(family, kind, protocol)
                link.settimeout(self.timeout_s)
                link.connect(place)
            else:
                link = socket.create_connection(self.address, self.timeout_s)
                if self.transport == "tls":
                    link = _wrapped(link, self.trust(), self.address[0])
        except InvalidInput as error:
            raise Unavailable(error.what, got=error.got, where=self.name, next_step=error.next_step) from error
        except OSError as error:
            raise Unavailable("the syslog server cannot be reached", got=str(error), where=self.name) from error
        with link:
            yield link


def _wrapped(link: socket.socket, context: ssl.SSLContext, host: str) -> socket.socket:
    try:
        return context.wrap_socket(link, server_hostname=host)
    except OSError:
        link.close()
        raise


def _taken(link: socket.socket) -> None:
    """End our side of the stream and wait until the server ends its own: it has read all there was before."""
    if isinstance(link, ssl.SSLSocket):
        link = link.unwrap()
    link.shutdown(socket.SHUT_WR)
    while link.recv(4096):
        pass


def _head(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    return text.replace("\\", "\\\\").replace("=", "\\=").replace("\r", "").replace("\n", "\\n")
