"""Notices reach a real HTTP receiver at least once, signed, with the same id; failures wait, and are given up."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from recloser.app import Platform
from recloser.app.delivery.channels import channels_of
from recloser.app.delivery.courier import Courier
from recloser.app.delivery.telling import check_delivery
from recloser.app.delivery.thread import CourierThread
from recloser.app.delivery.webhook import Webhook
from recloser.app.verbs import status_document
from recloser.core import InvalidInput, Refused, Unavailable, VirtualClock
from recloser.ledger import DeliveryRecord, Ledger, NoticeRecord

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
NOTICE = NoticeRecord("notice-1", NOW, "recall", "rel-1", {"void_ids": ["fc-1"], "new_ids": ["fc-2"]})


class Receiver(HTTPServer):
    """Takes requests; answers with the status that is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 204
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.arrived = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?x=1"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({key.lower(): item for key, item in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.end_headers()
        self.server.arrived.set()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def ledger(noted: Callable[[NoticeRecord], Ledger]) -> Ledger:
    return noted(NOTICE)


def test_a_notice_arrives_once_signed_as_a_cloud_event(ledger: Ledger, receiver: Receiver, tmp_path: Path) -> None:
    key = tmp_path / "desk.secret"
    key.write_text("secret\n", encoding="utf-8")
    courier = Courier(ledger, [Webhook("desk", receiver.url, key, "/recloser/grid")], VirtualClock(NOW))
    assert (courier.tick(), courier.tick()) == (1, 0)
    ((headers, body),) = receiver.got
    event = json.loads(body)
    assert (event["specversion"], event["id"], event["subject"]) == ("1.0", "notice-1", "rel-1")
    assert event["data"] == NOTICE.data
    signed = f"notice-1.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"secret", signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["content-type"].startswith("application/cloudevents+json")
    assert [record.state for record in ledger.find(DeliveryRecord)] == ["delivered"]


def test_what_fails_is_tried_again_with_growing_waits_and_the_same_bytes(ledger: Ledger, receiver: Receiver) -> None:
    clock = VirtualClock(NOW)
    hook = Webhook("desk", receiver.url, None, "/recloser/grid")
    courier = Courier(ledger, [hook], clock)
    receiver.status = 503
    for second in range(8):
        clock.advance_to(NOW + timedelta(seconds=second))
        courier.tick()
    assert len(receiver.got) == 4  # at 0, 1, 3 and 7 seconds
    assert [record.state for record in ledger.find(DeliveryRecord)] == ["failing"]
    receiver.status = 200
    assert Courier(ledger, [hook], clock).tick() == 1  # a new process begins at once
    assert len({body for _, body in receiver.got}) == 1
    assert [record.state for record in ledger.find(DeliveryRecord)] == ["delivered"]
    assert [e.action for e in ledger.entries()] == ["rollout.trip", "notice.failing", "notice.delivered"]


def test_a_notice_of_a_week_ago_is_given_up_once(ledger: Ledger, receiver: Receiver) -> None:
    receiver.status = 500
    clock = VirtualClock(NOW + timedelta(days=8))
    courier = Courier(ledger, [Webhook("desk", receiver.url, None, "/x")], clock)
    courier.tick()
    clock.advance_to(NOW + timedelta(days=9))
    courier.tick()
    assert len(receiver.got) == 1
    assert [record.state for record in ledger.find(DeliveryRecord)] == ["given_up"]


class Desk:
    """A channel that takes what it is told to take, and cannot be reached when told so."""

    name = "desk"

    def __init__(self) -> None:
        self.took: list[str] = []
        self.asked: list[str] = []
        self.refuses: set[str] = set()
        self.away = False

    def send(self, notice: NoticeRecord, now: datetime) -> None:
        self.asked.append(notice.key)
        if self.away:
            raise Unavailable("nobody there", where=self.name)
        if notice.key in self.refuses:
            raise Refused("not taken", where=self.name, got=now.minute)
        self.took.append(notice.key)


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Ledger]:
    """Four notices within three minutes: of NORTH, of NORTH and SOUTH, of SOUTH, of EAST."""
    with Ledger.open(f"sqlite:///{tmp_path}/many.db") as opened:
        for minute, areas in enumerate((["NORTH"], ["NORTH", "SOUTH"], ["SOUTH"], ["EAST"])):
            at = NOW + timedelta(minutes=minute)
            rows = [{"area": area, "void": f"fc-{minute}", "new": None} for area in areas]
            with opened.change("rollout", at) as change:
                change.add(NoticeRecord(f"n{9 - minute}", at, "recall", "rel-1", {"recalled": rows}))
                change.note("rollout.trip", "rel-1")
        yield opened


def test_a_notice_that_is_not_taken_holds_later_ones_of_its_areas_for_an_hour(many: Ledger) -> None:
    desk, clock = Desk(), VirtualClock(NOW + timedelta(minutes=4))
    courier = Courier(many, [desk], clock)
    desk.refuses = {"n9"}
    assert (courier.tick(), desk.took) == (1, ["n6"])  # only EAST is free
    desk.refuses = set()
    clock.advance_to(NOW + timedelta(minutes=5))
    assert (courier.tick(), desk.took) == (3, ["n6", "n9", "n8", "n7"])


def test_after_an_hour_later_notices_pass(many: Ledger) -> None:
    desk, clock = Desk(), VirtualClock(NOW + timedelta(minutes=60))
    desk.refuses = {"n9"}
    courier = Courier(many, [desk], clock)
    assert (courier.tick(), desk.took) == (3, ["n8", "n7", "n6"])


