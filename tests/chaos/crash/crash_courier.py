"""A program: delivers notices to a webhook and a broker, killed with SIGKILL at each step that a courier takes.

Steps are the calls that reach the network, the receipts that come back, and the transactions of the ledger. Each life
has a ledger, notices and a project name of its own, so that receivers can tell lives apart. Modes: 'full' kills a life
at every step; 'brief' at each kind of step and place, where it comes the second time; 'random' kills one life at random
instants while notices are written. Prints one JSON document.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from crash_drive import forked, spawned
from crash_points import Point, Watch

from recloser.app.delivery.channels import topic_of, webhook_of
from recloser.app.delivery.courier import Courier
from recloser.app.project.tables.notify import MqttSection, WebhookSection
from recloser.connectors.live import mqtt_publisher
from recloser.core import VirtualClock
from recloser.ledger import DeliveryRecord, Ledger, NoticeRecord

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
AREAS = (("NORTH", "SOUTH"), ("NORTH",), ("SOUTH",))
KILLS = 25


def ledger_of(folder: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{folder}/ledger.db")


def write_notices(folder: Path, life: str, first: int, many: int) -> None:
    """Write notices as recalls would."""
    with ledger_of(folder) as ledger:
        for number in range(first, first + many):
            at = NOW + timedelta(seconds=number)
            rows = [{"area": area, "void": f"fc-{number}", "new": None} for area in AREAS[number % len(AREAS)]]
            # Keys do not sort as instants do.
            notice = NoticeRecord(f"{life}-{999 - number}", at, "recall", "rel-1", {"recalled": rows})
            with ledger.change("rollout", at) as change:
                change.add(notice)
                change.note("rollout.trip", "rel-1")


def deliver(folder: Path, life: str, url: str, port: int) -> None:
    """Deliver until everything has its receipts."""
    hook = WebhookSection.model_validate({"name": "hook", "url": f"{url}/{life}", "timeout_seconds": 30.0})
    topic = {"name": "desk", "host": "127.0.0.1", "port": port, "timeout_seconds": 30.0, "client_id": life}
    channels = [
        webhook_of(folder, hook, f"/{life}"),
        topic_of(folder, MqttSection.model_validate(topic), life, f"/{life}"),
    ]
    with ledger_of(folder) as ledger:
        clock = VirtualClock(NOW + timedelta(minutes=1))
        courier = Courier(ledger, channels, clock)
        while not settled(ledger):
            courier.tick()
            clock.advance_to(clock.now() + timedelta(seconds=1))


def settled(ledger: Ledger) -> bool:
    done = [record for record in ledger.find(DeliveryRecord) if record.state == "delivered"]
    return len(done) == 2 * len(ledger.find(NoticeRecord))


def watched(folder: Path, kill: Point | None) -> None:
    """See the steps of this process, and end it at one of them."""
    watch = Watch(folder, kill, folder / "steps.jsonl")
    watch.install()
    for place, name in (
        (http.client.HTTPConnection, "connect"),
        (http.client.HTTPConnection, "request"),
        (http.client.HTTPConnection, "getresponse"),
        (paho.Client, "connect"),
        (paho.Client, "publish"),
        (mqtt_publisher._Call, "_on_receipt"),
        (mqtt_publisher._Call, "end"),
    ):
        setattr(place, name, watch._around(f"{place.__name__} {name}", getattr(place, name)))


def steps(folder: Path) -> Iterator[Point]:
    """Yield the places of the steps that a life took."""
    counts: dict[str, int] = {}
    for line in (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines():
        step = json.loads(line)
        if "kind" in step:
            nth = counts[step["kind"]] = counts.get(step["kind"], 0) + 1
            for where in step["points"]:
                yield Point(step["kind"], nth, where)


def lived(root: Path, life: str, kill: Point | None, url: str, port: int) -> Path:
    """Live one life to its end, killed once on the way; return its folder."""
    folder = root / life
    folder.mkdir()
    write_notices(folder, life, 0, len(AREAS))

    def first() -> None:
        watched(folder, kill)
        deliver(folder, life, url, port)

    code = forked(first)
    if code != (0 if kill is None else -signal.SIGKILL):
        raise SystemExit(f"{life} {kill}: ended with {code}")
    if kill is not None and (code := forked(lambda: deliver(folder, life, url, port))) != 0:
        raise SystemExit(f"{life} {kill}: could not go on: {code}")
    return folder


def at_random(root: Path, url: str, port: int, seed: int) -> int:
    """Kill one life again and again while notices are written; return how often a process was killed at work."""
    chance, life = random.Random(seed), "chance"
    folder = root / life
    folder.mkdir()
    killed = 0
    for number in range(KILLS):
        write_notices(folder, life, 2 * number, 2)
        pid = spawned(lambda: deliver(folder, life, url, port))
        time.sleep(chance.uniform(0.0, 0.25))
        os.kill(pid, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    if forked(lambda: deliver(folder, life, url, port)) != 0:
        raise SystemExit("the life of random kills could not go on")
    return killed


def main() -> int:
    root, mode, url, port = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    found: dict[str, Any] = {"killed": 0, "lives": ["whole"]}
    points = list(steps(lived(root, "whole", None, url, port)))
    if mode == "random":
        found["killed"] = at_random(root, url, port, 7)
        found["lives"].append("chance")
    else:
        chosen = points if mode == "full" else [point for point in points if point.nth == 2]
        for number, point in enumerate(chosen):
            lived(root, f"l{number}", point, url, port)
            found["lives"].append(f"l{number}")
            found["killed"] += 1
    found["points"], found["kinds"] = len(points), sorted({point.kind for point in points})
    found["broken"] = []
    for life in found["lives"]:
        with ledger_of(root / life) as ledger:
            if not (ledger.verify().ok and settled(ledger)):
                found["broken"].append(life)
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
