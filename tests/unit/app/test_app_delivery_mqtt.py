"""Notices reach a real MQTT broker at least once with the same ids, whatever the broker does meanwhile."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform
from recloser.app.delivery.channels import channels_of, topic_of
from recloser.app.delivery.courier import Courier
from recloser.app.delivery.mqtt import MqttTopic, level_of
from recloser.app.delivery.telling import check_delivery, delivery_document, delivery_sentences
from recloser.app.project.tables.notify import MqttSection
from recloser.core import InvalidInput, Refused, Unavailable, VirtualClock
from recloser.ledger import DeliveryRecord, Ledger, NoticeRecord
from recloser.testing.certificates import Authority

paho = pytest.importorskip("paho.mqtt.client", reason="needs the extra mqtt")
Mosquitto = Any  # the fixture `mosquitto`

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
ROWS = [{"area": "NORTH", "void": "fc-1", "new": "fc-2"}, {"area": "S/1", "void": "fc-3", "new": None}]
DATA = {"void_ids": ["fc-1", "fc-3"], "new_ids": ["fc-2"], "recalled": ROWS, "trips": ["trip-1"]}
NOTICE = NoticeRecord("notice-1", NOW, "recall", "rel-1", DATA)


class Subscriber:
    """Hears what a broker says about a topic, in a session that the broker keeps."""

    def __init__(self, mosquitto: Mosquitto, topic: str = "recloser/#", login: tuple[str, str] | None = None) -> None:
        self.heard: list[Any] = []
        self._arrived, self.subscribed = threading.Condition(), threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, "desk", clean_session=False)
        if login is not None:
            self._client.username_pw_set(*login)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", mosquitto.port)
        self._client.loop_start()
        assert self.subscribed.wait(60)

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        with self._arrived:
            self.heard.append(message)
            self._arrived.notify_all()

    def wait(self, many: int) -> list[Any]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.heard) >= many, 60)
            return list(self.heard)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def hear() -> Iterator[Callable[..., Subscriber]]:
    made: list[Subscriber] = []

    def subscribe(*words: Any) -> Subscriber:
        made.append(Subscriber(*words))
        return made[-1]

    yield subscribe
    for one in made:
        one.close()


@pytest.fixture
def ledger(noted: Callable[[NoticeRecord], Ledger]) -> Ledger:
    return noted(NOTICE)


def channel(tmp_path: Path, mosquitto: Mosquitto, **keys: Any) -> MqttTopic:
    section = MqttSection.model_validate({"name": "desk", "host": "127.0.0.1", "port": mosquitto.port, **keys})
    return topic_of(tmp_path, section, "my grid", "/recloser/my-grid")


def states(ledger: Ledger) -> list[str]:
    return [record.state for record in ledger.find(DeliveryRecord, order_by="at")]


def test_a_notice_is_one_message_an_area_with_ids_of_their_own(
    tmp_path: Path, mosquitto: Mosquitto, ledger: Ledger, hear: Callable[..., Subscriber]
) -> None:
    desk = hear(mosquitto)
    courier = Courier(ledger, [channel(tmp_path, mosquitto)], VirtualClock(NOW))
    assert (courier.tick(), courier.tick()) == (1, 0)
    heard = {message.topic: json.loads(message.payload) for message in desk.wait(2)}
    assert sorted(heard) == ["recloser/my grid/recall/NORTH", "recloser/my grid/recall/S%2F1"]
    north, south = (heard[topic] for topic in sorted(heard))
    assert (north["id"], south["id"]) == ("notice-1/NORTH", "notice-1/S/1")
    assert north["data"]["recalled"] == ROWS[:1]
    assert (north["data"]["void_ids"], north["data"]["new_ids"]) == (["fc-1"], ["fc-2"])
    assert (south["data"]["void_ids"], south["data"]["new_ids"], south["data"]["area"]) == (["fc-3"], [], "S/1")
    assert {message.qos for message in desk.heard} == {1}
    assert not any(message.retain for message in desk.heard)
    assert states(ledger) == ["delivered"]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_one_message_of_all_areas_where_the_topic_names_none(
    tmp_path: Path, mosquitto: Mosquitto, ledger: Ledger, hear: Callable[..., Subscriber], version: str
) -> None:
    desk = hear(mosquitto)
    topic = channel(tmp_path, mosquitto, topic="recloser/{kind}/{release}", version=version)
    assert Courier(ledger, [topic], VirtualClock(NOW)).tick() == 1
    (message,) = desk.wait(1)
    event = json.loads(message.payload)
    assert (message.topic, event["id"], event["data"]["recalled"]) == ("recloser/recall/rel-1", "notice-1", ROWS)


def test_an_alarm_is_about_no_area(tmp_path: Path, mosquitto: Mosquitto, hear: Callable[..., Subscriber]) -> None:
    desk = hear(mosquitto)
    channel(tmp_path, mosquitto).send(NoticeRecord("notice-3", NOW, "alarm", "rel-1", {"alarms": ["look"]}), NOW)
    (message,) = desk.wait(1)
    event = json.loads(message.payload)
    assert (message.topic, event["id"]) == ("recloser/my grid/alarm/-", "notice-3")
    assert (event["type"], event["data"]) == ("io.recloser.rollout.alarm.v1", {"alarms": ["look"]})


def test_a_broker_that_is_down_and_comes_back(
    tmp_path: Path, mosquitto: Mosquitto, ledger: Ledger, hear: Callable[..., Subscriber]
) -> None:
    desk, clock = hear(mosquitto), VirtualClock(NOW)
    courier = Courier(ledger, [channel(tmp_path, mosquitto)], clock)
    mosquitto.kill()
    desk.subscribed.clear()
    for second in range(8):
        clock.advance_to(NOW + timedelta(seconds=second))
        assert courier.tick() == 0
    rows = delivery_document(ledger, [("desk", "mqtt")], clock.now())
    assert (rows[0]["state"], rows[0]["waiting"], rows[0]["since"]) == ("failing", 1, NOW)
    assert "no connection to the broker" in delivery_sentences(rows)[0]
    with ledger.change("rollout", clock.now()) as change:  # meanwhile its successor is stopped too
        rows2 = [{"area": "NORTH", "void": "fc-2", "new": "fc-9"}]
        data = {"void_ids": ["fc-2"], "new_ids": ["fc-9"], "recalled": rows2}
        change.add(NoticeRecord("notice-0", clock.now(), "recall", "rel-0", data))
        change.note("rollout.trip", "rel-0")
    mosquitto.start()
    assert desk.subscribed.wait(60)
    clock.advance_to(NOW + timedelta(minutes=20))
    assert Courier(ledger, [channel(tmp_path, mosquitto)], clock).tick() == 2
    ids = [json.loads(message.payload)["id"] for message in desk.wait(3)]
    assert [one for one in ids if one.endswith("NORTH")] == ["notice-1/NORTH", "notice-0/NORTH"]  # in their order
    assert delivery_sentences(delivery_document(ledger, [("desk", "mqtt")], clock.now())) == []


def test_a_broker_that_nobody_listens_to_has_not_delivered(
    tmp_path: Path, mosquitto: Mosquitto, ledger: Ledger, hear: Callable[..., Subscriber]
) -> None:
    clock = VirtualClock(NOW)
    courier = Courier(ledger, [channel(tmp_path, mosquitto)], clock)
    assert (courier.tick(), states(ledger)) == (0, ["failing"])
    assert "nobody is subscribed" in str(ledger.find(DeliveryRecord)[0].error)
    desk = hear(mosquitto, "recloser/+/recall/NORTH")  # one of the two areas is enough
    clock.advance_to(NOW + timedelta(seconds=1))
    assert courier.tick() == 1
    assert len(desk.wait(1)) == 1
    assert channel(tmp_path, mosquitto, unheard="accept").send(NOTICE, NOW) is None  # type: ignore[func-returns-value]


def test_a_retained_message_is_heard_by_who_comes_later(
    tmp_path: Path, mosquitto: Mosquitto, ledger: Ledger, hear: Callable[..., Subscriber]
) -> None:
    assert Courier(ledger, [channel(tmp_path, mosquitto, retain=True)], VirtualClock(NOW)).tick() == 1
    assert all(message.retain for message in hear(mosquitto).wait(2))


def test_wrong_credentials_and_missing_rights_are_told(tmp_path: Path, mosquitto: Mosquitto) -> None:
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed")
    access, passwords = tmp_path / "access", tmp_path / "passwords"
    access.write_text("user ann\ntopic read recloser/#\nuser recloser\ntopic write recloser/#\n", encoding="utf-8")
    passwords.touch()
    for path in (access, passwords):
        path.chmod(0o600)
    for user, password in (("ann", "a"), ("recloser", "s3cret")):
        subprocess.run([program, "-b", str(passwords), user, password], check=True, capture_output=True)
    mosquitto.kill()
    bounds = "max_queued_messages 1000"  # without a bound mosquitto 2.0.11 breaks the connection over a missing right
    mosquitto.start("allow_anonymous false", f"password_file {passwords}", f"acl_file {access}", bounds)
    secret, keys = tmp_path / "broker.secret", {"password_file": "broker.secret", "unheard": "accept"}
    topic = channel(tmp_path, mosquitto, username="recloser", **keys)
    with pytest.raises(Unavailable, match="a secret cannot be read"):
        topic.check()
    secret.write_text("wrong\n", encoding="utf-8")
    with pytest.raises(Unavailable, match=r"refused the connection.*Check client_id, username, password_file"):
        topic.send(NOTICE, NOW)
    secret.write_text("s3cret\n", encoding="utf-8")
    topic.check()
    topic.send(NOTICE, NOW)
    secret.write_text("a\n", encoding="utf-8")
    with pytest.raises(Refused, match=r"did not take.*Not authorized"):
        channel(tmp_path, mosquitto, username="ann", **keys).send(NOTICE, NOW)
    with pytest.raises(Unavailable, match="refused the connection"):
        channel(tmp_path, mosquitto).check()


def test_mutual_tls(tmp_path: Path, mosquitto: Mosquitto) -> None:
    authority, stranger = Authority(tmp_path, "grid"), Authority(tmp_path, "stranger")
    authority.issue("us")
    stranger.issue("them")
    certificate, key = authority.issue("broker")
    mosquitto.kill()
    files = (f"cafile {authority.path}", f"certfile {certificate}", f"keyfile {key}")
    mosquitto.start("allow_anonymous true", *files, "require_certificate true")
    keys = {"tls_ca": "grid.pem", "tls_certificate": "us.pem", "tls_key": "us.key", "unheard": "accept"}
    channel(tmp_path, mosquitto, **keys).send(NOTICE, NOW)
    for wrong in (
        {"tls_ca": "stranger.pem"},
        {"tls_certificate": "them.pem", "tls_key": "them.key"},
        {"tls_certificate": None, "tls_key": None},
        {"tls_ca": "nowhere.pem"},
    ):
        with pytest.raises((Unavailable, Refused)):
            channel(tmp_path, mosquitto, **{**keys, **wrong}).send(NOTICE, NOW)
    with pytest.raises(Unavailable):
        channel(tmp_path, mosquitto).check()  # not encrypted


def test_a_broker_that_says_nothing_is_given_up_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        section = {"name": "desk", "host": "127.0.0.1", "port": silent.getsockname()[1], "timeout_seconds": 0.3}
        topic = topic_of(tmp_path, MqttSection.model_validate(section), "grid", "/x")
        with pytest.raises(Unavailable, match="does not answer"):
            topic.send(NOTICE, NOW)


def test_many_areas_are_many_messages_with_a_receipt_each(
    tmp_path: Path, mosquitto: Mosquitto, hear: Callable[..., Subscriber]
) -> None:
    desk = hear(mosquitto)
    rows = [{"area": f"F{k}", "void": f"fc-{k}", "new": None} for k in range(300)]
    notice = NoticeRecord("notice-2", NOW, "recall", "rel-1", {"recalled": rows})
    channel(tmp_path, mosquitto).send(notice, NOW)
    assert len({message.topic for message in desk.wait(300)}) == 300


def test_the_project_file_and_doctor(project: Path, mosquitto: Mosquitto) -> None:
    file = project / "recloser.toml"
    text = file.read_text(encoding="utf-8")

    def opened(*lines: str) -> dict[str, str]:
        table = ["[[notify.mqtt]]", 'name = "desk"', 'host = "127.0.0.1"', f"port = {mosquitto.port}", *lines]
        file.write_text("\n".join([text, *table, ""]), encoding="utf-8")
        with Platform.open(project) as platform:
            assert [one.name for one in channels_of(platform)] == ["desk"]
            return check_delivery(platform)

    assert opened() == {"name": "notify", "state": "ok", "detail": "1 channels can be reached"}
    told = opened('username = "recloser"', 'password_file = "nowhere"')
    assert told["state"] == "FAIL"
    assert "a secret cannot be read" in told["detail"]
    mosquitto.kill()
    assert "no connection to the broker" in opened()["detail"]
    for wrong in ('topic = "recloser/#"', 'topic = "{arae}"', 'topic = "$SYS/x"', 'topic = "{area!r}"', 'topic = "{"'):
        with pytest.raises(InvalidInput):
            opened(wrong)
    for wrong in ('password_file = "x"', 'tls_key = "x"', "retian = true", 'version = "4"'):
        with pytest.raises(InvalidInput):
            opened(wrong)


def test_names_become_levels_of_a_topic() -> None:
    assert level_of("Süd 1") == "Süd 1"
    assert level_of("a/b+c#d%\n") == "a%2Fb%2Bc%23d%25%0A"
