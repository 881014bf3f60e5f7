"""One visit to one server: started, ready, closed loop, memory, open loop, overload, all as records of numbers.

Starts no round and compares nothing: `run.py` does the one, `verdicts.py` the other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from load import Job, Outcome
from peers import QUIET
from processes import Generator, Wrk, cpu_s, free_port, launched, memory_mb, wait_for_answer, wrk

Record = dict[str, Any]
ENOUGH = 1_000
"""Answers from which a quantile of 99.9 % is told."""


MOST_BUSY = 0.8
"""Share of a CPU that the generator may need for an overload."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One server.

    Attributes:
        command: port -> words that start it.
        requests: number of rows -> its requests.
        binary: the same as binary tensors, or None.
        path: of its programs, if it has a virtual environment of its own.
    """

    name: str
    command: Callable[[int], list[str]]
    requests: Callable[[int], list[bytes]]
    binary: Callable[[int], list[bytes]] | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Course:
    """What every server goes through.

    Attributes:
        rows, connections: of the closed loops, each with each.
        seconds, open_seconds: length of a closed and of an open loop.
        loads: shares of the measured capacity for the open loops with even arrivals; at half also with random ones.
        overload: multiple of the capacity for the last loop; 0: none.
        callers, crowd: connections of an open loop, and of the overload.
    """

    rows: tuple[int, ...] = (1, 100)
    connections: tuple[int, ...] = (1, 8, 32)
    seconds: float = 1.0
    open_seconds: float = 1.4
    loads: tuple[float, ...] = (0.25, 0.5, 0.75)
    overload: float = 2.0
    callers: int = 64
    crowd: int = 512


@dataclass(frozen=True, slots=True)
class Visit:
    """A started server on its course."""

    one: Contestant
    course: Course
    generator: Generator
    pid: int
    port: int

    def closed(self) -> list[Record]:
        """Return CPU, rate and latency for each number of rows and connections."""
        pairs = [(rows, connections) for rows in self.course.rows for connections in self.course.connections]
        found = [self._closed(rows, connections, self.one.requests(rows), "json") for rows, connections in pairs]
        if self.one.binary is not None:
            rows = max(self.course.rows)
            requests = self.one.binary(rows)
            found += [self._closed(rows, connections, requests, "binary") for connections in self.course.connections]
        return found

    def _closed(self, rows: int, connections: int, requests: list[bytes], kind: str) -> Record:
        self.generator.do(Job(self.port, requests, connections, self.course.seconds / 6))
        before = cpu_s(self.pid)
        outcome = self.generator.do(Job(self.port, requests, connections, self.course.seconds))
        spent, count = cpu_s(self.pid) - before, answered(self.one, outcome)
        return {
            "kind": f"closed {kind}",
            "rows": rows,
            "connections": connections,
            "requests": count,
            "cpu_us": 1e6 * spent / count,
            "per_s": count / outcome.seconds,
            "p50_ms": outcome.quantile_ms(0.5),
            "p99_ms": outcome.quantile_ms(0.99),
            "generator_cpu_us": 1e6 * outcome.cpu_s / count,
            "generator_busy": outcome.cpu_s / outcome.seconds,
        }

    def open(self, capacity: float) -> list[Record]:
        """Return latency at shares of the capacity (requests of one row a second), evenly, at half randomly too."""
        found = [self._open("open even", capacity, load, self.course.callers) for load in self.course.loads]
        if 0.5 in self.course.loads:
            found.append(self._open("open random", capacity, 0.5, self.course.callers))
        return found

    def overloaded(self, capacity: float, generator_us: float) -> list[Record]:
        """Return what happens when more comes than the server can do; nothing if the generator could not send it."""
        if not self.course.overload or capacity * self.course.overload * generator_us > MOST_BUSY * 1e6:
            return []
        return [self._open("overload", capacity, self.course.overload, self.course.crowd)]

    def _open(self, kind: str, capacity: float, load: float, connections: int) -> Record:
        rate, requests = capacity * load, self.one.requests(1)
        seed = 7 if kind == "open random" else None
        before = cpu_s(self.pid)
        outcome = self.generator.do(
            Job(self.port, requests, connections, self.course.open_seconds, rate=rate, seed=seed)
        )
        sent, good = len(outcome.lags_s), len(outcome.latencies_s)
        return {
            "kind": kind,
            "load": load,
            "rate": rate,
            "sent": sent,
            "accepted_share": good / sent,
            "shed_share": (sum(outcome.statuses.values()) - good) / sent,
            "statuses": {str(status): count for status, count in outcome.statuses.items()},
            "broken": outcome.broken,
            "unanswered": outcome.unanswered,
            "cpu_us": 1e6 * (cpu_s(self.pid) - before) / sent,
            "p50_ms": outcome.quantile_ms(0.5),
            "p99_ms": outcome.quantile_ms(0.99),
            "p999_ms": outcome.quantile_ms(0.999) if good >= ENOUGH else None,
            "tail": outcome.quantile_ms(0.99) / outcome.quantile_ms(0.5),
            "worst_ms": outcome.quantile_ms(1.0),
            "generator_late_p99_ms": 1e3 * float(np.quantile(outcome.lags_s, 0.99)),
            "generator_busy": outcome.cpu_s / outcome.seconds,
        }

    def cross_check(self) -> list[Record]:
        """Return the closed loop of one row with the most connections once more, driven by `wrk` if it is there."""
        connections = max(self.course.connections)
        before = cpu_s(self.pid)
        said = wrk(Job(self.port, self.one.requests(1), connections, self.course.seconds))
        return [] if said is None else [_told(said, cpu_s(self.pid) - before, connections)]


def _told(said: Wrk, spent: float, connections: int) -> Record:
    facts = {"kind": "wrk", "rows": 1, "connections": connections, "requests": said.count, "bad": said.bad}
    return {**facts, "per_s": said.per_s, "cpu_us": 1e6 * spent / max(said.count, 1)}


def visited(one: Contestant, course: Course, generator: Generator, *, extras: bool) -> list[Record]:
    """Start a server, take it through the course and return the records; the extras are overload and cross-check."""
    port = free_port()
    requests = one.requests(1)
    begun = time.monotonic()
    with launched(one.command(port), environment(one)) as process:
        wait_for_answer(process, port, requests[0])
        ready = {"kind": "ready", "wall_s": time.monotonic() - begun, "cpu_s": cpu_s(process.pid)}
        visit = Visit(one, course, generator, process.pid, port)
        found = [ready, *visit.closed()]
        found.append({"kind": "memory", "pss_mb": memory_mb(process.pid)})
        best = max((record for record in found if record.get("rows") == 1), key=lambda record: record["per_s"])
        found += visit.open(best["per_s"])
        if extras:
            found += [*visit.cross_check(), *visit.overloaded(best["per_s"], best["generator_cpu_us"])]
    return [{"server": one.name, **record} for record in found]


def environment(one: Contestant) -> Mapping[str, str]:
    """Return what a server's process is told: one thread for every library, no telemetry, its own programs."""
    return QUIET | ({"PATH": one.path + os.pathsep + os.environ["PATH"]} if one.path else {})


def answered(one: Contestant, outcome: Outcome) -> int:
    """Return how many requests were answered; a server that does not answer all is not compared."""
    bad = {status: count for status, count in outcome.statuses.items() if status != 200}
    if bad or outcome.broken or not outcome.latencies_s:
        raise SystemExit(f"{one.name}: {bad} of {len(outcome.latencies_s)} answers, {outcome.broken} broken")
    return len(outcome.latencies_s)
