"""The serving benchmark's own arithmetic: what it concludes from records, and how its open loop counts time."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import socket
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SERVING = Path(__file__).parents[3] / "benchmarks" / "serving"
KEY = {"kind": "closed json", "rows": 1, "connections": 32}


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SERVING)
    return importlib.import_module("verdicts")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SERVING)
    return importlib.import_module("load")


def closed(server: str, *costs_us: float) -> list[dict[str, Any]]:
    return [{"server": server, "round": k, **KEY, "cpu_us": cost} for k, cost in enumerate(costs_us)]


def test_a_ratio_is_taken_within_each_round(verdicts: ModuleType) -> None:
    # In the second round the machine was busy and everything cost ten times as much.
    results = verdicts.Results(closed(verdicts.FULL, 10.0, 100.0, 20.0) + closed("mlserver", 80.0, 800.0, 80.0))
    assert results.ratio("cpu_us", verdicts.FULL, "mlserver", **KEY) == verdicts.Spread(0.125, 0.125, 0.25)


def test_a_round_that_one_of_both_missed_does_not_count(verdicts: ModuleType) -> None:
    results = verdicts.Results(closed(verdicts.FULL, 10.0, 30.0) + closed("mlserver", 80.0))
    assert results.ratio("cpu_us", verdicts.FULL, "mlserver", **KEY) == verdicts.Spread(0.125, 0.125, 0.125)


@pytest.mark.parametrize(("cost", "met"), [(10.0, True), (10.1, False)])
def test_the_limit_itself_is_met(verdicts: ModuleType, cost: float, met: bool) -> None:  # noqa: FBT001
    records = closed(verdicts.FULL, cost) + closed("mlserver", 80.0)
    found = {one.target: one for one in verdicts.judged(verdicts.Results(records))}
    assert found["CPU per request / mlserver"].met is met
    assert found["CPU per request / kserve"].met is None
    assert found["CPU per request / kserve"].over is None


def test_the_shadow_is_compared_with_the_evaluation_that_the_split_added(verdicts: ModuleType) -> None:
    costs = {verdicts.GUARD: 100.0, verdicts.SPLIT: 140.0, verdicts.FULL: 150.0, verdicts.ALL: 180.0}
    results = verdicts.Results([record for name, cost in costs.items() for record in closed(name, cost)])
    assert verdicts.shadow_cost(results, KEY).median == pytest.approx(0.75)
    without = verdicts.Results(closed(verdicts.GUARD, 100.0) + closed(verdicts.SPLIT, 140.0))
    assert verdicts.shadow_cost(without, KEY) is None


def test_the_report_says_what_was_missed_and_what_was_not_measured(verdicts: ModuleType) -> None:
    records = closed(verdicts.FULL, 100.0) + closed("mlserver", 400.0)
    text = verdicts.report(verdicts.Results(records))
    assert "| CPU per request / mlserver | 1 row, 32 conn. | 0.25 | 0.125 | missed, 2 times the limit |" in text
    assert "| CPU per request / kserve | 1 row, 32 conn. | - | 0.125 | not measured |" in text


def test_a_number_stands_with_its_spread_where_there_is_one(verdicts: ModuleType) -> None:
    assert str(verdicts.Spread(200.0, 180.0, 240.0)) == "200 ±15%"
    assert str(verdicts.Spread(0.12345, 0.12345, 0.12345)) == "0.123"


def test_even_arrivals_are_even_and_random_ones_keep_the_mean(load: ModuleType) -> None:
    assert load.due_times(4.0, 1.0) == [0.0, 0.25, 0.5, 0.75]
    dues = load.due_times(1_000.0, 20.0, seed=3)
    assert len(dues) == 20_000
    assert all(a < b for a, b in itertools.pairwise(dues))
    assert dues[-1] == pytest.approx(20.0, rel=0.05)


def slow_once(listening: socket.socket, stall_s: float) -> None:
    """Answer the requests of one connection, the first one only after a stall."""
    caller, _ = listening.accept()
    with caller, contextlib.suppress(ConnectionResetError):
        while caller.recv(4096):
            time.sleep(stall_s)
            caller.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            stall_s = 0.0


def test_an_open_loop_counts_from_when_a_request_was_due(load: ModuleType) -> None:
    """A server that answers nothing for 0.3 s delays all that was due meanwhile, not only the one request it holds."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=slow_once, args=(listening, 0.3))
        server.start()
        port = listening.getsockname()[1]
        outcome = load.load(load.Job(port, [load.request("/", b"{}")], 1, seconds=0.1, rate=100.0))
        server.join()
    assert outcome.statuses == {200: 10}
    assert (outcome.broken, outcome.unanswered) == (0, 0)
    assert min(outcome.latencies_s) >= 0.3 - 0.1
