"""Owns the table of the project file about consumers of recalls: `[notify]`. Opens nothing it names."""

from __future__ import annotations

import string
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recloser.app.project.tables.section import Section
from recloser.core import InvalidInput, unknown_name

PLACES = ("project", "kind", "release", "area")
Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")]
Mail = Annotated[str, Field(pattern=r"^[^@\s,<>]+@[^@\s,<>]+$", max_length=254)]
Timeout = Annotated[float, Field(gt=0, le=60)]


class TrustedSection(Section):
    """What we trust and show when TLS is used; files are relative to the project."""

    name: Name
    tls_ca: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    timeout_seconds: Timeout = 5.0

    @property
    def own(self) -> tuple[str, str] | None:
        """Return our certificate and its key, None without."""
        return None if self.tls_certificate is None or self.tls_key is None else (self.tls_certificate, self.tls_key)

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise InvalidInput(
                "a certificate is of use only with its key",
                where=f"notify {self.name}",
                next_step="Set tls_certificate and tls_key, or neither.",
            )
        return self


class WebhookSection(TrustedSection):
    """One webhook: `[[notify.webhooks]]`."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+")]
    secret_file: str | None = None


class MqttSection(TrustedSection):
    """One topic of an MQTT broker: `[[notify.mqtt]]`."""

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    topic: str = "recloser/{project}/{kind}/{area}"
    version: Literal["5", "3.1.1"] = "5"
    client_id: Annotated[str, Field(min_length=1)] | None = None
    username: str | None = None
    password_file: str | None = None
    tls: bool = False
    retain: bool = False
    unheard: Literal["retry", "accept"] = "retry"

    @property
    def encrypted(self) -> bool:
        """Return whether the connection is by TLS."""
        return self.tls or self.tls_ca is not None or self.own is not None

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port, the registered one where none is told."""
        return self.host, self.port or (8883 if self.encrypted else 1883)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        where = f"notify.mqtt {self.name}"
        check_topic(self.topic, where)
        if self.password_file is not None and self.username is None:
            raise InvalidInput("a password without a name", where=where, next_step="Add username.")
        return self


class MailSection(TrustedSection):
    """One list of mail recipients: `[[notify.mail]]`."""

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Mail
    recipients: Annotated[tuple[Mail, ...], Field(min_length=1)]
    username: str | None = None
    password_file: str | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port, the registered one where none is told."""
        return self.host, self.port or {"starttls": 587, "tls": 465, "none": 25}[self.security]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        where = f"notify.mail {self.name}"
        if (self.username is None) != (self.password_file is None):
            raise InvalidInput(
                "a name is of use only with its password", where=where, next_step="Set both, or neither."
            )
        if self.username is not None and self.security == "none":
            raise InvalidInput(
                "a password would cross the network in the clear", where=where, next_step='Use security = "starttls".'
            )
        return self


class SyslogSection(TrustedSection):
    """One syslog server: `[[notify.syslog]]`."""

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    transport: Literal["tls", "tcp", "udp"] = "tls"
    hostname: Annotated[str, Field(pattern=r"^[!-~]{1,255}$")] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port, the registered one where none is told."""
        return self.host, self.port or {"tls": 6514, "tcp": 601, "udp": 514}[self.transport]


class ForgeSection(TrustedSection):
    """One repository whose commits show how their runs and rollouts stand: `[[notify.forges]]`."""

    kind: Literal["github", "gitlab", "gitea"]
    repository: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)*$")]
    token_file: str
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+")] | None = None
    context: Annotated[str, Field(pattern=r"^[\w.-]{1,40}$")] = "recloser"
    console: Annotated[str, Field(pattern=r"^https?://[^/\s]+")] | None = None

    @property
    def address(self) -> str:
        """Return where the interface is: as set, else that of the public service."""
        return self.url or {"github": "https://api.github.com", "gitlab": "https://gitlab.com"}[self.kind]

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        where = f"notify.forges {self.name}"
        if self.kind == "gitea" and self.url is None:
            raise InvalidInput("a server of one's own without its address", where=where, next_step="Add url.")
        if self.kind != "gitlab" and self.repository.count("/") != 1:
            raise InvalidInput("not a repository", got=self.repository, expected="OWNER/NAME", where=where)
        return self


class NotifySection(Section):
    """Who is told of recalls, alarms and absences: `[notify]`."""

    webhooks: tuple[WebhookSection, ...] = ()
    mqtt: tuple[MqttSection, ...] = ()
    mail: tuple[MailSection, ...] = ()
    syslog: tuple[SyslogSection, ...] = ()
    forges: tuple[ForgeSection, ...] = ()

    @property
    def channels(self) -> tuple[tuple[str, TrustedSection], ...]:
        """Return (kind, section) of every channel."""
        kinds = {"webhook": self.webhooks, "mqtt": self.mqtt, "mail": self.mail, "syslog": self.syslog}
        return tuple((kind, section) for kind, sections in kinds.items() for section in sections)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [section.name for section in (*(section for _, section in self.channels), *self.forges)]
        if len(set(names)) < len(names):
            raise InvalidInput("two channels of one name", got=names, where="notify")
        return self


def check_topic(topic: str, where: str) -> None:
    """Check the pattern of a topic to publish to.

    Raises:
        InvalidInput: an unknown place, a wildcard, or a topic that belongs to the broker.
    """
    try:
        parts = list(string.Formatter().parse(topic))
    except ValueError as error:
        raise InvalidInput("not a pattern of a topic", got=topic, where=where, expected=str(error)) from error
    for _, name, form, conversion in parts:
        if name is not None and name not in PLACES:
            raise unknown_name("place in the topic", name, PLACES, where=where)
        if form or conversion:
            raise InvalidInput("a place in the topic with a format", got=topic, where=where, expected="{area}")
    text = "".join(literal for literal, *_ in parts)
    if not topic or topic.startswith("$") or set(text) & set("+#\0"):
        raise InvalidInput(
            "not a topic to publish to", got=topic, where=where, expected="no wildcards, no leading $, and not empty"
        )
