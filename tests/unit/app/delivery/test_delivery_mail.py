"""Notices reach people through a real SMTP server, once accepted never again, encrypted, and refused in plain words."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from recloser.app import Platform
from recloser.app.delivery.channels import channels_of
from recloser.app.delivery.courier import Courier
from recloser.app.delivery.mail import Mailbox
from recloser.app.delivery.telling import check_delivery
from recloser.core import InvalidInput, Refused, Unavailable, VirtualClock
from recloser.ledger import DeliveryRecord, NoticeRecord
from recloser.testing import empty_project
from recloser.testing.certificates import Authority

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
RECALL = NoticeRecord(
    "notice-1",
    NOW,
    "recall",
    "rel-1",
    {
        "reason": "T1: a whole issue\napart",
        "void_ids": ["fc-1", "fc-3"],
        "new_ids": ["fc-2"],
        "recalled": [{"area": "a", "void": "fc-1", "new": "fc-2"}, {"area": "Zürich", "void": "fc-3", "new": None}],
    },
)


class Postbox:
    """What the server does with what it gets; answers as it is told to."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []
        self.answer = "250 OK"
        self.refused: set[str] = set()

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            self.got.append(email.message_from_bytes(envelope.content or b"", policy=email.policy.default))  # type: ignore[arg-type]
        return self.answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(Controller):
    def __init__(self, postbox: Postbox, certificate: tuple[Path, Path] | None, *, at_once: bool = False) -> None:
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
        options: dict[str, Any] = (
            {} if context is None else {"ssl_context": context} if at_once else {"tls_context": context}
        )
        if context is not None:
            options |= {"authenticator": self._known, "auth_require_tls": not at_once, "auth_required": True}
        super().__init__(
            postbox,
            hostname="127.0.0.1",
            port=free_port(),
            ready_timeout=120.0,
            require_starttls=context is not None and not at_once,
            **options,
        )

    @staticmethod
    def _known(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, found: Any) -> AuthResult:
        known = isinstance(found, LoginPassword) and (found.login, found.password) == (b"recloser", b"secret")
        return AuthResult(success=known, handled=False)


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


@pytest.fixture
def plain(postbox: Postbox) -> Iterator[Server]:
    server = Server(postbox, None)
    server.start()
    yield server
    server.stop()


def mailbox(port: int, **changes: Any) -> Mailbox:
    told: dict[str, Any] = {
        "name": "desk",
        "address": ("127.0.0.1", port),
        "security": "none",
        "login": None,
        "sender": "recloser@example.org",
        "recipients": ("ann@example.org", "ben@example.org"),
        "project": "grid",
        "source": "/recloser/grid",
    }
    return Mailbox(**{**told, **changes})


def test_a_recall_in_words_with_the_event_attached(plain: Server, postbox: Postbox) -> None:
    mailbox(plain.port).send(RECALL, NOW)
    (message,) = postbox.got
    assert message["Subject"] == "[Recloser grid] 2 forecasts of rel-1 are void"
    assert message["To"] == "ann@example.org, ben@example.org"
    assert message["Message-ID"] == "<notice-1@example.org>"
    text, attached = message.iter_parts()
    assert "Areas: Zürich, a." in text.get_content()
    assert "1 have a replacement, 1 have none." in text.get_content()
    assert "T1: a whole issue apart" in text.get_content()
    assert attached.get_content_type() == "application/cloudevents+json"
    assert json.loads(attached.get_content())["data"] == RECALL.data


@pytest.mark.parametrize(
    ("notice", "subject"),
    [
        (
            NoticeRecord("n", NOW, "alarm", "rel-1", {"alarms": ["only the ladder\nis left"]}),
            "Alarm about rel-1: only the ladder is left",
        ),
        (
            NoticeRecord(
                "n", NOW, "absence", "load", {"state": "open", "since": "x", "areas": ["a"], "sentence": "No load."}
            ),
            "No load.",
        ),
    ],
)
def test_alarms_and_absences_in_words(plain: Server, postbox: Postbox, notice: NoticeRecord, subject: str) -> None:
    mailbox(plain.port).send(notice, NOW)
    assert postbox.got[0]["Subject"] == f"[Recloser grid] {subject}"


def test_the_courier_mails_once_and_again_after_a_refusal(plain: Server, postbox: Postbox, noted: Any) -> None:
    ledger, clock = noted(RECALL), VirtualClock(NOW)
    courier = Courier(ledger, [mailbox(plain.port)], clock)
    postbox.answer = "451 later"
    assert courier.tick() == 0
    assert "451 later" in str(ledger.find(DeliveryRecord)[0].error)
    postbox.answer = "250 OK"
    clock.advance_to(NOW.replace(minute=30))
    assert (courier.tick(), courier.tick()) == (1, 0)
    assert len(postbox.got) == 1


def test_a_server_that_says_no_is_told_in_its_words(plain: Server, postbox: Postbox) -> None:
    postbox.answer = "554 spam"
    with pytest.raises(Refused, match="554 spam"):
        mailbox(plain.port).send(RECALL, NOW)
    postbox.answer, postbox.refused = "250 OK", {"ben@example.org"}
    with pytest.raises(Refused, match=r"ben@example\.org: 550 no such user"):
        mailbox(plain.port).send(RECALL, NOW)
    postbox.refused.add("ann@example.org")
    with pytest.raises(Refused, match="no recipient is accepted"):
        mailbox(plain.port).send(RECALL, NOW)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        mailbox(free_port()).send(RECALL, NOW)


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # the server does not see that TLS lies below it
def test_encrypted_and_with_a_login(postbox: Postbox, tmp_path: Path, security: str) -> None:
    authority = Authority(tmp_path, "authority")
    server = Server(postbox, authority.issue("server"), at_once=security == "tls")
    server.start()
    project = empty_project(
        tmp_path / "grid",
        settings=f"""
[[notify.mail]]
name = "desk"
host = "127.0.0.1"
port = {server.port}
security = "{security}"
sender = "recloser@example.org"
recipients = ["ann@example.org"]
username = "recloser"
password_file = "mail.secret"
tls_ca = "{authority.path}"
""",
    )
    (project / "mail.secret").write_text("secret\n", encoding="utf-8")
    try:
        with Platform.open(project) as platform:
            (channel,) = channels_of(platform)
            channel.send(RECALL, NOW)
            assert len(postbox.got) == 1
            assert check_delivery(platform)["state"] == "ok"
            (project / "mail.secret").write_text("wrong\n", encoding="utf-8")
            with pytest.raises(Unavailable, match="neither name nor password"):
                channel.send(RECALL, NOW)
            assert check_delivery(platform)["state"] == "FAIL"
            if security == "tls":  # after STARTTLS the test's server would leave a socket open
                authority.path.write_bytes(Authority(tmp_path, "stranger").path.read_bytes())
                with pytest.raises(Unavailable, match="certificate verify failed"):
                    channel.send(RECALL, NOW)
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('username = "x"', "a name is of use only with its password"),
        ('username = "x"\npassword_file = "y"\nsecurity = "none"', "in the clear"),
        ("recipients = []", "recipients"),
    ],
)
def test_a_section_that_cannot_be_is_told(tmp_path: Path, keys: str, said: str) -> None:
    rest = "" if "recipients" in keys else 'recipients = ["a@b"]'
    settings = f'[[notify.mail]]\nname = "desk"\nhost = "h"\nsender = "r@example.org"\n{rest}\n{keys}\n'
    with pytest.raises(InvalidInput, match=said), Platform.open(empty_project(tmp_path / "grid", settings=settings)):
        pass
