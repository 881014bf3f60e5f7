"""Owns one list of mail recipients: a notice as a message, handed to a mail server. Retries nothing."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

from recloser.app.delivery.events import event_body
from recloser.app.delivery.wording import told_at, wording_of
from recloser.app.security.reaching import secret_of
from recloser.core import InvalidInput, Refused, Unavailable
from recloser.ledger import NoticeRecord


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Whom notices are mailed to, and by which server.

    Attributes:
        name: of the channel.
        address: host and port of the mail server.
        security: 'starttls', 'tls' or 'none'.
        login: name and the file of its password, None where the server asks for none.
        sender, recipients: mail addresses.
        project: its name, in the subject.
        source: `source` of the attached event.
        timeout_s: of each step.
        trust: makes the context of TLS, read at each attempt.
    """

    name: str
    address: tuple[str, int]
    security: str
    login: tuple[str, Path] | None
    sender: str
    recipients: tuple[str, ...]
    project: str
    source: str
    timeout_s: float = 10.0
    trust: Callable[[], ssl.SSLContext] = ssl.create_default_context

    def send(self, notice: NoticeRecord, now: datetime) -> None:
        """Hand the message over once; the server's acceptance for every recipient is the receipt.

        The same notice always has the same Message-ID.

        Raises:
            Unavailable: no connection, no login, or the server wants it later.
            Refused: the server does not take the message, or one of the recipients.
        """
        with self._session() as session:
            try:
                refused = session.send_message(self.message(notice, now))
            except smtplib.SMTPRecipientsRefused as error:
                raise _refusal("no recipient is accepted", error.recipients, self.name) from error
            except smtplib.SMTPResponseException as error:
                raise self._said(error) from error
            except (OSError, smtplib.SMTPException) as error:
                raise Refused("the mail server broke off", got=str(error), where=self.name) from error
        if refused:
            raise _refusal("not every recipient is accepted", refused, self.name)

    def check(self) -> None:
        """Connect, log in and part again; sends nothing. Raises Unavailable."""
        with self._session() as session, self._seam():
            session.noop()

    def message(self, notice: NoticeRecord, now: datetime) -> EmailMessage:
        """Return the message of a notice, the event attached as it goes to programs."""
        told = wording_of(notice)
        message = EmailMessage()
        message["Subject"] = f"[Recloser {self.project}] {told.subject}"
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Date"] = format_datetime(now)
        message["Message-ID"] = f"<{notice.key}@{self.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("\n".join([told.subject, "", *told.lines, "", told_at(notice), ""]))
        message.add_attachment(
            event_body(notice, self.source), "application", "cloudevents+json", filename=f"{notice.key}.json"
        )
        return message

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        with self._seam():
            session = self._connected()
        try:
            yield session
        finally:
            session.close()

    def _connected(self) -> smtplib.SMTP:
        if self.security == "tls":
            session: smtplib.SMTP = smtplib.SMTP_SSL(*self.address, timeout=self.timeout_s, context=self.trust())
        else:
            session = smtplib.SMTP(*self.address, timeout=self.timeout_s)
        try:
            if self.security == "starttls":
                session.starttls(context=self.trust())
            if self.login is not None:
                session.login(self.login[0], secret_of(self.login[1], self.name).decode())
        except BaseException:
            session.close()
            raise
        return session

    @contextmanager
    def _seam(self) -> Iterator[None]:
        try:
            yield
        except InvalidInput as error:
            raise Unavailable(error.what, got=error.got, where=self.name, next_step=error.next_step) from error
        except smtplib.SMTPAuthenticationError as error:
            raise Unavailable(
                "the mail server accepts neither name nor password", got=error.smtp_code, where=self.name
            ) from error
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            raise Unavailable("the mail server cannot be reached", got=str(error), where=self.name) from error

    def _said(self, error: smtplib.SMTPResponseException) -> Unavailable | Refused:
        kind = Unavailable if 400 <= error.smtp_code < 500 else Refused
        text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return kind("the mail server does not take the message", got=f"{error.smtp_code} {text}", where=self.name)


def _refusal(what: str, refused: dict[str, tuple[int, bytes]], name: str) -> Refused:
    told = "; ".join(f"{who}: {code} {text.decode(errors='replace')}" for who, (code, text) in sorted(refused.items()))
    return Refused(what, got=told[:300], where=name)
