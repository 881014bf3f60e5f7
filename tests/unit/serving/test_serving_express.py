"""Small requests to prompt models: on the loop's own thread, one batch a turn, the same answers, guard and evidence."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import VirtualClock
from recloser.serving import NAIVE, Gateway, GuardPolicy, Route
from recloser.serving.answer import Scoring
from recloser.serving.batch import Batch, batch_from_arrays
from recloser.serving.http import build_app
from recloser.serving.http.hot import model_asked
from recloser.serving.plane import DataPlane, PlanePolicy

ROUTE = Route(1, "rel-1", "rel-2", 1.0, fallback=("rel-0", *NAIVE))
SHADOWED = Route(1, "rel-1", shadow="rel-2", fallback=("rel-0", *NAIVE))
FAULTS = ("exception", "nan", "x1000", "cross", "far", "inf", "sign", "shape")


class Prompt:
    """A model that says it is prompt; notes by which thread it is asked and about how many rows."""

    prompt = True

    def __init__(self, inner: Any) -> None:
        self.release = inner.release
        self.inner = inner
        self.threads: set[int] = set()
        self.sizes: list[int] = []

    def predict(self, frame: Any) -> np.ndarray:
        self.threads.add(threading.get_ident())
        self.sizes.append(len(frame))
        return self.inner.predict(frame)


def rows(areas: list[str], level: float = 1000.0) -> Batch:
    n = len(areas)
    numbers = {"scale_mw": np.full(n, level), "swing": np.zeros(n), "lag": np.ones(n)}
    return batch_from_arrays(areas, numbers, np.arange(n, dtype=np.int64) * 1_800_000_000)[0]


def prompt_gateway(kit: SimpleNamespace, route: Route = ROUTE, **models: Any) -> tuple[Gateway, dict[str, Prompt]]:
    offsets = {"rel-1": 0.0, "rel-2": 5.0, "rel-0": 9.0, **dict.fromkeys(NAIVE, 20.0)}
    inner = {name: kit.Steady(name, offset) for name, offset in offsets.items()}
    inner |= {name.replace("_", "-"): model for name, model in models.items()}
    loaded = {name: Prompt(model) for name, model in inner.items()}
    return kit.gateway(loaded, route, GuardPolicy(trip_after=10_000, late_after_ms=60_000.0)), loaded


def told(scoring: Scoring) -> list[tuple[Any, ...]]:
    answers = [{name: mw.tobytes() for name, mw in each.items()} for each in scoring.answers]
    incidents = sorted((found.kind, found.reason, found.area or "", found.release or "") for found in scoring.incidents)
    return [*zip(scoring.release, scoring.served_by, scoring.reason, answers, strict=True), tuple(incidents)]


def all_at_once(plane: DataPlane, batches: list[Batch]) -> list[Scoring]:
    async def ask() -> list[Scoring]:
        return await asyncio.gather(*(plane.decide(batch) for batch in batches))

    return asyncio.run(ask())


def test_one_batch_a_turn_on_the_thread_of_the_loop(kit: SimpleNamespace) -> None:
    gate, models = prompt_gateway(kit)
    answers = all_at_once(DataPlane(gate, VirtualClock(kit.NOW)), [rows([area]) for area in "ab"])
    assert [scoring.release for scoring in answers] == [["rel-2"]] * 2
    assert models["rel-1"].threads == models["rel-2"].threads == {threading.get_ident()}
    assert models["rel-1"].sizes == models["rel-2"].sizes == [2]
    assert gate.counts()["answers", "canary", "rel-2"] == 2


def test_many_at_once_go_to_a_thread(kit: SimpleNamespace) -> None:
    gate, models = prompt_gateway(kit)
    assert len(all_at_once(DataPlane(gate, VirtualClock(kit.NOW)), [rows(["a", "b"])] * 100)) == 100
    assert threading.get_ident() not in models["rel-1"].threads
    assert sum(models["rel-1"].sizes) == 200


def test_a_route_that_came_meanwhile_is_not_answered_on_the_loop(kit: SimpleNamespace) -> None:
    gate, models = prompt_gateway(kit)
    plane, slow = DataPlane(gate, VirtualClock(kit.NOW)), Prompt(kit.Steady("rel-1"))
    slow.prompt = False

    async def ask() -> Scoring:
        asked = asyncio.create_task(plane.decide(rows(["a"])))
        await asyncio.sleep(0)
        gate.swap(Route(2, "rel-1", fallback=NAIVE), {**models, "rel-1": slow})
        return await asked

    assert asyncio.run(ask()).release == ["rel-1"]
    assert slow.sizes == [1]
    assert threading.get_ident() not in slow.threads


def test_longer_requests_and_models_that_might_hang_have_their_thread(kit: SimpleNamespace) -> None:
    gate, models = prompt_gateway(kit)
    all_at_once(DataPlane(gate, VirtualClock(kit.NOW)), [rows(["a", "a", "b", "c", "d"])])
    assert threading.get_ident() not in models["rel-1"].threads
    slow = kit.Steady("rel-0")  # the last rung but one: asked rarely, and yet it could hang
    mixed, others = prompt_gateway(kit)
    mixed.swap(Route(2, "rel-1", fallback=("rel-0", *NAIVE)), {**others, "rel-0": slow})
    assert gate.prompt
    assert not mixed.prompt
    all_at_once(DataPlane(mixed, VirtualClock(kit.NOW)), [rows(["a"])])
    assert threading.get_ident() not in others["rel-1"].threads


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "x"]), min_size=1, max_size=4), min_size=1, max_size=3),
    st.sampled_from(FAULTS),
    st.sets(st.sampled_from("ab")),
)
def test_answers_guard_and_incidents_are_those_of_the_gateway_alone(
    kit: SimpleNamespace, requests: list[list[str]], fault: str, hit: set[str]
) -> None:
    batches = [rows(areas) for areas in requests]
    gate, _ = prompt_gateway(kit, rel_2=kit.Faulty("rel-2", fault, sorted(hit)))
    together = all_at_once(DataPlane(gate, VirtualClock(kit.NOW), PlanePolicy(deadline_ms=60_000.0)), batches)
    alone, _ = prompt_gateway(kit, rel_2=kit.Faulty("rel-2", fault, sorted(hit)))
    assert list(map(told, together)) == [told(alone.score(batch, kit.NOW)) for batch in batches]


def test_the_shadow_is_asked_when_the_callers_have_their_answers(kit: SimpleNamespace) -> None:
    gate, models = prompt_gateway(kit, SHADOWED)
    plane, evidence, asked_before = DataPlane(gate, VirtualClock(kit.NOW)), [], []

    async def one(area: str) -> None:
        await plane.decide(rows([area]), note=lambda scoring, _: evidence.append(scoring))
        asked_before.append(len(models["rel-2"].sizes))

    async def ask() -> None:
        await asyncio.gather(one("a"), one("b"))
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(ask())
    assert asked_before == [0, 0]
    assert models["rel-2"].sizes == [2]
    assert [set(scoring.answers[0]) for scoring in evidence] == [{"rel-1", "rel-2"}] * 2


def test_a_caller_that_is_gone_stops_nobody(kit: SimpleNamespace) -> None:
    gate, _ = prompt_gateway(kit)
    plane = DataPlane(gate, VirtualClock(kit.NOW))

    async def ask() -> Scoring:
        gone = asyncio.create_task(plane.decide(rows(["a"])))
        await asyncio.sleep(0)
        gone.cancel()
        return await plane.decide(rows(["b"]))

    assert asyncio.run(ask()).release == ["rel-2"]
    assert plane.waiting == 0
    assert all_at_once(plane, [rows(["c"])])[0].release == ["rel-2"]  # another loop


@pytest.mark.parametrize(
    ("method", "path", "model"),
    [
        ("POST", "/v2/models/forecast/infer", "forecast"),
        ("POST", "/invocations", ""),
        ("GET", "/v2/models/forecast/infer", None),
        ("POST", "/v2/models//infer", None),
        ("POST", "/v2/models/infer", None),
        ("POST", "/v2/models/a/versions/1/infer", None),
        ("POST", "/v2/models/forecast/infer/", None),
    ],
)
def test_the_short_way_takes_inference_only(method: str, path: str, model: str | None) -> None:
    assert model_asked({"type": "http", "method": method, "path": path}) == model
    assert model_asked({"type": "http", "method": method, "path": path, "root_path": "/prefix"}) is None
    assert model_asked({"type": "websocket", "path": path}) is None


def test_the_short_way_ends_where_the_router_leads(kit: SimpleNamespace) -> None:
    app = build_app(kit.service())
    for path, name in (("/v2/models/rel-1/infer", "infer"), ("/invocations", "invocations")):
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path}
        found = [child["endpoint"] for route in app.routes if (child := route.matches(scope)[1])]
        assert [endpoint.__name__ for endpoint in found] == [name]
