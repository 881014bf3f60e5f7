"""Ledgers under processes that are killed and servers that die."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from recloser.core import InvalidInput, Unavailable
from recloser.ledger import Ledger, PinRecord

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)


def pin(key: str = "p1", version: int = 3) -> PinRecord:
    return PinRecord(key, "samples", version, "d" * 64, "run-1", NOW)


def write(ledger: Ledger, record: object) -> None:
    with ledger.change(actor="test", now=NOW) as change:
        change.put(record)
        change.note("test.put", "x", {"n": 1})


# Forks workers from one process that has imported the ledger, so that only one import is paid for.
WORKERS = """
import json, os, random, signal, sys, time
from datetime import UTC, datetime
from recloser.ledger import Ledger, PinRecord

NOW = datetime(2020, 3, 1, tzinfo=UTC)

def worker(url, name, pipe):
    ledger = Ledger.open(url)
    n = len(ledger.find(PinRecord, owner=name))
    with ledger.hold("worker " + name):
        while True:
            with ledger.change(name, NOW) as change:
                for part in "abc":
                    change.add(PinRecord(f"{name}-{n}-{part}", "t", n, "d" * 2000, name, NOW))
                change.note("pin.add", f"{name}-{n}")
            os.write(pipe, b".")
            n += 3

def start(url, name):
    pipe_in, pipe_out = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(pipe_in)
        worker(url, name, pipe_out)
    os.close(pipe_out)
    return pid, pipe_in

url, rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)
acknowledged = {"x": 0, "y": 0}
for _ in range(rounds):
    running = {name: start(url, name) for name in acknowledged}
    for name, (pid, pipe) in running.items():
        acknowledged[name] += len(os.read(pipe, 1))  # it works, and holds its name
    time.sleep(chance.uniform(0.01, 0.15))
    for name, (pid, pipe) in running.items():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while content := os.read(pipe, 65536):
            acknowledged[name] += len(content)
        os.close(pipe)
print(json.dumps(acknowledged))
"""


@pytest.mark.chaos
def test_kill_9_of_two_writing_processes_leaves_whole_changes_only(ledger_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, ledger_url, "6", "20"], check=True, capture_output=True, text=True, timeout=120
    )
    acknowledged = json.loads(done.stdout)
    with Ledger.open(ledger_url) as ledger:
        found = ledger.verify()
        assert found.ok, found.reason
        records, entries = ledger.find(PinRecord), ledger.entries()
        with ledger.hold("worker x"), ledger.hold("worker y"):
            pass  # a killed holder holds nothing
    named = [key for entry in entries for _, key, _ in entry.records]
    assert sorted(named) == sorted(record.key for record in records)
    assert len(records) == 3 * len(entries)
    for name, changes in acknowledged.items():
        written = sum(entry.actor == name for entry in entries)
        assert 0 < changes <= written <= changes + 6  # at most the change that each kill kept from being acknowledged


@pytest.mark.services
def test_a_server_that_dies_makes_the_ledger_unavailable_until_it_is_back(postgresql_cluster: Any) -> None:
    with Ledger.open(postgresql_cluster.new_place()) as ledger:
        write(ledger, pin())
        postgresql_cluster.stop("immediate")
        try:
            for action in (lambda: write(ledger, pin("p2")), lambda: ledger.get(PinRecord, "p1"), ledger.verify):
                assert_unavailable(action)
        finally:
            postgresql_cluster.start()
        write(ledger, pin("p3"))
        assert [record.key for record in ledger.find(PinRecord)] == ["p1", "p3"]
        assert ledger.verify().ok


def assert_unavailable(action: Callable[[], object]) -> None:
    with pytest.raises(Unavailable) as caught:
        action()
    assert "ledger postgresql" in str(caught.value.where)


@pytest.mark.services
def test_wrong_postgresql_urls_are_explained(postgresql_cluster: Any) -> None:
    with pytest.raises(InvalidInput, match="no such database"):
        Ledger.open(f"postgresql+psycopg://postgres@/nothing?host={postgresql_cluster.folder}")
    with pytest.raises(Unavailable) as caught:
        Ledger.open("postgresql://postgres:secret@/ledger?host=/nowhere")
    assert "secret" not in caught.value.explain()
