"""A process that delivers is killed with SIGKILL at each of its steps: every notice arrives, same id, in order.

`make chaos` (RECLOSER_FULL=1) kills a life at every step of every notice; otherwise at each kind of step once.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

paho = pytest.importorskip("paho.mqtt.client", reason="needs the extra mqtt")
pytestmark = [pytest.mark.chaos, pytest.mark.slow]
FULL = bool(os.environ.get("RECLOSER_FULL"))
PROGRAM = Path(__file__).parent / "crash" / "crash_courier.py"
AREAS = {"NORTH": (0, 1), "SOUTH": (0, 2)}
"""Which of the three notices, in their order, are about an area."""


class Desk(ThreadingHTTPServer):
    """Notes what arrives, over HTTP and from a broker: channel and life -> events with their bytes, as they come."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard: dict[tuple[str, str], list[bytes]] = defaultdict(list)
        self.arrived = threading.Condition()

    def note(self, channel: str, body: bytes) -> None:
        with self.arrived:
            self.heard[channel, json.loads(body)["source"].strip("/")].append(body)
            self.arrived.notify_all()

    def wait(self, channel: str, life: str, many: int) -> list[bytes]:
        """Return what came once so many different ones did: a broker hands on after its receipt."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(set(self.heard[channel, life])) >= many, 120), (channel, life)
            return list(self.heard[channel, life])


class Handler(BaseHTTPRequestHandler):
    server: Desk

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        body = self.rfile.read(length)
        if len(body) < length:  # its sender was killed in the middle
            return
        self.server.note("hook", body)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # its sender was killed before it could read the answer
            super().handle()


@pytest.fixture
def desk(mosquitto: Any) -> Iterator[Desk]:
    subscribed = threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "chaos-desk", clean_session=False)
    client.on_connect = lambda link, *_: link.subscribe("recloser/#", 1)
    client.on_subscribe = lambda *_: subscribed.set()
    with Desk() as server:
        client.on_message = lambda _client, _data, message: server.note("desk", bytes(message.payload))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        client.connect("127.0.0.1", mosquitto.port)
        client.loop_start()
        assert subscribed.wait(120)
        yield server
        client.disconnect()
        client.loop_stop()
        server.shutdown()
        thread.join()


def driven(tmp_path: Path, mode: str, desk: Desk, mosquitto: Any, environment: dict[str, str]) -> dict[str, Any]:
    words = [tmp_path, mode, f"http://127.0.0.1:{desk.server_port}", mosquitto.port]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *map(str, words)],
        check=False, capture_output=True, text=True, timeout=7200, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["broken"] == []
    return found


def once(bodies: list[bytes]) -> list[dict[str, Any]]:
    """Return what a consumer acts on that takes each id once; what comes again must be the same."""
    taken: dict[str, bytes] = {}
    for body in bodies:
        assert taken.setdefault(json.loads(body)["id"], body) == body
    return [json.loads(body) for body in taken.values()]


def test_killed_at_each_step_of_a_courier(
    tmp_path: Path, desk: Desk, mosquitto: Any, environment: dict[str, str]
) -> None:
    found = driven(tmp_path, "full" if FULL else "brief", desk, mosquitto, environment)
    assert found["killed"] == len(found["lives"]) - 1 >= (found["points"] if FULL else 16)
    assert found["kinds"] == [
        *("Client connect", "Client publish", "HTTPConnection connect", "HTTPConnection getresponse"),
        *("HTTPConnection request", "_Call _on_receipt", "_Call end", "ledger notice.delivered"),
    ]
    again = 0
    for life in found["lives"]:
        keys = [f"{life}-{999 - number}" for number in range(3)]
        hook, topic = desk.wait("hook", life, 3), desk.wait("desk", life, 4)
        assert [event["id"] for event in once(hook)] == keys, life  # each once, in the order of the recalls
        for area, numbers in AREAS.items():
            told = [event["id"] for event in once(topic) if event["data"]["area"] == area]
            assert told == [f"{keys[number]}/{area}" for number in numbers], life
        again += len(hook) + len(topic) - 3 - 4
    assert again > 0  # a kill between a receipt and its record sends again, or nothing was put to the test


def test_killed_at_random_while_recalls_are_written(
    tmp_path: Path, desk: Desk, mosquitto: Any, environment: dict[str, str]
) -> None:
    found = driven(tmp_path, "random", desk, mosquitto, environment)
    assert found["killed"] > 0
    numbers = range(50)
    assert [event["id"] for event in once(desk.wait("hook", "chance", 50))] == [f"chance-{999 - n}" for n in numbers]
    told = once(desk.wait("desk", "chance", 67))
    for area, which in (("NORTH", (0, 1)), ("SOUTH", (0, 2))):
        expected = [f"chance-{999 - n}/{area}" for n in numbers if n % 3 in which]
        assert [event["id"] for event in told if event["data"]["area"] == area] == expected
