"""Measures the gateway beside its peers: one model, one worker, one machine, one server after another.

`python benchmarks/serving/run.py [--seconds 3] [--only NAME ...] [--json FILE] [--PEER-venv DIR ...]`. CPU per request
is the processes' CPU time over the requests they answered; ratios travel between machines, microseconds do not. A peer
runs in a virtual environment of its own (see peers.py for what each needs) and is skipped, with a message, without one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load import Outcome, load, request
from peers import PEERS, prepare
from processes import cpu_s, free_port, memory_mb, ours, started
from world import body, models

PATH = "/v2/models/forecast/infer"
OURS = {
    "ours: guard": [],
    "ours: + canary split": ["--canary", "0.5"],
    "ours: + shadow": ["--shadow"],
    "ours: unbatched": ["--one-by-one"],
}


@dataclass(frozen=True, slots=True)
class Contestant:
    """One server: its command for a port, and the requests it takes."""

    name: str
    command: Callable[[int], list[str]]
    requests: Callable[[int], list[bytes]]
    path: str = ""


def v2(rows: int) -> list[bytes]:
    """Return ten different v2 requests of so many rows."""
    return [request(PATH, body(rows, seed)) for seed in range(2, 12)]


def contestants(options: argparse.Namespace) -> list[Contestant]:
    """Return the echo, ours and those peers whose virtual environment is given."""
    common = ["--folder", str(options.folder), "--trees", str(options.trees)]
    found = [Contestant("echo", lambda port: ours(port, "echo"), v2)]
    for name, flags in OURS.items():
        found.append(Contestant(name, lambda port, flags=flags: ours(port, "ours", *common, *flags), v2))
    for name, peer in PEERS.items():
        venv = getattr(options, f"{name.replace('-', '_')}_venv")
        if venv is None:
            print(f"{name}: skipped, no --{name}-venv given", file=sys.stderr)
            continue
        python = venv / "bin" / "python"
        folder = prepare(peer, python, options.folder, options.trees)
        command = lambda port, peer=peer, python=python, folder=folder: peer.command(python, folder, port)  # noqa: E731
        found.append(Contestant(name, command, peer.requests, f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"))
    return [one for one in found if not options.only or one.name in options.only]


def measure(one: Contestant, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row of numbers per length of request and number of connections."""
    port, found = free_port(), []
    with started(one.command(port), port, {"PATH": one.path} if one.path else None) as process:
        first = load(port, one.requests(1), 1, seconds=options.seconds, most=20)
        answered(one, first)
        ready_s = cpu_s(process.pid)
        for rows in options.rows:
            requests = one.requests(rows)
            for connections in options.connections:
                load(port, requests, connections, seconds=options.seconds / 4)
                before = cpu_s(process.pid)
                outcome = load(port, requests, connections, seconds=options.seconds)
                spent, count = cpu_s(process.pid) - before, answered(one, outcome)
                found.append(
                    {
                        "server": one.name,
                        "rows": rows,
                        "connections": connections,
                        "requests": count,
                        "cpu_us": 1e6 * spent / count,
                        "per_s": count / outcome.seconds,
                        "p50_ms": outcome.quantile_ms(0.5),
                        "p99_ms": outcome.quantile_ms(0.99),
                    }
                )
        held = memory_mb(process.pid)
    return [{**row, "memory_mb": held, "ready_cpu_s": ready_s} for row in found]


def answered(one: Contestant, outcome: Outcome) -> int:
    """Return how many requests were answered; a server that does not answer all is not compared."""
    bad = {status: count for status, count in outcome.statuses.items() if status != 200}
    if bad or outcome.broken or not outcome.latencies_s:
        raise SystemExit(f"{one.name}: {bad} of {len(outcome.latencies_s)} answers, {outcome.broken} broken")
    return len(outcome.latencies_s)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the numbers as text; the last column is CPU per request over that of `ours: + canary split`."""
    reference = {(r["rows"], r["connections"]): r["cpu_us"] for r in rows if r["server"] == "ours: + canary split"}
    titles = ("CPU us", 10), ("req/s", 9), ("p50 ms", 9), ("p99 ms", 9), ("MB", 6), ("ready CPU s", 13), ("ratio", 8)
    lines = [f"{'server':22}{'rows':>5}{'conn':>5}" + "".join(f"{title:>{width}}" for title, width in titles)]
    for row in rows:
        base = reference.get((row["rows"], row["connections"]))
        ratio = "" if base is None else f"{row['cpu_us'] / base:8.2f}"
        lines.append(
            f"{row['server']:22}{row['rows']:5}{row['connections']:5}{row['cpu_us']:10.0f}{row['per_s']:9.0f}"
            f"{row['p50_ms']:9.2f}{row['p99_ms']:9.2f}{row['memory_mb']:6.0f}{row['ready_cpu_s']:13.1f}{ratio}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "recloser-serving-models")
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--json", type=Path)
    for name, peer in PEERS.items():
        parser.add_argument(f"--{name}-venv", type=Path, help=f"virtual environment with {peer.needs}")
    options = parser.parse_args()
    models(options.folder, options.trees)
    rows: list[dict[str, Any]] = []
    for one in contestants(options):
        rows += measure(one, options)
        print(table(rows[-len(options.rows) * len(options.connections) :]), file=sys.stderr)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
