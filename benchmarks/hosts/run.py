"""From a route's commit to every host that follows it: `python benchmarks/hosts/run.py` (root, PostgreSQL, tap).

Each host is a network namespace with a gateway process of its own and a folder of its own; the ledger is a PostgreSQL
server on the switch. Half of the changes begin a canary, half end it. A host follows once its gateway says so over
HTTP, asked every few milliseconds from that host; times count from the commit. `--hosts` and `--changes` choose less.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

sys.path += [
    str(Path(__file__).resolve().parents[1] / "rollback"),
    str(Path(__file__).resolve().parents[1] / "serving"),
]
sys.path += [str(Path(__file__).resolve().parents[2] / "tests" / "servers")]

import namespaces
from namespaces import HUB, Network
from place import made
from postgresql_server import Cluster, binaries

from recloser.app import Platform
from recloser.app.processes.supervisor import commands
from recloser.ledger import Ledger, RouteRecord
from recloser.testing.puppets import puppet_release

PORT = 8080
PATIENCE_S = 600.0


def shared_project(folder: Path, server: Cluster, address: str) -> tuple[Path, str]:
    """Return a project whose ledger is the server's, and the ledger's URL for hosts."""
    made(folder, 1)
    here = server.new_place()
    with Ledger.open(f"sqlite:///{folder}/state/ledger.db") as old, Ledger.open(here) as new:
        old.copy_to(new)
    with (folder / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write('\n[ledger]\nurl_file = "ledger.url"\n')
    (folder / "ledger.url").write_text(here)
    return folder, f"postgresql+psycopg://postgres@{address}/postgres?options={here.rpartition('options=')[2]}"


@contextmanager
def gateways(network: Network, folder: Path, url: str, names: list[str]) -> Iterator[None]:
    """Run a gateway on each host."""
    running = []
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    try:
        for name in names:
            path = Path(shutil.copytree(folder, folder.parent / name))
            (path / "ledger.url").write_text(url)
            words = commands(path, "127.0.0.1", PORT, None)["gateway"]
            running.append(network.start(name, words, environment, folder.parent / f"{name}.log"))
        yield
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait()


def epoch_of(network: Network, name: str) -> int:
    status, text = network.ask(name, PORT, "/v1/route")
    return int(json.loads(text)["epoch"]) if status == 200 else -1


def follow(network: Network, name: str, epoch: int, seen: dict[str, float]) -> None:
    """Note when a host follows a route, by the clock of this process."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if epoch_of(network, name) >= epoch:
            seen[name] = time.monotonic()
            return
        time.sleep(0.003)


def change(platform: Platform, release: str, number: int) -> tuple[int, float]:
    """Begin or end a canary; return the route's epoch and when it was committed."""
    route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    now = datetime.now(UTC)
    canary = release if number % 2 == 0 else None
    newer = replace(route, epoch=route.epoch + 1, canary=canary, share=0.5 if canary else 0.0, at=now)
    with platform.ledger.change("benchmark", now) as written:
        written.put(newer)
        written.note("route.change", "route", {"epoch": newer.epoch})
    return newer.epoch, time.monotonic()


def measure(hosts: int, changes: int) -> dict[str, object]:
    names = [f"host{number}" for number in range(1, hosts + 1)]
    folder = Path(tempfile.mkdtemp(prefix="rcl-hosts-"))
    network = Network(names)
    found = binaries()
    if found is None:
        raise SystemExit("PostgreSQL's server binaries are not installed")
    server = Cluster(found, network.hub, lambda command: network.words(HUB, command))
    try:
        server.start()
        project, url = shared_project(folder / "grid", server, network.hub)
        slowest, each = [], []
        with Platform.open(project) as platform, gateways(network, project, url, names):
            (folder / "word").write_text("honest")
            release = puppet_release(platform, folder / "word")
            for name in names:
                shutil.copytree(
                    project / "state" / "packages" / release, folder / name / "state" / "packages" / release
                )
            route = platform.ledger.get(RouteRecord, "route")
            assert route is not None
            for name in names:
                follow(network, name, route.epoch, {})
            for number in range(changes + 2):
                seen: dict[str, float] = {}
                epoch, committed = change(platform, release, number)
                asking = [threading.Thread(target=follow, args=(network, name, epoch, seen)) for name in names]
                for one in asking:
                    one.start()
                for one in asking:
                    one.join()
                if number >= 2:  # the release was loaded by then
                    delays = [1000 * (seen[name] - committed) for name in names]
                    each += delays
                    slowest.append(max(delays))
                time.sleep(0.2)
        return {"hosts": hosts, "changes": changes, **told(each, slowest), "load": round(os.getloadavg()[0], 1)}
    finally:
        server.stop("immediate")
        network.close()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(server.folder, ignore_errors=True)


def told(each: list[float], slowest: list[float]) -> dict[str, object]:
    return {
        "each_ms": [round(float(number), 1) for number in np.percentile(each, [50, 90, 100])],
        "all_ms": [round(float(number), 1) for number in np.percentile(slowest, [50, 90, 100])],
        "within_1_s": f"{sum(number <= 1000 for number in slowest)} of {len(slowest)}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, nargs="*", default=[2, 4, 8])
    parser.add_argument("--changes", type=int, default=100)
    chosen = parser.parse_args()
    why = namespaces.why_not()
    if why:
        raise SystemExit(why)
    for hosts in chosen.hosts:
        print(json.dumps(measure(hosts, chosen.changes)), flush=True)


if __name__ == "__main__":
    main()
