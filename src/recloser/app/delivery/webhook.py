"""Owns one webhook: a notice as a signed CloudEvent in an HTTP request. Retries nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from recloser.core import Unavailable, canonical_json, format_utc
from recloser.ledger import NoticeRecord

EVENT_TYPES = {"recall": "io.recloser.forecast.recall.v1", "alarm": "io.recloser.rollout.alarm.v1"}


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where notices go and how they are signed.

    Attributes:
        name: of the channel.
        url: http or https.
        secret_file: holds the key of the HMAC-SHA-256, read at each attempt; None: not signed.
        source: `source` of the events, a URI reference that names the project.
        timeout_s: of connecting, and of each read.
    """

    name: str
    url: str
    secret_file: Path | None
    source: str
    timeout_s: float = 5.0

    def send(self, notice: NoticeRecord, now: datetime) -> None:
        """Send the notice once; any answer of 2xx is a receipt.

        The same notice always has the same `id`, so a receiver knows what it had before.

        Raises:
            Unavailable: no connection, no answer in time, another status, or no secret to sign with.
        """
        body = event_body(notice, self.source)
        parts = urlsplit(self.url)
        address = (parts.hostname or "", parts.port)
        try:
            if parts.scheme == "https":
                context = ssl.create_default_context()
                link: http.client.HTTPConnection = http.client.HTTPSConnection(
                    *address, timeout=self.timeout_s, context=context
                )
            else:
                link = http.client.HTTPConnection(*address, timeout=self.timeout_s)
            try:
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                link.request("POST", path, body, self._headers(notice, body, now))
                status = link.getresponse().status
            finally:
                link.close()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("the webhook does not answer", got=str(error), where=self.name) from error
        if not 200 <= status < 300:
            raise Unavailable("the webhook did not take the notice", got=status, expected="2xx", where=self.name)

    def _headers(self, notice: NoticeRecord, body: bytes, now: datetime) -> dict[str, str]:
        sent_at = str(int(now.timestamp()))
        headers = {
            "content-type": "application/cloudevents+json; charset=utf-8",
            "webhook-id": notice.key,
            "webhook-timestamp": sent_at,
        }
        if self.secret_file is not None:
            secret = self.secret_file.read_bytes().strip()
            if not secret:  # never unsigned by mistake
                raise Unavailable("an empty secret", got=str(self.secret_file), where=self.name)
            headers["webhook-signature"] = signature(secret, notice.key, sent_at, body)
        return headers


def event_body(notice: NoticeRecord, source: str) -> bytes:
    """Return the notice as a CloudEvent 1.0 in structured JSON; equal bytes at every attempt."""
    return canonical_json(
        {
            "specversion": "1.0",
            "id": notice.key,
            "source": source,
            "type": EVENT_TYPES[notice.kind],
            "subject": notice.subject,
            "time": format_utc(notice.at),
            "datacontenttype": "application/json",
            "data": notice.data,
        }
    )


def signature(secret: bytes, key: str, sent_at: str, body: bytes) -> str:
    """Return `v1,` and the base64 of the HMAC-SHA-256 over `id.timestamp.body` (Standard Webhooks)."""
    signed = f"{key}.{sent_at}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
