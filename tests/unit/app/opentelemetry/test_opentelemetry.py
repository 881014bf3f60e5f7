"""Spans reach a real collector, whole and with their parents; without one nothing is on the way of a request."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from recloser.app import Platform, operator_rollback, run_pipeline
from recloser.app.delivery.channels import channels_of
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.processes.following import RouteFollower
from recloser.app.processes.server import gateway_app, gateway_service
from recloser.core import Unavailable, VirtualClock, jsonable
from recloser.ledger import NoticeRecord, RouteRecord
from recloser.registry import read_golden
from recloser.serving.http import EventBuffer
from recloser.serving.plane import DataPlane
from recloser.testing import small_project

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
pytest.importorskip("opentelemetry.proto", reason="opentelemetry-proto, which decodes spans, is not installed")

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
SERVER, CLIENT, ERROR = 2, 3, 2
"""Numbers of OTLP: kinds of a span, and the status of one that failed."""


@dataclass
class Collector:
    """The collector's process and what it has taken."""

    url: str
    file: Path

    def spans(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the spans so far, of one name if given."""
        found = [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]
        return [span for span in found if name in {None, span["name"]}]

    def only(self, name: str) -> dict[str, Any]:
        (span,) = self.spans(name)
        return span


@contextlib.contextmanager
def collecting(file: Path, *more: str) -> Iterator[Collector]:
    program = Path(__file__).with_name("collector.py")
    command = [sys.executable, str(program), str(file), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        try:
            yield Collector(f"http://127.0.0.1:{port}/v1/traces", file)
        finally:
            process.terminate()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with collecting(tmp_path / "spans.jsonl") as opened:
        yield opened


@pytest.fixture(scope="module")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_project(tmp_path_factory.mktemp("traces") / "grid")
    assert run_pipeline(folder, as_of=None, engine="local", progress=lambda _line: None)["verdict"] == "pass"
    return folder


@pytest.fixture
def served(_served: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_served, tmp_path / "grid"))


def traced(folder: Path, url: str, more: str = "") -> Path:
    file = folder / "recloser.toml"
    told = f'\n[observability]\ntraces = "{url}"\n{more}\n'
    file.write_text(file.read_text(encoding="utf-8") + told, encoding="utf-8")
    return folder


@contextlib.contextmanager
def gateway(folder: Path) -> Iterator[tuple[str, Platform]]:
    """Serve a project on a real port as its gateway process does; spans are sent when the block ends."""
    with Platform.open(folder) as platform:
        route = platform.ledger.get(RouteRecord, "route")
        assert route is not None
        platform.clock = VirtualClock(route.at)
        loop = ControlLoop(platform, LoopOptions())
        RouteFollower(platform, loop, EventBuffer(), 0).begin()
        service = gateway_service(platform, loop, EventBuffer())
        app: Any = gateway_app(service, "127.0.0.1", 0)
        app = app if platform.tracing is None else platform.tracing.web(app)
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", platform
        finally:
            server.should_exit = True
            thread.join(60)
            service.plane.close()
            listening.close()


def body(platform: Platform, rows: int = 1) -> dict[str, Any]:
    """Return a request of golden rows of one area."""
    route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    frame = read_golden(platform.load(str(route.champion)).package).rows
    frame = frame.filter(frame["area"] == "F01").head(rows).drop("issued_at", "lead_h")
    data = [list(row) for row in frame.iter_rows()]
    return {"dataframe_split": jsonable({"columns": frame.columns, "data": data})}


def test_a_request_is_one_trace_from_the_caller_to_the_model(served: Path, collector: Collector) -> None:
    with gateway(traced(served, collector.url)) as (address, platform):
        asked = body(platform)
        answer = httpx.post(f"{address}/invocations", json=asked, headers={"traceparent": SAMPLED}, timeout=300)
        assert answer.status_code == 200, answer.text
        release = str(platform.ledger.get(RouteRecord, "route").champion)  # type: ignore[union-attr]
        for path in ("/metrics", "/v2/health/live", "/v2/health/ready"):
            httpx.get(address + path, timeout=300)
    request, decide, model = (collector.only(n) for n in ("POST invocations", "recloser.decide", "recloser.model"))
    assert len(collector.spans()) == 3  # nothing of metrics and health
    assert {span["trace"] for span in (request, decide, model)} == {TRACE}
    assert (request["parent"], decide["parent"], model["parent"]) == (CALLER, request["span"], decide["span"])
    assert answer.headers["traceresponse"] == f"00-{TRACE}-{request['span']}-01"
    assert request["kind"] == SERVER
    assert request["facts"]["http.response.status_code"] == 200
    assert request["facts"]["recloser.request.id"] == answer.headers["x-request-id"]
    assert decide["facts"]["recloser.release"] == [release]
    assert decide["facts"]["recloser.served_by"] == ["champion"]
    assert decide["facts"]["recloser.areas"] == ["F01"]
    assert (model["facts"]["recloser.release"], model["facts"]["recloser.served"]) == (release, True)
    assert request["began"] <= decide["began"] <= model["began"] <= model["ended"] <= request["ended"]
    assert request["resource"]["service.name"] == "recloser"
    assert request["resource"]["service.namespace"] == "grid"


def test_requests_that_share_a_models_call_have_a_span_each(served: Path, collector: Collector) -> None:
    """Eight rows go to a thread, where what comes together is answered together."""
    with gateway(traced(served, collector.url)) as (address, platform):
        asked = body(platform, 8)

        def ask(number: int) -> None:
            parent = f"00-{number:032x}-{CALLER}-01"
            for _ in range(3):
                answer = httpx.post(f"{address}/invocations", json=asked, headers={"traceparent": parent}, timeout=300)
                assert answer.status_code == 200, answer.text

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    requests = collector.spans("POST invocations")
    assert len(requests) == 24
    for request in requests:
        (decide,) = (span for span in collector.spans("recloser.decide") if span["parent"] == request["span"])
        (model,) = (span for span in collector.spans("recloser.model") if span["parent"] == decide["span"])
        assert {request["trace"], decide["trace"], model["trace"]} == {request["trace"]}
        assert model["facts"]["recloser.rows"] % 8 == 0
        slack = 50_000_000  # wall and monotonic clock are not read at one instant
        assert decide["began"] - slack <= model["began"] <= model["ended"] <= decide["ended"] + slack


def test_what_goes_wrong_is_told(served: Path, collector: Collector) -> None:
    with gateway(traced(served, collector.url)) as (address, platform):
        asked = body(platform)
        place = asked["dataframe_split"]["columns"].index("area")
        asked["dataframe_split"]["data"][0][place] = "NOWHERE"
        assert httpx.post(f"{address}/invocations", json=asked, timeout=300).status_code == 422
        assert httpx.get(f"{address}/nothing/here", timeout=300).status_code == 404
    codes = {
        span["facts"]["url.path"]: span["facts"]["http.response.status_code"]
        for span in collector.spans()
        if span["kind"] == SERVER
    }
    assert codes == {"/invocations": 422, "/nothing/here": 404}
    assert next(name for name, _ in collector.only("recloser.decide")["events"]).startswith("incident ")


@pytest.mark.parametrize(
    ("parent", "share", "kept"),
    [
        (SAMPLED, 0.0, 3),
        (NOT_SAMPLED, 1.0, 0),
        (None, 0.0, 0),
        (None, 1.0, 3),
        ("nonsense", 1.0, 3),
    ],
)
def test_the_callers_decision_counts_before_our_share(
    served: Path, collector: Collector, parent: str | None, share: float, kept: int
) -> None:
    with gateway(traced(served, collector.url, f"traces_share = {share}")) as (address, platform):
        headers = {} if parent is None else {"traceparent": parent}
        answer = httpx.post(f"{address}/invocations", json=body(platform), headers=headers, timeout=300)
        assert answer.status_code == 200
    assert len(collector.spans()) == kept


def test_a_run_is_a_trace_of_its_steps_in_the_trace_that_the_environment_names(
    tmp_path: Path, collector: Collector
) -> None:
    folder = traced(small_project(tmp_path / "fresh"), collector.url)
    done = subprocess.run(
        [sys.executable, "-c", "from recloser.cli.main import run; run()", "run", "--project", str(folder), "--json"],
        env={**os.environ, "TRACEPARENT": SAMPLED},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    run = collector.only("recloser.run")
    assert (run["trace"], run["parent"], run["facts"]["recloser.run"]) == (TRACE, CALLER, told["run"])
    steps = [span for span in collector.spans() if span["name"].startswith("recloser.step ")]
    names = ["take_snapshot", "train", "evaluate", "package", "judge", "attest", "register"]
    assert [span["facts"]["recloser.step"] for span in sorted(steps, key=lambda s: s["began"])] == names
    assert {span["parent"] for span in steps} == {run["span"]}
    assert {span["facts"]["recloser.state"] for span in steps} == {"done"}
    ticks = collector.spans("recloser.rollout.tick")
    first = next(span for span in ticks if span["facts"].get("recloser.release") == told["candidate"])
    (decision,) = (s for s in collector.spans("recloser.rollout.decision") if s["parent"] == first["span"])
    assert any(s["parent"] == first["span"] for s in collector.spans("recloser.rollout.evidence"))
    routes = [s for s in collector.spans("recloser.router.set_route") if s["parent"] == decision["span"]]
    assert [span["facts"]["recloser.route.champion"] for span in routes] == [told["candidate"]]


def test_a_step_that_fails_marks_its_run(tmp_path: Path, collector: Collector) -> None:
    folder = traced(small_project(tmp_path / "fresh"), collector.url)
    with (folder / "pipeline.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef train(rows, feature_names, plan):\n    raise RuntimeError('a bad day')\n")
    with pytest.raises(Exception, match="a bad day"):
        run_pipeline(folder, as_of=None, engine="local", progress=lambda _line: None)
    run, step = collector.only("recloser.run"), collector.only("recloser.step train")
    assert (run["status"], step["status"], step["facts"]["recloser.state"]) == (ERROR, ERROR, "failed")
    assert run["events"][0][0] == "exception"


def test_a_rollback_is_seen_and_a_quiet_tick_is_not(served: Path, collector: Collector) -> None:
    traced(served, collector.url)
    with Platform.open(served) as platform:
        route = platform.ledger.get(RouteRecord, "route")
        assert route is not None
        platform.clock = VirtualClock(route.at)
        loop = ControlLoop(platform, LoopOptions())
        loop.advance()
        told = len(platform.ledger.entries())
        before = platform.tracing
        for _ in range(5):
            loop.advance()
        assert len(platform.ledger.entries()) == told
        assert platform.tracing is before
    ticks = len(collector.spans("recloser.rollout.tick"))
    assert ticks <= 1  # the first brought the route to the gateway
    operator_rollback(served, to=None, reason="a test", actor="ann")
    with Platform.open(served) as platform:
        platform.clock = VirtualClock(route.at)
        ControlLoop(platform, LoopOptions()).advance()
    told_routes = collector.spans("recloser.router.set_route")
    assert told_routes[-1]["facts"]["recloser.route.epoch"] > route.epoch


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(self.headers["traceparent"])  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_notice_carries_its_trace_to_the_webhook(served: Path, collector: Collector) -> None:
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        server.got = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        hook = f'\n[[notify.webhooks]]\nname = "desk"\nurl = "http://127.0.0.1:{server.server_port}/x"\n'
        traced(served, collector.url, hook)
        with Platform.open(served) as platform:
            (channel,) = channels_of(platform)
            now = platform.clock.now()
            channel.send(NoticeRecord("notice-1", now, "recall", "rel-1", {"void_ids": []}), now)
        server.shutdown()
        (parent,) = server.got  # type: ignore[attr-defined]
    span = collector.only("recloser.notice")
    assert parent.startswith(f"00-{span['trace']}-{span['span']}-")
    assert (span["kind"], span["facts"]["recloser.notice"]) == (CLIENT, "notice-1")


def test_a_token_is_sent_and_a_collector_that_is_away_harms_nobody(served: Path, tmp_path: Path) -> None:
    (served / "collector.token").write_text("a-token\n", encoding="utf-8")
    with collecting(tmp_path / "guarded.jsonl", "a-token") as guarded:
        with gateway(traced(served, guarded.url, 'traces_token_file = "collector.token"')) as (address, platform):
            assert httpx.post(f"{address}/invocations", json=body(platform), timeout=300).status_code == 200
        assert len(guarded.spans()) == 3
    with gateway(served) as (address, platform):  # nobody listens there any more
        assert httpx.post(f"{address}/invocations", json=body(platform), timeout=300).status_code == 200


def test_without_a_collector_nothing_is_on_the_way(served: Path) -> None:
    with Platform.open(served) as platform:
        assert platform.tracing is None
        loop = ControlLoop(platform, LoopOptions())
        RouteFollower(platform, loop, EventBuffer(), 0).begin()
        service = gateway_service(platform, loop, EventBuffer())
        assert type(service.plane) is DataPlane
        route = platform.ledger.get(RouteRecord, "route")
        assert route is not None
        assert loop.router.gateway.predictor(str(route.champion)) is platform.load(str(route.champion))
        service.plane.close()
    program = (
        "import sys\nfrom pathlib import Path\nfrom recloser.app import Platform\n"
        f"with Platform.open(Path({str(served)!r})) as platform:\n    assert platform.tracing is None\n"
        "assert 'recloser.app.opentelemetry.provider' not in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_the_extra_it_is_said_what_to_install(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced(served, "http://127.0.0.1:1/v1/traces")
    for name in [name for name in sys.modules if name.startswith("recloser.app.opentelemetry.provider")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with Platform.open(served) as platform, pytest.raises(Unavailable, match=r"extra 'otel'"):
        assert platform.tracing
    assert re.search(r"recloser\[otel\]", Path(served / "recloser.toml").read_text(encoding="utf-8")) is None
