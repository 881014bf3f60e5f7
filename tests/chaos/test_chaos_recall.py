"""A recall in a real `up`, its controller killed right after: consumers hear of it by broker, webhook and events, and
what was recalled is found by its id."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform
from recloser.ledger import DeliveryRecord, NoticeRecord

paho = pytest.importorskip("paho.mqtt.client", reason="needs the extra mqtt")
pytestmark = [pytest.mark.chaos, pytest.mark.slow]
CHANNELS = """
[[notify.webhooks]]
name = "hook"
url = "http://127.0.0.1:{hook}/"

[[notify.mqtt]]
name = "desk"
host = "127.0.0.1"
port = {broker}
"""


class Hook(BaseHTTPRequestHandler):
    heard: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hooked() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    kind = type("Own", (Hook,), {"heard": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port, kind.heard  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


@pytest.fixture
def subscribed(mosquitto: Any) -> Iterator[list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []
    there = threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "chaos-recall", clean_session=False)
    client.on_connect = lambda link, *_: link.subscribe("recloser/+/recall/#", 1)
    client.on_subscribe = lambda *_: there.set()
    client.on_message = lambda _client, _data, message: heard.append(json.loads(message.payload))
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    assert there.wait(120)
    yield heard
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def running(served: Path, up: Callable[..., Any], mosquitto: Any, hooked: tuple[int, list[dict[str, Any]]]) -> Any:
    with (served / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(CHANNELS.format(hook=hooked[0], broker=mosquitto.port))
    return up(served)


def test_everybody_hears_of_a_recall_whose_controller_is_killed(
    platform: Platform,
    running: Any,
    until: Any,
    subscribed: list[dict[str, Any]],
    hooked: tuple[int, list[dict[str, Any]]],
) -> None:
    current = until(lambda: running.get("/v1/forecasts"), "the gateway")
    areas = platform.areas

    def issued() -> list[dict[str, Any]]:
        found = json.loads(running.get("/v1/forecasts") or current)
        return list(found["forecasts"]) if not found["without_forecast"] else []

    before = {one["area"]: one for one in until(issued, "a forecast of every area")}
    (controller,) = running.pids("controller")
    status, text = running.ask("/v1/rollback", {"reason": "it looks wrong"})
    os.kill(controller, signal.SIGKILL)
    assert status == 200, text
    assert sorted(json.loads(text)["recalled"]) == sorted(one["id"] for one in before.values())

    until(lambda: {event["data"]["area"] for event in subscribed} == {*areas}, "the recall of every area by MQTT")
    until(lambda: hooked[1], "the recall at the webhook")
    (notice,) = platform.ledger.find(NoticeRecord, kind="recall")
    assert {event["id"] for event in subscribed} == {f"{notice.key}/{area}" for area in areas}
    assert {event["id"] for event in hooked[1] if event["type"].endswith("recall.v1")} == {notice.key}
    now = {
        one["area"]: one for one in json.loads(until(lambda: running.get("/v1/forecasts"), "an answer"))["forecasts"]
    }
    for event in subscribed:
        area, (row,) = event["data"]["area"], event["data"]["recalled"]
        assert row["void"] == before[area]["id"]
        assert (now[area]["id"], now[area]["recalled"]) == (
            row["new"],
            [{"void": row["void"], "replaced_by": row["new"]}],
        )
        past = json.loads(until(lambda key=row["void"]: running.get(f"/v1/forecasts/{key}"), "what became of it"))
        assert (past["status"], past["replaced_by"], past["trip"]) == ("void", row["new"], notice.data["trips"][0])
        void = [point for point in past["points"] if point["status"] == "void"]
        assert [point["in_force"] for point in void] == [point["id"] for point in now[area]["points"]]

    def receipts() -> bool:
        found = platform.ledger.find(DeliveryRecord, notice=notice.key)
        return {(one.channel, one.state) for one in found} == {("hook", "delivered"), ("desk", "delivered")}

    until(receipts, "the receipts in the ledger")