def test_while_nobody_can_be_reached_only_the_oldest_is_tried_and_then_all_go_in_order(many: Ledger) -> None:
    desk, clock = Desk(), VirtualClock(NOW + timedelta(minutes=4))
    desk.away = True
    courier = Courier(many, [desk], clock)
    assert (courier.tick(), desk.asked) == (0, ["n9"])
    clock.advance_to(clock.now() + timedelta(seconds=30))
    desk.away = False
    assert (courier.tick(), desk.took) == (4, ["n9", "n8", "n7", "n6"])


def test_a_reason_that_changes_is_written_down_again(many: Ledger) -> None:
    desk, clock = Desk(), VirtualClock(NOW + timedelta(minutes=4))
    desk.refuses = {"n9"}
    courier = Courier(many, [desk], clock)
    courier.tick()
    for minute in (5, 6):
        clock.advance_to(NOW + timedelta(minutes=minute))
        courier.tick()
    told = [entry.facts["reason"] for entry in many.entries() if entry.action == "notice.failing"]
    assert told == [f"desk: not taken; got {minute}." for minute in (4, 5, 6)]


def test_a_receipt_ends_the_waits_of_its_channel(many: Ledger) -> None:
    desk, clock = Desk(), VirtualClock(NOW + timedelta(minutes=4))
    desk.refuses = {"n9"}
    courier = Courier(many, [desk], clock)
    for _ in range(6):  # waits of n9 grow
        clock.advance_to(clock.now() + timedelta(minutes=1))
        courier.tick()
    desk.refuses = set()
    with many.change("rollout", clock.now()) as change:
        change.add(NoticeRecord("n5", clock.now(), "recall", "rel-1", {"recalled": [{"area": "WEST", "void": "x"}]}))
        change.note("rollout.trip", "rel-1")
    clock.advance_to(clock.now() + timedelta(seconds=1))
    assert (courier.tick(), courier.tick()) == (1, 3)
    assert desk.took == ["n6", "n5", "n9", "n8", "n7"]


def test_status_and_doctor_tell_what_waits(project: Path, receiver: Receiver) -> None:
    text = (project / "recloser.toml").read_text(encoding="utf-8")
    hook = f'\n[[notify.webhooks]]\nname = "desk"\nurl = "{receiver.url}"\n'
    (project / "recloser.toml").write_text(text + hook, encoding="utf-8")
    receiver.status = 500
    with Platform.open(project) as platform:
        now = platform.clock.now()
        assert status_document(platform)["notify"][0]["state"] == "ok"
        with platform.ledger.change("rollout", now) as change:
            change.add(NoticeRecord("notice-1", now, "recall", "rel-1", NOTICE.data))
            change.note("rollout.trip", "rel-1")
        assert status_document(platform)["notify"][0]["state"] == "waiting"
        courier = Courier(platform.ledger, channels_of(platform), platform.clock)
        courier.tick()
        (row,) = status_document(platform)["notify"]
        assert (row["state"], row["waiting"], row["since"]) == ("failing", 1, now)
        assert "did not take the notice; got 500" in row["error"]
        assert any("1 notice waits for desk" in told for told in status_document(platform)["sentences"])
        told = check_delivery(platform)
        assert told["state"] == "note"
        assert "not signed" in told["detail"]
        assert "waits for desk" in told["detail"]


def test_the_thread_delivers_what_is_written_later(ledger: Ledger, receiver: Receiver) -> None:
    courier = Courier(ledger, [Webhook("desk", receiver.url, None, "/x")], VirtualClock(NOW))
    with CourierThread(courier, print):
        assert receiver.arrived.wait(30)


class Defective(Desk):
    """A channel with a defect that shows twice."""

    def send(self, notice: NoticeRecord, now: datetime) -> None:
        if len(self.asked) < 2:
            self.asked.append(notice.key)
            raise ZeroDivisionError("a defect")
        super().send(notice, now)


def test_a_defect_does_not_end_the_deliveries(ledger: Ledger) -> None:
    desk, said, arrived = Defective(), [], threading.Event()

    def look() -> bool:
        if desk.took:
            arrived.set()
        return True

    with CourierThread(Courier(ledger, [desk], VirtualClock(NOW)), said.append, look):
        assert arrived.wait(60)
    assert desk.took == ["notice-1"]
    assert said == ["courier: a defect, it goes on: ZeroDivisionError: a defect"]


def test_nothing_is_sent_unsigned_by_mistake(project: Path, ledger: Ledger, receiver: Receiver) -> None:
    text = (project / "recloser.toml").read_text(encoding="utf-8")
    hook = f'\n[[notify.webhooks]]\nname = "desk"\nurl = "{receiver.url}"\nsecret_file = "desk.secret"\n'
    (project / "recloser.toml").write_text(text + hook, encoding="utf-8")
    clock = VirtualClock(NOW)
    with Platform.open(project) as platform:
        courier = Courier(ledger, channels_of(platform), clock)
    assert courier.tick() == 0
    (project / "desk.secret").write_text("\n", encoding="utf-8")
    clock.advance_to(NOW + timedelta(seconds=1))
    assert (courier.tick(), receiver.got) == (0, [])
    (project / "desk.secret").write_text("s3cret\n", encoding="utf-8")
    clock.advance_to(NOW + timedelta(seconds=9))
    assert courier.tick() == 1
    assert "webhook-signature" in receiver.got[0][0]
    (project / "recloser.toml").write_text(text + hook + hook, encoding="utf-8")
    with pytest.raises(InvalidInput, match="two channels"):
        Platform.open(project)
