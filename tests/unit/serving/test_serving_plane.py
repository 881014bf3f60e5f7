"""The data plane: batches without added wait, equal answers, late models, callers' deadlines, bounded queue."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import InvalidInput, Unavailable, VirtualClock
from recloser.serving import NAIVE, Gateway, GuardPolicy, Route
from recloser.serving.answer import Scoring
from recloser.serving.batch import Batch, batch_from_arrays
from recloser.serving.plane import DataPlane, PlanePolicy

WAIT_S = 30.0


def rows(areas: Sequence[str], scale: Sequence[float] | None = None, swing: float = 0.0) -> Batch:
    """Return a request with one row per area; areas may repeat, at ascending targets."""
    n = len(areas)
    numbers = {
        "scale_mw": np.array(scale or [1000.0] * n),
        "swing": np.linspace(0.0, swing, n) if swing else np.zeros(n),
        "lag": np.ones(n),
        "row": np.arange(n, dtype=np.float64),
    }
    return batch_from_arrays(areas, numbers, np.arange(n, dtype=np.int64) * 1_800_000_000)[0]


class Gate:
    """A model that waits at a gate on chosen calls; honest otherwise. `sizes` tells the rows of each call."""

    def __init__(self, inner: Any, waits: Callable[[int], bool]) -> None:
        self.release = inner.release
        self.inner = inner
        self.waits = waits
        self.entered = threading.Event()
        self.go = threading.Event()
        self.sizes: list[int] = []

    def predict(self, frame: Any) -> np.ndarray:
        self.sizes.append(len(frame))
        if self.waits(len(self.sizes)):
            self.entered.set()
            assert self.go.wait(WAIT_S)
        return self.inner.predict(frame)


def plane(kit: SimpleNamespace, gate: Gateway, **limits: Any) -> DataPlane:
    return DataPlane(gate, VirtualClock(kit.NOW), PlanePolicy(**limits) if limits else None)


async def entered(model: Gate) -> None:
    assert await asyncio.to_thread(model.entered.wait, WAIT_S)


def told(scoring: Scoring) -> list[tuple[Any, ...]]:
    answers = [{name: mw.tobytes() for name, mw in each.items()} for each in scoring.answers]
    return list(zip(scoring.release, scoring.served_by, scoring.reason, answers, strict=True))


REQUEST = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "x"]), st.sampled_from([1000.0, 900.0, 1e6, float("nan")])),
    min_size=1,
    max_size=6,
)
FAULTS = ("exception", "nan", "x1000", "cross", "far", "inf", "sign")


@settings(max_examples=40, deadline=None)
@given(st.lists(REQUEST, min_size=1, max_size=8), st.sampled_from(FAULTS), st.sets(st.sampled_from("abc")))
def test_answers_in_a_batch_are_those_alone_bit_for_bit(
    kit: SimpleNamespace, requests: list[list[tuple[str, float]]], fault: str, hit: set[str]
) -> None:
    batches = [rows([area for area, _ in request], [scale for _, scale in request]) for request in requests]
    policy = GuardPolicy(trip_after=10_000, late_after_ms=60_000.0)

    def gateway(champion: Any) -> Gateway:
        return kit.gateway({"rel-1": champion, "rel-2": kit.Faulty("rel-2", fault, sorted(hit))}, policy=policy)

    champion = Gate(kit.Steady("rel-1"), lambda call: call == 1)
    whole = plane(kit, gateway(champion), deadline_ms=60_000.0)

    async def ask() -> list[Scoring]:
        first = asyncio.create_task(whole.decide(rows(["a"])))
        await entered(champion)
        others = [asyncio.create_task(whole.decide(batch)) for batch in batches]
        await asyncio.sleep(0)
        champion.go.set()
        await first
        return await asyncio.gather(*others)

    together = asyncio.run(ask())
    alone = gateway(kit.Steady("rel-1"))
    assert [told(scoring)[: len(batch.areas)] for scoring, batch in zip(together, batches, strict=True)] == [
        told(alone.score(batch, kit.NOW)) for batch in batches
    ]
    assert len(champion.sizes) <= 2


def test_what_came_while_the_models_were_busy_goes_as_one_batch(kit: SimpleNamespace) -> None:
    champion = Gate(kit.Steady("rel-1"), lambda call: call == 1)
    whole = plane(kit, kit.gateway({"rel-1": champion}, policy=GuardPolicy(late_after_ms=60_000.0)))

    async def ask() -> None:
        first = asyncio.create_task(whole.decide(rows(["a"])))
        await entered(champion)
        others = [asyncio.create_task(whole.decide(rows(["a", "b"]))) for _ in range(20)]
        await asyncio.sleep(0)
        assert whole.waiting == 21
        champion.go.set()
        await asyncio.gather(first, *others)

    asyncio.run(ask())
    assert champion.sizes == [1, 40]
    assert whole.waiting == 0


@pytest.mark.parametrize(
    ("late", "served_by"), [("rel-2", "champion"), ("rel-1", "fallback:rel-0"), ("shadow", "champion")]
)
def test_a_model_that_hangs_holds_nobody_up_for_long(kit: SimpleNamespace, late: str, served_by: str) -> None:
    name = "rel-2" if late == "shadow" else late
    route = Route(1, "rel-1", shadow="rel-2", fallback=("rel-0", *NAIVE)) if late == "shadow" else None
    hung = Gate(kit.Steady(name), lambda _: True)
    gate = kit.gateway({name: hung}, route, GuardPolicy(late_after_ms=200.0, trip_after=3))
    whole = plane(kit, gate, deadline_ms=60_000.0)

    async def ask() -> list[Scoring]:
        return [await whole.decide(rows(["a"])) for _ in range(4)]

    answers = asyncio.run(ask())
    assert [scoring.served_by for scoring in answers] == [[served_by]] * 4
    if late == "shadow":
        assert answers[0].reason == [""]
    else:
        assert "late: no answer within 200 ms" in answers[0].reason[0]
        assert "late: still busy" in answers[1].reason[0] or late == "rel-2"
    assert gate.tripped == (frozenset() if late == "rel-1" else {name})
    assert gate.counts()["incidents", "late", name] >= 3
    assert hung.sizes == [1]
    hung.go.set()


def test_a_model_that_came_back_is_asked_again(kit: SimpleNamespace) -> None:
    slow = Gate(kit.Steady("rel-2"), lambda call: call == 1)
    gate = kit.gateway({"rel-2": slow}, policy=GuardPolicy(late_after_ms=200.0, trip_after=100))
    whole = plane(kit, gate, deadline_ms=60_000.0)

    async def ask() -> str:
        first = await whole.decide(rows(["a"]))
        assert first.served_by == ["champion"]
        slow.go.set()
        for _ in range(1000):
            scoring = await whole.decide(rows(["a"]))
            if scoring.served_by == ["canary"]:
                return "canary"
            await asyncio.sleep(0.005)
        return "never"

    assert asyncio.run(ask()) == "canary"
    assert gate.tripped == frozenset()


def test_requests_beside_a_hanging_one_are_all_answered_once(kit: SimpleNamespace) -> None:
    hung = Gate(kit.Steady("rel-1"), lambda call: call == 3)
    gate = kit.gateway({"rel-1": hung}, policy=GuardPolicy(late_after_ms=200.0))
    whole = plane(kit, gate, deadline_ms=60_000.0)

    async def ask() -> list[Scoring]:
        async def some(k: int) -> list[Scoring]:
            return [await whole.decide(rows(["abc"[k % 3]])) for _ in range(10)]

        return [scoring for part in await asyncio.gather(*(some(k) for k in range(8))) for scoring in part]

    answers = asyncio.run(ask())
    hung.go.set()
    assert len(answers) == 80
    assert all(scoring.release[0] is not None for scoring in answers)
    assert sum(n for (family, _, _), n in gate.counts().items() if family == "answers") == 80


def test_a_callers_short_time_is_answered_by_a_naive_rung_and_blames_nobody(kit: SimpleNamespace) -> None:
    slow = Gate(kit.Steady("rel-1"), lambda call: call == 1)
    gate = kit.gateway({"rel-1": slow}, policy=GuardPolicy(late_after_ms=60_000.0, trip_after=1))
    whole = plane(kit, gate, deadline_ms=60_000.0)

    async def ask() -> tuple[Scoring, Scoring, Scoring]:
        patient = asyncio.create_task(whole.decide(rows(["a"])))
        await entered(slow)
        hurried = await whole.decide(rows(["b", "a"]), timeout_ms=20.0)
        named = await whole.decide(rows(["b"]), "rel-0", timeout_ms=20.0)
        slow.go.set()
        return await patient, hurried, named

    patient, hurried, named = asyncio.run(ask())
    assert patient.served_by == ["canary"]
    assert hurried.served_by == ["fallback:seasonal_naive"] * 2
    assert "the caller's time is up" in hurried.reason[0]
    assert named.release == [None]
    assert not gate.tripped
    assert {kind for family, kind, _ in gate.counts() if family == "incidents"} == set()


def test_a_request_whose_time_is_up_gets_what_its_own_batch_knows(kit: SimpleNamespace) -> None:
    slow = Gate(kit.Steady("rel-2"), lambda call: call == 1)
    gate = kit.gateway({"rel-2": slow}, policy=GuardPolicy(late_after_ms=60_000.0, trip_after=1))
    whole = plane(kit, gate, deadline_ms=60_000.0)

    async def ask() -> Scoring:
        hurried = await whole.decide(rows(["a"]), timeout_ms=50.0)
        slow.go.set()
        return hurried

    hurried = asyncio.run(ask())
    assert hurried.served_by == ["champion"]
    assert hurried.reason == ["canary rel-2: the caller's time is up"]
    assert not gate.tripped


def test_a_model_asked_by_name_that_hangs_is_unavailable(kit: SimpleNamespace) -> None:
    hung = Gate(kit.Steady("rel-0"), lambda _: True)
    gate = kit.gateway({"rel-0": hung}, policy=GuardPolicy(late_after_ms=200.0))
    whole = plane(kit, gate, deadline_ms=60_000.0)

    async def ask() -> list[Scoring]:
        named = [await whole.decide(rows(["a"]), "rel-0") for _ in range(2)]
        return [*named, await whole.decide(rows(["a"]))]

    first, second, routed = asyncio.run(ask())
    hung.go.set()
    assert (first.release, second.release) == ([None], [None])
    assert "late: no answer" in first.reason[0]
    assert "late: still busy" in second.reason[0]
    assert routed.served_by == ["canary"]


def test_too_many_requests_are_refused_at_once_and_later_ones_answered(kit: SimpleNamespace) -> None:
    slow = Gate(kit.Steady("rel-1"), lambda call: call == 1)
    gate = kit.gateway({"rel-1": slow}, policy=GuardPolicy(late_after_ms=60_000.0))
    whole = plane(kit, gate, deadline_ms=60_000.0, most_waiting=3, most_rows=5)

    async def ask() -> None:
        first = asyncio.create_task(whole.decide(rows(["a"])))
        await entered(slow)
        second = asyncio.create_task(whole.decide(rows(["a", "b", "c"])))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="busy"):
            await whole.decide(rows(["a", "b"]))
        third = asyncio.create_task(whole.decide(rows(["a"])))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="busy"):
            await whole.decide(rows(["a"]))
        slow.go.set()
        await asyncio.gather(first, second, third)
        assert (await whole.decide(rows(["a"]))).served_by == ["canary"]
        assert (await whole.decide(rows(["abcd"[k % 4] for k in range(300)]))).served_by == ["canary"] * 4

    asyncio.run(ask())


def test_batches_not_begun_survive_the_thread_that_hangs(kit: SimpleNamespace) -> None:
    slow = Gate(kit.Steady("rel-1"), lambda call: call == 1)
    hung = Gate(kit.Steady("rel-0"), lambda _: True)
    gate = kit.gateway({"rel-1": slow, "rel-0": hung}, policy=GuardPolicy(late_after_ms=200.0))
    whole = plane(kit, gate, deadline_ms=60_000.0)

    async def ask() -> list[Scoring]:
        first = asyncio.create_task(whole.decide(rows(["a"])))
        await entered(slow)
        named = asyncio.create_task(whole.decide(rows(["b"]), "rel-0"))
        others = [asyncio.create_task(whole.decide(rows([area]))) for area in "abc"]
        await asyncio.sleep(0)
        slow.go.set()
        return await asyncio.gather(first, named, *others)

    answers = asyncio.run(ask())
    hung.go.set()
    assert answers[1].release == [None]
    assert all(answers[k].release[0] is not None for k in (0, 2, 3, 4))
    assert not any("time is up" in scoring.reason[0] for scoring in answers)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), 1e9])
def test_a_time_that_cannot_be_meant_is_refused(kit: SimpleNamespace, wrong: float) -> None:
    with pytest.raises(InvalidInput):
        asyncio.run(plane(kit, kit.gateway()).decide(rows(["a"]), timeout_ms=wrong))
    with pytest.raises(InvalidInput):
        PlanePolicy(deadline_ms=wrong)
    with pytest.raises(InvalidInput):
        PlanePolicy(most_waiting=0)


class Broken(VirtualClock):
    """A clock that fails once."""

    failed = False

    def now(self) -> Any:
        if not self.failed:
            self.failed = True
            raise ZeroDivisionError
        return super().now()


def test_a_defect_of_ours_reaches_its_caller_and_the_next_request_is_answered(kit: SimpleNamespace) -> None:
    whole = DataPlane(kit.gateway(), Broken(kit.NOW))

    async def ask() -> Scoring:
        with pytest.raises(ZeroDivisionError):
            await whole.decide(rows(["a"]))
        return await whole.decide(rows(["a"]))

    assert asyncio.run(ask()).served_by == ["canary"]


def test_a_caller_that_went_away_costs_nothing_more(kit: SimpleNamespace) -> None:
    slow = Gate(kit.Steady("rel-1"), lambda call: call == 1)
    whole = plane(kit, kit.gateway({"rel-1": slow}, policy=GuardPolicy(late_after_ms=60_000.0)))

    async def ask() -> Scoring:
        first = asyncio.create_task(whole.decide(rows(["a"])))
        await entered(slow)
        gone = asyncio.create_task(whole.decide(rows(["b"])))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        slow.go.set()
        await first
        return await whole.decide(rows(["c"]))

    assert asyncio.run(ask()).served_by == ["canary"]
    assert slow.sizes == [1, 1]


def test_a_replaced_model_is_released_and_threads_end_with_the_plane(kit: SimpleNamespace) -> None:
    old = kit.Steady("rel-1")
    gone = weakref.ref(old)
    gate = kit.gateway({"rel-1": old}, Route(1, "rel-1"))
    whole = plane(kit, gate)
    del old

    async def ask(asked: DataPlane) -> None:
        await asked.decide(rows(["a"]))
        gate.swap(Route(2, "rel-2"), {name: kit.Steady(name) for name in ("rel-2", *NAIVE)})
        assert (await asked.decide(rows(["a"]))).release == ["rel-2"]

    asyncio.run(ask(whole))
    gc.collect()
    assert gone() is None
    workers = [lane.worker for lane in (whole._small, whole._bulk) if lane.worker is not None]
    del whole
    gc.collect()
    for worker in workers:
        worker.join(WAIT_S)
        assert not worker.is_alive()
