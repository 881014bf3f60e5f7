"""Gateways on several hosts, one ledger: each host in a network namespace of its own, whose cable is pulled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import namespaces
import pytest
from namespaces import Network
from postgresql_server import Cluster, binaries

from recloser.app import Platform
from recloser.app.predictions.mover import move_all
from recloser.app.processes.hosts.word import all_follow, in_reach, told_reports
from recloser.app.processes.supervisor import commands
from recloser.cli import main
from recloser.core import format_utc
from recloser.ledger import Ledger, RouteRecord, StateRecord
from recloser.rollout import RolloutState
from recloser.store import PredictionTable
from recloser.testing.puppets import puppet_release, put_on_trial

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.services]
PORT = 8080  # each host has its own
LEASE = timedelta(seconds=30)
NAMES = ("near", "far")


@pytest.fixture
def network() -> Iterator[Network]:
    why = namespaces.why_not()
    if why:
        pytest.skip(why)
    found = Network(NAMES)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def server(network: Network) -> Iterator[Cluster]:
    found = binaries()
    if found is None:
        pytest.skip("PostgreSQL's server binaries are not installed (Debian: apt-get install postgresql)")
    cluster = Cluster(found, network.hub, lambda command: network.words("hub", command))
    try:
        cluster.start()
        yield cluster
        cluster.stop("immediate")
    finally:
        shutil.rmtree(cluster.folder)


@dataclass
class Hosts:
    """A project on several hosts, each with a folder of its own, and one PostgreSQL ledger on the switch's host.

    Attributes:
        folder: the project as the test sees it: by the server's Unix socket, which no cable can cut.
        strings: what the release on trial does.
    """

    network: Network
    folder: Path
    strings: Path
    environment: dict[str, str]
    tcp_url: str
    running: dict[tuple[str, str], subprocess.Popen[bytes]] = field(default_factory=dict)

    def of(self, host: str) -> Path:
        """Return the project's folder on a host."""
        path = self.folder.parent / host
        if not path.exists():
            shutil.copytree(self.folder, path)
            (path / "ledger.url").write_text(self.tcp_url)
        return path

    def start(self, host: str, kind: str = "gateway") -> None:
        """Start the gateway or the controller of a host."""
        words = commands(self.of(host), "127.0.0.1", PORT, None)[kind]
        log = self.folder.parent / f"{host}.{kind}.log"
        self.running[host, kind] = self.network.start(host, words, self.environment, log)

    def said(self, host: str, kind: str = "gateway") -> str:
        """Return what a process has written."""
        return (self.folder.parent / f"{host}.{kind}.log").read_text()

    def ask(self, host: str, path: str, body: Any = None) -> tuple[int, str]:
        return self.network.ask(host, PORT, path, body)

    def route(self, host: str) -> dict[str, Any]:
        status, text = self.ask(host, "/v1/route")
        return dict(json.loads(text)) if status == 200 else {"epoch": -1}

    def served_by(self, host: str, body: Any) -> set[str]:
        status, text = self.ask(host, "/invocations", body)
        assert status == 200, text
        return {row["served_by"] for row in json.loads(text)["predictions"]}

    def end(self, host: str, kind: str = "gateway") -> None:
        """End a process in order."""
        process = self.running.pop((host, kind))
        process.send_signal(signal.SIGTERM)
        process.wait(240)

    def close(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()


@pytest.fixture
def hosts(
    network: Network, server: Cluster, served: Path, environment: dict[str, str], tmp_path: Path
) -> Iterator[Hosts]:
    here = server.new_place()
    schema = here.rpartition("options=")[2]
    there = f"postgresql+psycopg://postgres@{network.hub}/postgres?options={schema}"
    with Ledger.open(f"sqlite:///{served}/state/ledger.db") as old, Ledger.open(here) as new:
        assert old.copy_to(new).ok
    with (served / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write('\n[ledger]\nurl_file = "ledger.url"\n')
    (served / "ledger.url").write_text(here)
    strings = tmp_path / "strings"
    strings.write_text("honest")
    found = Hosts(network, served, strings, environment, there)
    try:
        yield found
    finally:
        found.close()


class Caller(threading.Thread):
    """Asks one gateway again and again, and keeps what it got."""

    def __init__(self, hosts: Hosts, host: str, body: Any) -> None:
        super().__init__(daemon=True)
        self._hosts, self._host, self._body = hosts, host, body
        self._ended = threading.Event()
        self.answers: list[set[str]] = []
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._ended.wait(0.05):
            try:
                self.answers.append(self._hosts.served_by(self._host, self._body))
            except AssertionError as error:
                self.failures.append(str(error)[:300])

    def stop(self) -> None:
        self._ended.set()
        self.join()


def renewed(platform: Platform, route: RouteRecord) -> datetime:
    """Give the canary a lease from now on, as its controller would have; return its end."""
    now = platform.clock.now()
    with platform.ledger.change("test", now) as change:
        change.put(replace(route, lease_until=now + LEASE))
        change.note("rollout.lease", "route", {})
    return now + LEASE


def epochs(ledger: Ledger) -> dict[str, int]:
    return {report.host: report.epoch for report in told_reports(ledger)}


def test_a_host_that_is_cut_off_ends_the_canary_by_its_lease_and_comes_back_and_loses_no_answer(
    hosts: Hosts, request_body: dict[str, Any], until: Callable[..., Any], tmp_path: Path
) -> None:
    names = NAMES
    with Platform.open(hosts.folder) as platform:
        release = puppet_release(platform, hosts.strings)
        put_on_trial(platform, release, RolloutState.CANARY, lease_until=platform.clock.now() + timedelta(hours=1))
        ledger, route = platform.ledger, platform.ledger.get(RouteRecord, "route")
        assert route is not None
        for name in names:
            hosts.start(name)
        until(lambda: epochs(ledger) == dict.fromkeys(names, route.epoch), "both hosts to follow the canary")
        assert all_follow(ledger, route.epoch, timedelta(0), LEASE)
        for name in NAMES:
            until(lambda name=name: hosts.ask(name, "/v2/health/live")[0] == 200, f"{name} to listen")
        callers = {name: Caller(hosts, name, request_body) for name in names}
        for name, caller in callers.items():
            until(lambda name=name: hosts.served_by(name, request_body) == {"canary"}, f"the canary on {name}")
            caller.start()
        lease = renewed(platform, route)
        until(lambda: hosts.route("far")["lease_until"] == format_utc(lease), "the lease to get there")

        hosts.network.pull("far")
        near, far = sorted(told_reports(ledger), key=lambda report: report.host, reverse=True)
        until(lambda: not in_reach(ledger, far), "the server to notice that the host is gone")
        assert in_reach(ledger, near)
        assert main(["rollback", "--project", str(hosts.folder), "--reason", "looks wrong"]) == 0
        now = ledger.get(RouteRecord, "route")
        assert now is not None
        assert now.canary is None
        until(lambda: hosts.served_by("near", request_body) == {"champion"}, "the reachable host to roll back")
        if platform.clock.now() < lease - timedelta(seconds=5):
            assert hosts.served_by("far", request_body) == {"canary"}  # it cannot know
        assert not all_follow(ledger, now.epoch, LEASE / 2, LEASE)
        until(lambda: hosts.served_by("far", request_body) == {"champion"}, "the lease to end the canary over there")
        assert platform.clock.now() >= lease
        assert hosts.route("far")["epoch"] == route.epoch  # by its lease, not by the ledger
        assert all_follow(ledger, now.epoch, LEASE, LEASE)

        hosts.network.plug("far")
        until(lambda: epochs(ledger) == dict.fromkeys(names, now.epoch), "the host to follow again")
        until(lambda: in_reach(ledger, far), "it to be known to live again")
        assert all_follow(ledger, now.epoch, timedelta(0), LEASE)
    for name, caller in callers.items():
        caller.stop()
        assert caller.failures == []
        assert set().union(*caller.answers) == {"canary", "champion"}
        hosts.end(name)
    assert_every_answer_was_logged(hosts, callers, tmp_path)


def assert_every_answer_was_logged(hosts: Hosts, callers: dict[str, Caller], tmp_path: Path) -> None:
    """The logs of both hosts go into one table; each answer that somebody got is in it once."""
    table = PredictionTable(tmp_path / "table")
    with Platform.open(hosts.folder) as platform:
        for name in callers:
            root = hosts.of(name) / "state" / "predictions" / "log"
            assert move_all(root, table, platform.clock.now()).gaps == 0
    rows = table.read()
    answered = rows.filter(rows["kind"] == "answer")["request_id"].n_unique()
    assert answered >= sum(len(caller.answers) for caller in callers.values())


def test_a_release_that_one_host_cut_off_is_cut_off_on_all(
    hosts: Hosts, request_body: dict[str, Any], until: Callable[..., Any]
) -> None:
    with Platform.open(hosts.folder) as platform:
        release = puppet_release(platform, hosts.strings)
        put_on_trial(platform, release, RolloutState.CANARY, lease_until=platform.clock.now() + timedelta(hours=1))
        ledger, route = platform.ledger, platform.ledger.get(RouteRecord, "route")
        assert route is not None
        for name in NAMES:
            hosts.start(name)
        until(lambda: epochs(ledger) == dict.fromkeys(NAMES, route.epoch), "both hosts to follow the canary")
        for name in NAMES:
            until(lambda name=name: hosts.ask(name, "/v2/health/live")[0] == 200, f"{name} to listen")
        hosts.strings.write_text("nan")

        def cut_off() -> bool:
            assert "canary" not in hosts.served_by("near", request_body)
            return release in hosts.route("near")["workers"][0]["tripped"]

        until(cut_off, "the first host to cut the canary off")
        until(lambda: release in hosts.route("far")["workers"][0]["tripped"], "the other host, which nobody has asked")
        hosts.strings.write_text("honest")
        assert hosts.served_by("far", request_body) == {"champion"}
        record = ledger.get(StateRecord, f"cuts/{route.epoch}/{release}")
        assert record is not None
        assert record.state["worker"] == "1 on near"
        assert record.state["failures"]


def test_a_leader_that_is_cut_off_is_replaced_and_writes_nothing_more(hosts: Hosts, until: Callable[..., Any]) -> None:
    with Platform.open(hosts.folder) as platform:
        ledger = platform.ledger

        def lead() -> dict[str, Any]:
            found = ledger.get(StateRecord, "leader/controller")
            return {} if found is None else found.state

        hosts.start("near", "controller")
        until(lambda: lead().get("epoch") == 1, "the first controller to lead")
        hosts.start("far", "controller")
        until(lambda: "stands by" in hosts.said("far", "controller"), "the second to stand by")
        assert lead()["epoch"] == 1
        hosts.network.pull("near")
        until(lambda: lead()["epoch"] == 2, "the second controller to lead")
        begun = ledger.length()
        hosts.network.plug("near")
        until(lambda: hosts.running["near", "controller"].poll() is not None, "the first to end")
        later = [entry for entry in ledger.entries(begun) if entry.action == "leader.renew"]
        assert all(entry.facts["epoch"] == 2 for entry in later)
        assert ledger.verify().ok


def test_there_are_no_leftovers_of_namespaces(network: Network) -> None:
    network.close()
    left = subprocess.run([str(namespaces.IP), "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert f"rcl{os.getpid() % 100000}-" not in left
