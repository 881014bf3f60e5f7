"""What traces cost a request: one gateway process each without, with none kept, a hundredth and all of them kept.

`python benchmarks/traces/run.py [--requests 3000] [--rounds 5] [--rows 1] [--json FILE]`. A small project is made, its
first model serves. CPU time of the gateway's process per request, by the median of the rounds; the servers take turns.
Ratios travel between machines, microseconds do not. The collector takes every span and keeps none.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from recloser.app import Platform, run_pipeline
from recloser.core import jsonable
from recloser.ledger import RouteRecord
from recloser.registry import read_golden
from recloser.testing import small_project

WAYS = {"off": None, "none kept": 0.0, "a hundredth kept": 0.01, "all kept": 1.0}
SERVER = """
import sys
from pathlib import Path
from recloser.app import Platform
from recloser.app.processes.server import Place, serve
from recloser.core import VirtualClock
from recloser.ledger import RouteRecord
folder = Path(sys.argv[1])
with Platform.open(folder) as platform:
    at = platform.ledger.get(RouteRecord, "route").at
serve(folder, Place("127.0.0.1", 0), VirtualClock(at), lambda address: print(address, flush=True))
"""


class Sink(BaseHTTPRequestHandler):
    """Takes spans and forgets them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Gateway:
    """One gateway process; `spend` sends requests over one connection and returns CPU microseconds of each."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        place = urlsplit(self.process.stdout.readline().strip())
        self.link = http.client.HTTPConnection(str(place.hostname), place.port, timeout=600)

    def cpu_s(self) -> float:
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")

    def spend(self, body: bytes, requests: int) -> float:
        before = self.cpu_s()
        for _ in range(requests):
            self.link.request("POST", "/invocations", body, {"content-type": "application/json"})
            response = self.link.getresponse()
            if response.status != 200:
                raise SystemExit(f"status {response.status}: {response.read()[:300]!r}")
            response.read()
        return 1e6 * (self.cpu_s() - before) / requests


def body_of(folder: Path, rows: int) -> bytes:
    """Return a request of golden rows of one area."""
    with Platform.open(folder) as platform:
        route = platform.ledger.get(RouteRecord, "route")
        assert route is not None
        frame = read_golden(platform.load(str(route.champion)).package).rows
    frame = frame.filter(frame["area"] == frame["area"][0]).head(rows).drop("issued_at", "lead_h")
    data = [list(row) for row in frame.iter_rows()]
    return json.dumps({"dataframe_split": jsonable({"columns": frame.columns, "data": data})}).encode()


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recloser-traces-")))
        sink = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Sink))
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        folder = small_project(scratch / "grid")
        run_pipeline(folder, as_of=None, engine="local", progress=lambda _line: None)
        body, settings = body_of(folder, options.rows), (folder / "recloser.toml").read_text(encoding="utf-8")
        servers: dict[str, Gateway] = {}
        for name, share in WAYS.items():
            url = f"http://127.0.0.1:{sink.server_port}/v1/traces"
            told = "" if share is None else f'\n[observability]\ntraces = "{url}"\ntraces_share = {share}\n'
            (folder / "recloser.toml").write_text(settings + told, encoding="utf-8")
            servers[name] = Gateway(folder)
            stack.callback(servers[name].process.terminate)
            servers[name].spend(body, options.requests // 4)
        spent: dict[str, list[float]] = {name: [] for name in servers}
        for number in range(options.rounds):
            for name in list(servers)[:: 1 if number % 2 == 0 else -1]:
                spent[name].append(servers[name].spend(body, options.requests))
        sink.shutdown()
    medians = {name: statistics.median(found) for name, found in spent.items()}
    for name, micros in medians.items():
        ratio = micros / medians["off"]
        spread = f"{min(spent[name]):.0f} to {max(spent[name]):.0f}"
        print(f"{name:<18} {micros:7.0f} us of CPU a request ({spread}), {ratio:.2f} of off")
    if options.json:
        options.json.write_text(json.dumps({"rows": options.rows, "spent_us": spent}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
