"""The trial: open-loop load against a real server, and the checks of what it showed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pytest

from recloser.core import InvalidInput, Refused, Unavailable
from recloser.staging import (
    GatePolicy,
    GoldenTold,
    LoadReport,
    TrialPlan,
    TrialReport,
    check_trial,
    failed_trial,
    judge,
    not_tried,
)
from recloser.staging.trial.load import Target, load_of

POLICY = GatePolicy()


@dataclass
class Echo:
    """A small HTTP server: answers, stalls once, breaks off, or answers otherwise."""

    stall_at: tuple[int, ...] = ()
    stall_s: float = 0.0
    idle_s: float | None = None
    status: int = 200
    seen: int = 0
    port: int = 0
    _ready: threading.Event = field(default_factory=threading.Event)
    _loop: asyncio.AbstractEventLoop | None = None
    _pause: asyncio.Event | None = None

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(self.idle_s):
                    head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
                body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
                self.seen += 1
                assert self._pause is not None
                if self.seen in self.stall_at:
                    self._pause.clear()
                    asyncio.get_running_loop().call_later(self.stall_s, self._pause.set)
                await self._pause.wait()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (self.status, len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            writer.close()

    async def _serve(self) -> None:
        self._pause = asyncio.Event()
        self._pause.set()
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        async with await asyncio.start_server(self._client, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._end.wait()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()


def target(port: int, *bodies: bytes) -> Target:
    return Target("127.0.0.1", port, "/x", bodies or (b"one", b"two"))


def test_every_request_is_sent_once_in_turn_and_every_answer_is_looked_at() -> None:
    looked: list[tuple[int, bytes]] = []
    with Echo() as server:
        report = load_of(target(server.port), 200.0, 0.5, lambda index, body: looked.append((index, body)))
        assert server.seen == report.sent == report.answered == 100
    assert report.errors == {}
    assert report.error_share == 0.0
    assert sorted(looked) == [(k, (b"one", b"two")[k % 2]) for k in range(100)]
    assert 0 < report.p50_ms <= report.p99_ms <= report.p999_ms <= report.largest_ms


def test_a_stall_is_not_left_out_of_the_percentiles() -> None:
    """A closed loop would count one slow request of a hundred; from the meant departure half of them are slow."""
    with Echo(stall_at=(10,), stall_s=0.5) as server:
        report = load_of(target(server.port), 100.0, 1.0)
        assert server.seen == 100
    assert report.answered == 100
    assert report.largest_ms >= 450.0  # the stall itself, which the server is made to take
    assert report.p99_ms > 0.8 * report.largest_ms


def test_connections_that_the_server_closed_when_they_were_idle_are_no_errors() -> None:
    with Echo(stall_at=(5, 150), stall_s=0.3, idle_s=0.6) as server:
        report = load_of(Target("127.0.0.1", server.port, "/x", (b"one",), idle_s=0.2), 100.0, 2.0)
    assert report.errors == {}
    assert report.answered == 200


def test_bad_answers_and_an_absent_server_are_errors() -> None:
    with Echo(status=503) as server:
        report = load_of(target(server.port), 100.0, 0.2)
        port = server.port
    assert report.errors == {"HTTP 503": 20}
    assert report.error_share == 1.0
    with Echo() as server:
        wrong = load_of(target(server.port), 100.0, 0.2, lambda index, _body: "odd" if index % 2 else None)
    assert wrong.errors == {"odd": 10}
    gone = load_of(target(port), 100.0, 0.1)
    assert gone.answered == 0
    assert sum(gone.errors.values()) == 10
    with pytest.raises(InvalidInput, match="without requests"):
        load_of(target(port), 100.0, 0.001)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="the load generator wrk is not installed")
def test_counts_and_rates_agree_with_wrk(tmp_path: Path) -> None:
    script = tmp_path / "post.lua"
    script.write_text('wrk.method = "POST"\nwrk.body = "one"\n', encoding="utf-8")
    with Echo() as server:
        url = f"http://127.0.0.1:{server.port}/x"
        told = subprocess.run(
            ["wrk", "-t1", "-c1", "-d1s", "-s", str(script), url], capture_output=True, text=True, check=True
        ).stdout
        by_wrk = int(next(line for line in told.splitlines() if "requests in" in line).split()[0])
        rate = float(next(line for line in told.splitlines() if line.startswith("Requests/sec")).split()[1])
        assert abs(server.seen - by_wrk) <= 2  # wrk breaks off what is under way at its end
        before = server.seen
        asked = min(200.0, rate / 4)  # well below what the server can do by wrk's own count
        report = load_of(target(server.port, b"one"), asked, 1.0)
        assert server.seen - before == report.answered == report.sent
    assert "Non-2xx" not in told
    assert report.errors == {}
    assert report.answered / report.seconds == pytest.approx(asked, rel=0.5)


LOAD = LoadReport(50.0, 1000, 1000, {}, 5.0, 20.0, 40.0, 41.0, 20.0, 0.0, compared=1000)
GOLDEN = (GoldenTold("process, data frame", 60, agrees=True, reason="equal"),)
REPORT = TrialReport("rel-1", "installed", 4.0, 300.0, GOLDEN, LOAD, {}, {"python": "CPython 3.11.2"})


def test_a_sound_trial_passes_and_reads_back_as_it_was() -> None:
    checks = tuple(check_trial(REPORT, "rel-1", POLICY))
    assert judge(checks).verdict == "pass", judge(checks).reason
    assert {"trial.package", "trial.environment", "trial.golden", "trial.answers", "latency.load", "latency.start"} == {
        check.name for check in checks
    }
    assert TrialReport.from_dict(REPORT.to_dict()) == REPORT


def changed_load(**changes: Any) -> TrialReport:
    return replace(REPORT, load=replace(LOAD, **changes))


@pytest.mark.parametrize(
    ("report", "check", "word"),
    [
        (replace(REPORT, release="rel-2"), "trial.package", "another package"),
        (replace(REPORT, locked={"numpy": ("2.2.0", "2.3.0")}), "trial.environment", "numpy is 2.3.0, locked 2.2.0"),
        (replace(REPORT, golden=(GoldenTold("gateway", 9, agrees=False, reason="row 3"),)), "trial.golden", "row 3"),
        (replace(REPORT, golden=(GoldenTold("gateway", 0, agrees=True, reason="none"),)), "trial.golden", "gateway"),
        (replace(REPORT, golden=()), "trial.golden", "no golden rows"),
        (changed_load(different=1), "trial.answers", "1 answers differ"),
        (changed_load(fallbacks=7), "trial.answers", "7 were given by a fallback"),
        (changed_load(errors={"HTTP 503": 30}), "latency.load", "too many errors (HTTP 503)"),
        (changed_load(p50_ms=900.0), "latency.load", "p50_ms"),
        (changed_load(p99_ms=float("nan")), "latency.load", "p99_ms"),
        (changed_load(p999_ms=9000.0), "latency.load", "p999_ms"),
        (replace(REPORT, start_s=100.0), "latency.start", "too dear"),
        (replace(REPORT, memory_mb=9000.0), "latency.start", "too dear"),
    ],
)
def test_a_bad_trial_is_refused_by_name(report: TrialReport, check: str, word: str) -> None:
    refused = {c.name: c.reason for c in check_trial(report, "rel-1", POLICY) if c.verdict == "refuse"}
    assert list(refused) == [check]
    assert word in refused[check]


def test_few_requests_do_not_judge_the_last_thousandth_and_no_comparison_is_a_hold() -> None:
    few = {c.name: c.verdict for c in check_trial(changed_load(sent=200, p999_ms=9000.0), "rel-1", POLICY)}
    assert few["latency.load"] == "pass"
    none = {c.name: c.verdict for c in check_trial(changed_load(compared=0), "rel-1", POLICY)}
    assert none["trial.answers"] == "hold"


def test_a_trial_that_came_to_nothing_holds_and_a_refused_package_refuses() -> None:
    assert failed_trial(Unavailable("no wheel")).verdict == "hold"
    assert failed_trial(Refused("changed")).verdict == "refuse"
    assert not_tried("a replay").reason == "judged in this process: a replay"


@pytest.mark.parametrize("changes", [{"rate_per_s": 0.0}, {"seconds": -1.0}, {"environment": "conda"}])
def test_a_plan_that_measures_nothing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        TrialPlan(**changes)
