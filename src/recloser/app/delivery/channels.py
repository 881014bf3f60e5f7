"""Owns the channels of the project file as couriers use them. Sends nothing."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path

from recloser.app.delivery.mail import Mailbox
from recloser.app.delivery.mqtt import MqttTopic, Publisher
from recloser.app.delivery.syslog import SyslogServer
from recloser.app.delivery.webhook import Webhook, untraced
from recloser.app.links.extras import missing_extra
from recloser.app.opentelemetry.tracing import Sending
from recloser.app.platform import Platform
from recloser.app.project.tables.notify import MailSection, MqttSection, SyslogSection, WebhookSection
from recloser.app.security.reaching import client_context, secret_of


def channels_of(platform: Platform) -> tuple[Webhook | MqttTopic | Mailbox | SyslogServer, ...]:
    """Return the channels of the project file; what is missing or wrong fails the notice, not the controller."""
    name, root = platform.project.project.name, platform.layout.root
    source = f"/recloser/{name}".replace(" ", "-")
    notify = platform.project.notify
    trace = untraced if platform.tracing is None else platform.tracing.sending
    return (
        *(webhook_of(root, hook, source, trace) for hook in notify.webhooks),
        *(topic_of(root, topic, name, source) for topic in notify.mqtt),
        *(mailbox_of(root, mail, name, source) for mail in notify.mail),
        *(server_of(root, server, name) for server in notify.syslog),
    )


def mailbox_of(root: Path, mail: MailSection, project: str, source: str) -> Mailbox:
    """Return a list of mail recipients."""
    login = None
    if mail.username is not None and mail.password_file is not None:
        login = (mail.username, root / mail.password_file)
    trust = partial(client_context, root, mail.tls_ca, mail.own, mail.name)
    parties = (mail.sender, mail.recipients, project, source)
    return Mailbox(mail.name, mail.address, mail.security, login, *parties, mail.timeout_seconds, trust)


def server_of(root: Path, server: SyslogSection, project: str) -> SyslogServer:
    """Return a syslog server."""
    trust = partial(client_context, root, server.tls_ca, server.own, server.name)
    hostname = server.hostname or socket.gethostname() or "-"
    return SyslogServer(server.name, server.address, server.transport, hostname, project, server.timeout_seconds, trust)


def webhook_of(root: Path, hook: WebhookSection, source: str, trace: Sending = untraced) -> Webhook:
    """Return a webhook."""
    secret = None if hook.secret_file is None else root / hook.secret_file
    trust = partial(client_context, root, hook.tls_ca, hook.own, hook.name)
    return Webhook(hook.name, hook.url, secret, source, hook.timeout_seconds, trust, trace)


def topic_of(root: Path, topic: MqttSection, project: str, source: str) -> MqttTopic:
    """Return a topic of a broker."""
    client_id = topic.client_id or f"recloser-{project}-{topic.name}".replace(" ", "-")
    return MqttTopic(
        topic.name,
        topic.topic,
        project,
        source,
        partial(publisher_of, root, topic, client_id),
        partial(publisher_of, root, topic, f"{client_id}-check"),
        retain=topic.retain,
        unheard=topic.unheard,
    )


def publisher_of(root: Path, topic: MqttSection, client_id: str) -> Publisher:
    """Return what publishes to a broker, with the secrets and certificates of now.

    Raises:
        InvalidInput: a TLS file is missing or unusable.
        Unavailable: no password, or the extra `mqtt` is not installed.
    """
    try:
        from recloser.connectors.live.mqtt import Broker  # noqa: PLC0415 - an optional extra
        from recloser.connectors.live.mqtt_publisher import MqttPublisher  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise missing_extra("mqtt", f"notify.mqtt {topic.name}") from error
    password = None if topic.password_file is None else secret_of(root / topic.password_file, topic.name).decode()
    tls = client_context(root, topic.tls_ca, topic.own, topic.name) if topic.encrypted else None
    broker = Broker(*topic.address, client_id=client_id, username=topic.username, password=password, tls=tls)
    return MqttPublisher(topic.name, broker, version=topic.version, timeout_s=topic.timeout_seconds)
