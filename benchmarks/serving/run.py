"""Measures the gateway beside its peers: one model, one worker, one machine, one server after another, in rounds.

`python benchmarks/serving/run.py [--make-venvs DIR | --venvs DIR] [--rounds 3] [--minutes 11] [--only NAME ...]
[--json FILE] [--quick]`. CPU per request is the processes' CPU time over the requests they answered; ratios travel
between machines, microseconds do not. A peer runs in a virtual environment of its own, which `--make-venvs` makes if it
is not there; without one it is skipped, with a message. Every round visits all servers, each second one backwards.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from load import request
from measuring import Contestant, Course, Record, visited
from peers import PEERS, make_homes, prepare, python_of
from processes import Generator, ours
from verdicts import ALL, FULL, GUARD, SPLIT, Results, judged, report
from world import binary_body, body, models

PATH = "/v2/models/forecast/infer"
SPLITTING = ["--canary", "0.5"]
OURS = {GUARD: [], SPLIT: SPLITTING, FULL: [*SPLITTING, "--log"], ALL: [*SPLITTING, "--log", "--shadow"]}
QUICK = Course((1, 5), (1, 4), 0.25, 0.4, (0.25, 0.5), 2.0, 16, 300)


def v2(rows: int) -> list[bytes]:
    """Return ten different v2 requests of so many rows."""
    return [request(PATH, body(rows, seed)) for seed in range(2, 12)]


def v2_binary(rows: int) -> list[bytes]:
    """Return the same as binary tensors."""
    found = []
    for seed in range(2, 12):
        text, head = binary_body(rows, seed)
        found.append(request(PATH, text, f"inference-header-content-length: {head}\r\n", "application/octet-stream"))
    return found


def contestants(options: argparse.Namespace, logs: Path) -> list[Contestant]:
    """Return the echo, ours and those peers whose virtual environment is there."""
    found = [Contestant("echo", lambda port: ours(port, "echo"), v2)]
    for name, flags in OURS.items():
        found.append(Contestant(name, our_command(options, flags, logs), v2, v2_binary if name == FULL else None))
    for name, peer in PEERS.items():
        if options.only and name not in options.only:
            continue
        if options.venvs is None or not python_of(peer, options.venvs).exists():
            print(f"{name}: skipped, no virtual environment (--make-venvs DIR makes it)", file=sys.stderr)
            continue
        python = python_of(peer, options.venvs).absolute()
        folder = prepare(name, peer, python, options.folder.absolute(), options.trees)
        command = lambda port, peer=peer, python=python, folder=folder: peer.command(python, folder, port)  # noqa: E731
        found.append(Contestant(name, command, peer.requests, path=str(python.parent)))
    return [one for one in found if not options.only or one.name in options.only]


def our_command(options: argparse.Namespace, flags: list[str], logs: Path) -> Callable[[int], list[str]]:
    """Return the command of one of ours by port; every start gets a prediction log of its own."""
    common = ["--folder", str(options.folder), "--trees", str(options.trees)]

    def command(port: int) -> list[str]:
        words = [word for flag in flags for word in ([flag, str(logs / str(port))] if flag == "--log" else [flag])]
        return ours(port, "ours", *common, *words)

    return command


def rounds(found: list[Contestant], course: Course, options: argparse.Namespace) -> list[Record]:
    """Return the records of all rounds; none is begun that would not end within the minutes allowed."""
    records: list[Record] = []
    begun, last = time.monotonic(), 0.0
    with Generator() as generator:
        for number in range(options.rounds):
            if time.monotonic() - begun + last > 60.0 * options.minutes:
                print(f"no time for round {number + 1} of {options.rounds}", file=sys.stderr)
                break
            before = time.monotonic()
            for one in found if number % 2 == 0 else reversed(found):
                since = time.monotonic()
                seen = visited(one, course, generator, extras=number == 0)
                records += [{"round": number, **record} for record in seen]
                print(f"round {number + 1}: {one.name}, {time.monotonic() - since:.0f} s", file=sys.stderr, flush=True)
            last = time.monotonic() - before
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=11.0, help="no round is begun that would take longer")
    parser.add_argument("--seconds", type=float, default=Course().seconds, help="of a closed loop")
    parser.add_argument("--open-seconds", type=float, default=Course().open_seconds, help="of an open loop")
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "recloser-serving-models")
    parser.add_argument("--venvs", type=Path, help="where the peers' virtual environments are")
    parser.add_argument(
        "--make-venvs", type=Path, metavar="DIR", help="the same, those missing are made (minutes, 2 GB)"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of: echo, {', '.join([*OURS, *PEERS])}")
    parser.add_argument("--quick", action="store_true", help="one short round with small models")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--report", type=Path, metavar="FILE", help="only print the tables of an earlier --json file")
    options = parser.parse_args()
    if options.report:
        print(report(Results(json.loads(options.report.read_text())["records"])))
        return
    if options.make_venvs is not None:
        options.venvs = options.make_venvs
        make_homes(options.venvs)
    course = Course(seconds=options.seconds, open_seconds=options.open_seconds)
    if options.quick:
        course, options.rounds, options.trees = QUICK, 1, 20
    models(options.folder, options.trees)
    with tempfile.TemporaryDirectory() as logs:
        results = Results(rounds(contestants(options, Path(logs)), course, options))
    print(report(results))
    if options.json:
        verdicts = [verdict.to_dict() for verdict in judged(results)]
        facts = {"cpus": os.cpu_count(), "load": os.getloadavg(), "trees": options.trees}
        text = json.dumps({"machine": facts, "verdicts": verdicts, "records": results.records}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
