"""Slow, big, malformed and too many requests, over real sockets."""

from __future__ import annotations

import json
import threading
import time
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from recloser.serving.http.admission import TrafficLimits

INFER = "/v2/models/forecast/infer"
JSON = {"content_type": "application/json"}
Served = Callable[..., Any]

QUICK = TrafficLimits(header_seconds=0.4, body_seconds=0.4, header_bytes=4096)


def until(reached: Callable[[], bool]) -> None:
    """Wait for what happens behind an answer."""
    for _ in range(500):
        if reached():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def test_a_normal_caller_is_served_again_and_again_on_one_connection(
    kit: SimpleNamespace, served: Served, net: SimpleNamespace
) -> None:
    server = served(kit.service(limits=QUICK))
    wire = server.wire()
    for _ in range(3):
        assert wire.ask("POST", INFER, net.infer_body(["a"]), **JSON).status == 200
    time.sleep(0.6)  # longer than headers may take: an idle connection is not a slow one
    assert wire.ask("GET", "/v2/health/live").status == 200


@pytest.mark.parametrize("start", [b"GET /v2 HTT", b"GET /v2 HTTP/1.1\r\nhost: localhost\r\nx-slow: "])
def test_headers_that_do_not_come_end_the_connection(kit: SimpleNamespace, served: Served, start: bytes) -> None:
    wire = served(kit.service(limits=QUICK)).wire()
    wire.send(start)
    reply = wire.read()
    assert reply.status == 408
    assert reply.problem["title"] == "Request timeout"
    assert reply.headers["connection"] == "close"
    assert wire.read() is None


def test_headers_that_trickle_in_end_the_connection_too(kit: SimpleNamespace, served: Served) -> None:
    wire = served(kit.service(limits=QUICK)).wire()
    wire.send(b"GET /v2 HTTP/1.1\r\n")
    ended = False
    for k in range(400):  # far longer than headers may take
        try:
            wire.send(f"x-{k}: y\r\n".encode())
        except OSError:
            ended = True
            break
        time.sleep(0.05)
    assert ended


def test_the_second_request_of_a_connection_must_come_in_time_as_well(kit: SimpleNamespace, served: Served) -> None:
    wire = served(kit.service(limits=QUICK)).wire()
    assert wire.ask("GET", "/v2").status == 200
    wire.send(b"GET /v2 HTTP/1.1\r\nhost:")
    assert wire.read().status == 408


def test_a_connection_that_says_nothing_is_closed_without_a_word(kit: SimpleNamespace, served: Served) -> None:
    assert served(kit.service(limits=QUICK)).wire().read() is None


