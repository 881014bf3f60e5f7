"""Scopes, tokens, rates and load, without a socket."""

from __future__ import annotations

import asyncio
import hashlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.serving.http import Access
from recloser.serving.http.admission import Gate, Load, Priority, Rates, TrafficLimits, priority_of, scope_of
from recloser.serving.http.exposition import Meter

PATHS = [
    ("GET", "/v2", "read"),
    ("GET", "/v2/health/live", "read"),
    ("GET", "/v2/health/ready", "read"),
    ("GET", "/v2/models/forecast", "read"),
    ("GET", "/v2/models/rel-1/ready", "read"),
    ("GET", "/metrics", "read"),
    ("GET", "/v1/areas", "read"),
    ("GET", "/v1/areas/a/forecast", "read"),
    ("GET", "/v1/route", "read"),
    ("HEAD", "/v1/route", "read"),
    ("POST", "/v2/models/forecast/infer", "infer"),
    ("POST", "/v2/models/rel-1/infer", "infer"),
    ("POST", "/invocations", "infer"),
    ("POST", "/v1/rollback", "operate"),
    ("DELETE", "/v1/route", "admin"),
    ("POST", "/nowhere", "admin"),
    ("OPTIONS", "/v2", "admin"),
]


def access(*scopes: str) -> Access:
    return Access({hashlib.sha256(b"secret").hexdigest(): ("ann", frozenset(scopes))})


@pytest.mark.parametrize(("method", "path", "needed"), PATHS)
def test_every_path_needs_its_scope_and_no_other_does(
    kit: SimpleNamespace, method: str, path: str, needed: str
) -> None:
    assert scope_of(method, path) == needed
    bare = kit.Client(kit.service(access=access(needed)))
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"}):
        reply = bare(method, path, headers=headers)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"].startswith("Bearer")
    told = {"authorization": "Bearer secret"}
    others = {"infer", "read", "operate"} - {needed}
    assert kit.Client(kit.service(access=access(*others)))(method, path, headers=told).status_code == 403
    for enough in ({needed}, {"admin"}):
        reply = kit.Client(kit.service(access=access(*enough)))(method, path, headers=told)
        assert reply.status_code not in (401, 403)


def test_a_refusal_names_the_owner_of_a_known_token_and_else_the_address() -> None:
    async def judged(header: bytes) -> tuple[str, int]:
        gate = Gate(access("read"), TrafficLimits(), meter=Meter())
        who, refusal = gate.judge(header, "10.0.0.9", "operate", Priority.OTHER)
        return who, 200 if refusal is None else refusal.status

    assert asyncio.run(judged(b"Bearer secret")) == ("ann", 403)
    assert asyncio.run(judged(b"Bearer wrong")) == ("10.0.0.9", 401)
    assert asyncio.run(judged(b"")) == ("10.0.0.9", 401)


def test_events_need_a_token_too(kit: SimpleNamespace) -> None:
    assert kit.Client(kit.service(access=access("infer")))("GET", "/v1/events").status_code == 401


def test_a_caller_is_limited_by_its_token_wherever_it_comes_from(kit: SimpleNamespace) -> None:
    tokens = {hashlib.sha256(name).hexdigest(): (name.decode(), frozenset({"read"})) for name in (b"ann", b"bob")}
    limits = TrafficLimits(requests_per_second=0.001, burst=2)
    client = kit.Client(kit.service(access=Access(tokens), limits=limits))
    told = [client("GET", "/v2", headers={"authorization": f"Bearer {who}"}).status_code for who in ("ann", "bob") * 3]
    assert told == [200, 200, 200, 200, 429, 429]


def test_priorities() -> None:
    assert priority_of("GET", "/v1/areas/a/forecast") == Priority.FORECAST
    assert priority_of("POST", "/v1/rollback") == Priority.FORECAST
    assert priority_of("GET", "/v2/health/live") == Priority.FORECAST
    assert priority_of("GET", "/v1/forecasts") == Priority.FORECAST
    assert priority_of("GET", "/v2/models/forecast/stats") == Priority.OTHER
    assert priority_of("POST", "/v2/models/forecast/infer") == Priority.ROUTED
    assert priority_of("POST", "/invocations") == Priority.ROUTED
    assert priority_of("POST", "/v2/models/rel-2/infer") == Priority.OTHER
    assert priority_of("GET", "/metrics") == Priority.OTHER


@given(st.lists(st.floats(0.0, 5.0), max_size=60), st.integers(1, 5))
def test_no_caller_gets_more_than_burst_and_rate(pauses: list[float], burst: int) -> None:
    now = [0.0]
    rates = Rates(2.0, burst, lambda: now[0])
    passed = 0
    for pause in pauses:
        now[0] += pause
        wait = rates.wait_s("one")
        passed += wait == 0.0
        assert wait <= 0.5
    assert passed <= burst + 2.0 * now[0] + 1e-6


def test_callers_do_not_share_a_bucket_and_their_number_is_bounded() -> None:
    rates = Rates(1.0, 1, lambda: 0.0, most=3)
    assert [rates.wait_s(name) for name in "abc"] == [0.0] * 3
    assert rates.wait_s("a") == 1.0
    assert rates.wait_s("d") == 0.0
    assert rates.wait_s("b") == 0.0  # forgotten, so it begins anew
    assert Rates(0.0, 1, lambda: 0.0).wait_s("x") == 0.0


def test_who_is_shed_first() -> None:
    load = Load(TrafficLimits(concurrent=10, overload_ms=100.0), lambda: 0.0)

    def shed() -> list[Priority]:
        return [priority for priority in Priority if load.too_much(priority)[0]]

    assert shed() == []
    load.under_way = 5
    assert shed() == [Priority.OTHER]
    load.under_way = 8
    assert shed() == [Priority.ROUTED, Priority.OTHER]
    load.under_way = 10
    assert shed() == list(Priority)
    load.under_way = 0
    load.note_late(5.0)
    assert shed() == []  # one pause is no overload
    load.note_late(0.06)
    assert shed() == [Priority.OTHER]
    load.note_late(0.2)
    load.note_late(0.2)
    assert shed() == [Priority.ROUTED, Priority.OTHER]
    for _ in range(3):
        load.note_late(0.0)
    assert shed() == []


def test_another_event_loop_is_measured_anew() -> None:
    now = [0.0]
    load = Load(TrafficLimits(overload_ms=100.0), lambda: now[0])

    async def ask() -> str:
        load.beat()
        return load.too_much(Priority.OTHER)[0]

    assert asyncio.run(ask()) == ""
    load.note_late(9.0)
    load.note_late(9.0)
    assert load.too_much(Priority.OTHER)[0]
    assert asyncio.run(ask()) == ""


@pytest.mark.parametrize("wrong", [{"requests_per_second": -1.0}, {"burst": 0}, {"connections": 0}])
def test_limits_that_let_nothing_pass_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        TrafficLimits(**wrong)  # type: ignore[arg-type]
