"""Every command and program of the page for consumers works: on a gateway, a broker and a courier that are real."""

from __future__ import annotations

import json
import queue
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from recloser.app import Platform
from recloser.app.delivery.channels import channels_of
from recloser.app.delivery.courier import Courier
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.processes.announcing import events_so_far
from recloser.app.processes.server import gateway_service
from recloser.core import Served, forecast_id
from recloser.ledger import NoticeRecord, TripRecord
from recloser.rollout.recall import recall_plan, record_of, voided
from recloser.serving.http import build_app
from recloser.testing.projects import empty_project

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")]
TEXT = (Path(__file__).parents[3] / "docs" / "consumers.md").read_text(encoding="utf-8")
SHELL, PYTHON = (
    re.findall(rf"^```{kind}\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE) for kind in ("bash", "python")
)
COMMANDS = [line for block in SHELL for line in block.splitlines()]
GATEWAY, EXAMPLE, HOUR = "http://127.0.0.1:8080", "fc-0123456789abcdef", timedelta(hours=1)
CHANNELS = """
[[notify.webhooks]]
name = "hook"
url = "http://127.0.0.1:{hook}/"
secret_file = "hook.secret"

[[notify.mqtt]]
name = "desk"
host = "127.0.0.1"
port = {broker}
"""


@dataclass
class Place:
    """A project with a recalled forecast, its gateway, and who is to be told.

    Attributes:
        old, new: ids of the recalled forecast of NORTH and of what replaced it.
        deliver: delivers what is due; returns the number of receipts.
    """

    url: str
    hook: int
    broker: int
    secret: Path
    old: str
    new: str
    deliver: Callable[[], int]

    def here(self, command: str) -> str:
        return command.replace(GATEWAY, self.url).replace(EXAMPLE, self.old).replace("-p 1883", f"-p {self.broker}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def recalled(platform: Platform) -> tuple[str, str]:
    """Write forecasts of two areas from now on, and the recall of them, as the controller would."""
    now = platform.clock.now().replace(minute=0, second=0, microsecond=0)
    numbers = {release: np.full((8, 3), mw) for release, mw in (("rel-1", 1.0), ("rel-2", 2.0))}
    targets = tuple(now + k * HOUR for k in range(1, 9))
    made = [
        Served(forecast_id(a, now, now, "rel-2"), a, now, now, targets, (0.1, 0.5, 0.9), "rel-2", "canary", "", numbers)
        for a in ("NORTH", "SOUTH")
    ]
    plan = recall_plan(made, platform.clock.now(), "rel-1", resolution=HOUR)
    at, replaced = plan.recalls[0].new.made_at, {one.old: one.new for one in plan.recalls}
    rows = [{"area": one.area, "void": one.id, "new": replaced[one.id].id} for one in made]
    with platform.ledger.change("rollout", at) as change:
        for one in made:
            change.put(voided(record_of(one), at, "it tripped", replaced[one.id].id))
            change.put(record_of(replaced[one.id]))
        change.put(TripRecord("trip-1", at, "rel-2", "T0", "it tripped", [one.id for one in made]))
        change.put(NoticeRecord("notice-1", at, "recall", "rel-2", {"recalled": rows}))
        change.note("rollout.trip", "rel-2", {"recalled": 2})
    return made[0].id, replaced[made[0].id].id


@pytest.fixture
def place(tmp_path: Path, mosquitto: Any) -> Iterator[Place]:
    folder, hook = empty_project(tmp_path / "grid", ("NORTH", "SOUTH")), free_port()
    secret = folder / "hook.secret"
    secret.write_text("s3cret\n", encoding="utf-8")
    with (folder / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(CHANNELS.format(hook=hook, broker=mosquitto.port))
    with Platform.open(folder) as platform:
        old, new = recalled(platform)
        events, _ = events_so_far(platform.ledger)
        service = gateway_service(platform, ControlLoop(platform, LoopOptions()), events)
        server = uvicorn.Server(uvicorn.Config(build_app(service), log_level="critical"))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            courier = Courier(platform.ledger, channels_of(platform), platform.clock)
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            yield Place(url, hook, mosquitto.port, secret, old, new, courier.tick)
            events.close()
            server.should_exit = True
            thread.join()


class Program:
    """A program that goes on until it is ended; what it prints can be waited for."""

    def __init__(self, command: list[str]) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def line(self, *words: str) -> str:
        """Return the first line that has these words; the limit only keeps a broken program from hanging the test."""
        while True:
            line = self._lines.get(timeout=120)
            if all(word in line for word in words):
                return line

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()


@pytest.fixture
def run() -> Iterator[Callable[..., Program]]:
    begun: list[Program] = []

    def begin(*command: str) -> Program:
        begun.append(Program(list(command)))
        return begun[-1]

    yield begin
    for program in begun:
        program.end()


def asked(place: Place, command: str) -> Any:
    done = subprocess.run(["bash", "-c", place.here(command)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_what_is_read(place: Place) -> None:
    current, many, by_forecast, by_prediction = (asked(place, command) for command in COMMANDS[:4])
    assert (current["id"], current["recalled"]) == (place.new, [{"void": place.old, "replaced_by": place.new}])
    assert [one["area"] for one in many["forecasts"]] == ["NORTH", "SOUTH"]
    assert (by_forecast["status"], by_forecast["replaced_by"], by_forecast["trip"]) == ("void", place.new, "trip-1")
    assert len(by_forecast["points"]) == 8
    (point,) = by_prediction["points"]
    assert (point["status"], point["in_force"]) == ("void", f"{place.new}:5")


def test_events_are_heard(place: Place, run: Callable[..., Program]) -> None:
    heard = run("bash", "-c", f"exec {place.here(COMMANDS[4])}")
    assert heard.line("event: recall")
    assert place.old in heard.line("data: ", place.new)


def test_a_recall_is_heard_from_the_broker_by_command_and_program(
    place: Place, run: Callable[..., Program], tmp_path: Path
) -> None:
    publish = pytest.importorskip("paho.mqtt.publish", reason="needs the extra mqtt")
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto_sub is not installed (Debian: apt-get install mosquitto-clients)")
    program, kept = tmp_path / "desk.py", tmp_path / "kept.jsonl"
    program.write_text(PYTHON[0], encoding="utf-8")
    words = [sys.executable, str(program), "127.0.0.1", str(place.broker), str(kept)]
    command, desk = run("bash", "-c", f"exec {place.here(COMMANDS[5])}"), run(*words)
    both_listen = threading.Event()

    def probe() -> None:
        number = 0
        while not both_listen.wait(0.1):
            number += 1
            event = {"id": f"probe-{number}", "data": {"recalled": [{"area": "PROBE", "void": "x", "new": None}]}}
            publish.single("recloser/grid/recall/PROBE", json.dumps(event), 1, port=place.broker, hostname="127.0.0.1")

    probing = threading.Thread(target=probe)
    probing.start()
    command.line("PROBE")
    desk.line("PROBE")
    both_listen.set()
    probing.join()
    assert place.deliver() == 1
    assert "NORTH" in desk.line(place.old, "->", place.new)
    event = json.loads(command.line("notice-1/NORTH"))
    assert event["data"]["recalled"] == [{"area": "NORTH", "void": place.old, "new": place.new}]
    desk.line("SOUTH")
    ids = [json.loads(line)["id"] for line in kept.read_text(encoding="utf-8").splitlines()]
    assert sorted(one for one in ids if "probe" not in one) == ["notice-1/NORTH", "notice-1/SOUTH"]


def deliver_until(place: Place, told: Callable[[], bool], pause: threading.Event) -> None:
    """Deliver as the controller does until somebody was told; who is not there yet is told later."""
    for _ in range(1200):
        place.deliver()
        if told():
            return
        pause.wait(0.1)
    raise AssertionError("nobody was told")


def test_a_recall_is_heard_by_the_webhook(place: Place, run: Callable[..., Program], tmp_path: Path) -> None:
    program = tmp_path / "hook.py"
    program.write_text(PYTHON[1], encoding="utf-8")
    hook = run(sys.executable, str(program), str(place.hook), str(place.secret))
    heard = threading.Event()

    def listen() -> None:
        hook.line("NORTH", place.old, "->", place.new)
        heard.set()

    listener = threading.Thread(target=listen)
    listener.start()
    deliver_until(place, heard.is_set, threading.Event())
    listener.join()
    request = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", "{}", f"http://127.0.0.1:{place.hook}/"]
    now = str(int(datetime.now(UTC).timestamp()))
    forged = [*request, "-H", "webhook-id: x", "-H", f"webhook-timestamp: {now}", "-H", "webhook-signature: v1,x"]
    assert subprocess.run(forged, capture_output=True, text=True, check=True).stdout == "401"


def test_the_page_has_no_more_examples_than_are_run_here() -> None:
    assert (len(COMMANDS), len(PYTHON)) == (6, 2)