def test_a_body_that_does_not_come_ends_the_connection(kit: SimpleNamespace, served: Served) -> None:
    wire = served(kit.service(limits=QUICK)).wire()
    head = (
        f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{{"
    )
    wire.send(head.encode())
    reply = wire.read()
    assert reply.status == 408
    assert "time it has" in reply.problem["detail"]
    assert wire.read() is None


@pytest.mark.parametrize("pieces", [1, 50])
def test_headers_that_are_too_big_are_refused(kit: SimpleNamespace, served: Served, pieces: int) -> None:
    server = served(kit.service(limits=QUICK))
    wire = server.wire()
    content = b"GET /v2 HTTP/1.1\r\nhost: localhost\r\n" + b"x-big: " + b"y" * 8000
    content += b"\r\n\r\n" if pieces == 1 else b""
    step = -(-len(content) // pieces)
    try:
        for start in range(0, len(content), step):
            wire.send(content[start : start + step])
    except OSError:
        pass
    assert wire.read().status == 431
    assert server.ask("GET", "/v2").status == 200


def test_too_many_connections_are_turned_away_and_room_comes_back(kit: SimpleNamespace, served: Served) -> None:
    server = served(kit.service(limits=TrafficLimits(connections=3)))
    wires = [server.wire() for _ in range(3)]
    assert [wire.ask("GET", "/v2").status for wire in wires] == [200] * 3
    reply = server.wire().read()
    assert reply.status == 503
    assert reply.problem["title"] == "Too many connections"
    wires[0].close()
    for _ in range(100):
        late = server.wire()
        late.send(b"GET /v2 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        if late.read().status == 200:
            break
        time.sleep(0.02)
    else:
        raise AssertionError("no room after a connection was closed")


def test_what_is_no_http_is_a_problem(kit: SimpleNamespace, served: Served) -> None:
    wire = served(kit.service()).wire()
    wire.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 nonsense\r\n\r\n")
    assert wire.read().problem["title"] == "Bad request"


DEEP = b'{"inputs":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
BODIES = [
    ("not json", b"\x00\x01", {}, 400),
    ("cut off", b'{"inputs": [', {}, 400),
    ("deep", DEEP, {}, 422),
    ("deep and unknown", b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", {}, 422),
    ("nan", b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [NaN]}]}', {}, 400),
    ("infinity", b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [-Infinity]}]}', {}, 400),
    ("bad utf-8", b'{"id": "\xff\xfe", "inputs": []}', {}, 400),
    ("lone surrogate", b'{"id": "\\ud800", "inputs": []}', {}, 400),
    ("a list", b"[]", {}, 422),
    ("a form", b"a=b", {"content_type": "application/x-www-form-urlencoded"}, 415),
    ("multipart", b"--x", {"content_type": "multipart/form-data; boundary=x"}, 415),
    ("another charset", b"{}", {"content_type": "application/json; charset=utf-16"}, 415),
    ("brotli", b"{}", {"content_encoding": "br"}, 415),
]


@pytest.mark.parametrize("path", [INFER, "/invocations"])
@pytest.mark.parametrize(("body", "headers", "status"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES])
def test_bodies_of_every_wrong_kind_are_problems(
    kit: SimpleNamespace, served: Served, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    server = served(kit.service())
    reply = server.ask("POST", path, body, **{**JSON, **headers})
    assert reply.status in ({status, 400, 422} if status in (400, 422) else {status})
    assert reply.problem["detail"]
    assert len(reply.body) < 4000
    assert server.ask("GET", "/v2/health/live").status == 200


def test_a_huge_body_is_refused_in_bounded_memory(kit: SimpleNamespace, served: Served) -> None:
    server = served(kit.service(body_limit=200_000))
    server.ask("GET", "/v2")
    wire = server.wire()
    wire.send(f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".encode())
    part = b"10000\r\n" + b"[" * 65536 + b"\r\n"
    tracemalloc.start()
    try:
        for _ in range(800):  # 52 MB
            wire.send(part)
    except OSError:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000
    reply = wire.read()
    assert reply is None or reply.status == 413
    assert server.ask("GET", "/v2").status == 200


def test_a_caller_that_is_too_fast_is_told_when_to_come_back(kit: SimpleNamespace, served: Served) -> None:
    server = served(kit.service(limits=TrafficLimits(requests_per_second=0.01, burst=3)))
    wire = server.wire()
    replies = [wire.ask("GET", "/v2") for _ in range(5)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429, 429]
    assert replies[-1].problem["title"] == "Too many requests"
    assert int(replies[-1].headers["retry-after"]) > 90


class Sluggish:
    """A champion that holds up the event loop."""

    release = "rel-1"

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        time.sleep(0.06)
        level = rows["scale_mw"].to_numpy()
        return np.stack([level - 40.0, level, level + 40.0], axis=1)


def test_overload_sheds_inference_at_once_and_still_serves_forecasts(
    kit: SimpleNamespace, served: Served, net: SimpleNamespace
) -> None:
    gate = kit.gateway({"rel-1": Sluggish()})
    server = served(kit.service(gate, limits=TrafficLimits(overload_ms=200.0, concurrent=8)))
    statuses: list[int] = []
    forecasts: list[int] = []
    others: list[int] = []
    over = threading.Event()

    def infer() -> None:
        wire = server.wire()
        while not over.is_set():
            reply = wire.ask("POST", INFER, net.infer_body(["a"]), **JSON)
            statuses.append(reply.status)
            if reply.status == 503:
                assert reply.headers["retry-after"] == "1"
                assert reply.problem["title"] == "Overloaded"

    threads = [threading.Thread(target=infer) for _ in range(12)]
    for thread in threads:
        thread.start()
    wire = server.wire()
    for _ in range(12):
        forecasts.append(wire.ask("GET", "/v1/areas/a/forecast").status)
        others.append(wire.ask("GET", "/v1/route").status)
    over.set()
    for thread in threads:
        thread.join()
    assert set(forecasts) == {200}
    assert set(statuses) == {200, 503}
    assert 503 in others
    text = server.ask("GET", "/metrics")
    while text.status == 503:
        time.sleep(0.05)
        text = server.ask("GET", "/metrics")
    assert b'recloser_http_refused_total{reason="load"}' in text.body


def test_the_audit_is_told_of_every_operation(kit: SimpleNamespace, served: Served) -> None:
    noted: list[Any] = []
    server = served(kit.service(audit=noted.append))
    body = json.dumps({"reason": "looks wrong", "to": None}).encode()
    assert server.ask("POST", "/v1/rollback", body, **JSON).status == 200
    assert server.ask("POST", "/v1/rollback", b"{}", **JSON).status == 422
    assert server.ask("DELETE", "/v1/route").status == 405
    assert server.ask("GET", "/v1/route").status == 200
    until(lambda: len(noted) >= 3)
    told = [(call.actor, call.scope, call.method, call.path, call.status) for call in noted]
    assert sorted(told) == [
        ("127.0.0.1", "admin", "DELETE", "/v1/route", 405),
        ("127.0.0.1", "operate", "POST", "/v1/rollback", 200),
        ("127.0.0.1", "operate", "POST", "/v1/rollback", 422),
    ]
    for _ in range(60):
        server.ask("DELETE", "/v1/route")
    assert len(noted) < 40
    server.ask("POST", "/v1/rollback", body, **JSON)
    until(lambda: any(call.status == 200 and call.unnoted > 20 for call in noted))
