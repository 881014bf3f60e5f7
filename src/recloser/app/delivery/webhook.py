"""Owns one webhook: a notice as a signed CloudEvent in an HTTP request. Retries nothing."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from recloser.app.delivery.events import CONTENT_TYPE, event_body
from recloser.app.opentelemetry.tracing import Sending
from recloser.app.security.connecting import connected
from recloser.app.security.reaching import secret_of
from recloser.core import Refused
from recloser.ledger import NoticeRecord
from recloser.triggers.webhooks.signatures import timed_signature


def untraced(_notice: NoticeRecord) -> AbstractContextManager[Mapping[str, str]]:
    """Hold nothing; no header carries anything on."""
    return nullcontext({})


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where notices go and how they are signed.

    Attributes:
        name: of the channel.
        url: http or https.
        secret_file: holds the key of the HMAC-SHA-256, read at each attempt; None: not signed.
        source: `source` of the events, a URI reference that names the project.
        timeout_s: of connecting, and of each read.
        trust: makes the context of https, read at each attempt.
        trace: holds the span of a notice on its way, and gives the headers that carry it on.
    """

    name: str
    url: str
    secret_file: Path | None
    source: str
    timeout_s: float = 5.0
    trust: Callable[[], ssl.SSLContext] = ssl.create_default_context
    trace: Sending = untraced

    def send(self, notice: NoticeRecord, now: datetime) -> None:
        """Send the notice once; any answer of 2xx is a receipt.

        The same notice always has the same `id`, so a receiver knows what it had before.

        Raises:
            Unavailable: no connection, or no secret or certificate to make one with.
            Refused: a connection, but no answer in time or one of another status.
        """
        with self.trace(notice) as carrier:
            self._send(notice, now, carrier)

    def _send(self, notice: NoticeRecord, now: datetime, carrier: Mapping[str, str]) -> None:
        body, parts = event_body(notice, self.source), urlsplit(self.url)
        headers = {**self._headers(notice, body, now), **carrier}
        link = self._connected()
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            link.request("POST", path, body, headers)
            status = link.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise Refused("the webhook gave no answer", got=str(error), where=self.name) from error
        finally:
            link.close()
        if not 200 <= status < 300:
            raise Refused("the webhook did not take the notice", got=status, expected="2xx", where=self.name)

    def check(self) -> None:
        """Connect and part again; sends nothing.

        Raises:
            Unavailable: no connection, or no secret or certificate to make one with.
        """
        if self.secret_file is not None:
            secret_of(self.secret_file, self.name)
        self._connected().close()

    def _connected(self) -> http.client.HTTPConnection:
        return connected(self.url, self.timeout_s, self.trust, "the webhook", self.name)

    def _headers(self, notice: NoticeRecord, body: bytes, now: datetime) -> dict[str, str]:
        sent_at = str(int(now.timestamp()))
        headers = {"content-type": CONTENT_TYPE, "webhook-id": notice.key, "webhook-timestamp": sent_at}
        if self.secret_file is not None:
            secret = secret_of(self.secret_file, self.name)
            headers["webhook-signature"] = timed_signature(secret, notice.key, sent_at, body)
        return headers
