"""What the log is told of a request that went through the data plane: once, whole, and its own."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

from recloser.core import VirtualClock
from recloser.serving import NAIVE, GuardPolicy, Route
from recloser.serving.answer import Scoring
from recloser.serving.batch import Batch, batch_from_arrays
from recloser.serving.log import AnswerRecord, LogPolicy, PredictionLog, read_segment, segments
from recloser.serving.plane import DataPlane

SHADOWED = Route(1, "rel-1", shadow="rel-2", fallback=("rel-0", *NAIVE))
WAIT_S = 20.0


def rows(areas: list[str], level: float = 1000.0) -> Batch:
    n = len(areas)
    numbers = {"scale_mw": np.full(n, level), "swing": np.zeros(n), "lag": np.ones(n)}
    return batch_from_arrays(areas, numbers, np.arange(n, dtype=np.int64) * 1_800_000_000)[0]


class Notes:
    """Keeps what it is told, and lets one wait for it."""

    def __init__(self, count: int) -> None:
        self.told: list[tuple[str, Scoring]] = []
        self.whole = threading.Event()
        self.count = count

    def of(self, name: str) -> Any:
        def note(scoring: Scoring, decided_at: float) -> None:
            assert decided_at > 0
            self.told.append((name, scoring))
            if len(self.told) >= self.count:
                self.whole.set()

        return note


class Stuck:
    """A model that waits at a gate."""

    def __init__(self, inner: Any) -> None:
        self.release, self.inner, self.go = inner.release, inner, threading.Event()

    def predict(self, frame: Any) -> np.ndarray:
        assert self.go.wait(WAIT_S)
        return self.inner.predict(frame)


def test_each_request_is_told_of_once_with_its_own_answers_and_incidents(kit: SimpleNamespace) -> None:
    gate = kit.gateway(
        {"rel-2": kit.Faulty("rel-2", "nan", ["b"])}, SHADOWED, GuardPolicy(trip_after=10**6, late_after_ms=60_000.0)
    )
    plane, notes = DataPlane(gate, VirtualClock(kit.NOW)), Notes(12)

    async def ask() -> None:
        wanted = [(f"{k}", ["a", "b"] if k % 2 else ["a"]) for k in range(12)]
        await asyncio.gather(*(plane.decide(rows(areas), note=notes.of(name)) for name, areas in wanted))

    asyncio.run(ask())
    assert notes.whole.wait(WAIT_S)
    assert sorted(name for name, _ in notes.told) == sorted(map(str, range(12)))
    for name, scoring in notes.told:
        odd = int(name) % 2 == 1
        assert len(scoring.release) == 1 + odd
        assert set(scoring.answers[0]) == {"rel-1", "rel-2"}  # the shadow too, though it is asked after the answer
        assert [(found.kind, found.area, found.release) for found in scoring.incidents] == (
            [("output", "b", "rel-2")] if odd else []
        )


def test_a_shadow_that_is_late_is_in_the_evidence(kit: SimpleNamespace) -> None:
    stuck = Stuck(kit.Steady("rel-2"))
    gate = kit.gateway({"rel-2": stuck}, SHADOWED, GuardPolicy(late_after_ms=50.0))
    plane, notes = DataPlane(gate, VirtualClock(kit.NOW)), Notes(1)

    async def ask() -> Scoring:
        scoring = await plane.decide(rows(["a"]), note=notes.of("x"))
        for _ in range(400):  # the plane looks after the shadow while requests come
            if notes.whole.is_set():
                break
            await plane.decide(rows(["a"]))
            await asyncio.sleep(0.01)
        return scoring

    assert asyncio.run(ask()).release == ["rel-1"]
    stuck.go.set()
    assert notes.whole.is_set()
    [(_, scoring)] = notes.told
    assert scoring.release == ["rel-1"]
    assert [(found.kind, found.area, found.release) for found in scoring.incidents] == [("late", "a", "rel-2")]


def test_a_caller_whose_time_is_up_is_told_of_as_it_was_answered(kit: SimpleNamespace) -> None:
    stuck = Stuck(kit.Steady("rel-1"))
    gate = kit.gateway({"rel-1": stuck}, Route(1, "rel-1", fallback=NAIVE), GuardPolicy(late_after_ms=5_000.0))
    plane, notes = DataPlane(gate, VirtualClock(kit.NOW)), Notes(1)
    scoring = asyncio.run(plane.decide(rows(["a"]), timeout_ms=60.0, note=notes.of("x")))
    stuck.go.set()
    assert notes.whole.wait(WAIT_S)
    [(_, told)] = notes.told
    assert told.release == scoring.release == ["seasonal_naive"]


def test_a_model_asked_by_name(kit: SimpleNamespace) -> None:
    plane, notes = DataPlane(kit.gateway(), VirtualClock(kit.NOW)), Notes(1)
    asyncio.run(plane.decide(rows(["a"]), "rel-0", note=notes.of("x")))
    assert notes.whole.wait(WAIT_S)
    assert notes.told[0][1].served_by == ["direct"]


def test_a_request_over_http_with_a_shadow_is_logged_whole(kit: SimpleNamespace, tmp_path: Any) -> None:
    log = PredictionLog(tmp_path / "log", LogPolicy(sync="each", pause_s=0.0), VirtualClock(kit.NOW))
    client = kit.Client(kit.service(kit.gateway(route=SHADOWED), log=log))

    def tensor(name: str, kind: str, cell: object) -> dict[str, object]:
        return {"name": name, "shape": [1], "datatype": kind, "data": [cell]}

    inputs = [tensor("area", "BYTES", "a"), tensor("at", "BYTES", "2020-03-02T14:00:00Z")]
    inputs += [tensor(name, "FP64", cell) for name, cell in (("scale_mw", 1000.0), ("swing", 0.0), ("lag", 1.0))]
    answer = client("POST", "/v2/models/forecast/infer", json={"id": "q", "inputs": inputs})
    assert answer.status_code == 200
    assert log.status().durable == 1  # before the answer left
    assert log.close()
    found = [r for s in segments(tmp_path / "log") for _, r in read_segment(s).records if isinstance(r, AnswerRecord)]
    assert [(r.request_id, set(r.areas[0].answers)) for r in found] == [("q", {"rel-1", "rel-2"})]
    assert found[0].latency_us > 0


def test_an_end_in_the_instant_of_an_answer_loses_no_evidence(kit: SimpleNamespace) -> None:
    shadow = Stuck(kit.Steady("rel-2"))
    gate = kit.gateway({"rel-2": shadow}, SHADOWED, GuardPolicy(late_after_ms=20_000.0))
    plane, notes = DataPlane(gate, VirtualClock(kit.NOW)), Notes(5)

    async def ask() -> None:
        await plane.decide(rows(["a"]), note=notes.of("0"))  # answered, and its shadow is still asked
        waiting = [asyncio.create_task(plane.decide(rows(["b"]), note=notes.of(str(k)))) for k in range(1, 4)]
        waiting.append(asyncio.create_task(plane.decide(rows(["b"] * 300), note=notes.of("bulk"))))
        await asyncio.sleep(0.01)
        threading.Timer(0.05, shadow.go.set).start()
        await asyncio.gather(*waiting)

    asyncio.run(ask())
    assert plane.close(WAIT_S)
    assert sorted(name for name, _ in notes.told) == ["0", "1", "2", "3", "bulk"]
    assert all("rel-2" in answers for _, scoring in notes.told for answers in scoring.answers)
    assert plane.close(WAIT_S)


def test_a_shadow_that_hangs_at_the_end_is_blamed_and_does_not_keep_the_rest(kit: SimpleNamespace) -> None:
    shadow = Stuck(kit.Steady("rel-2"))
    gate = kit.gateway({"rel-2": shadow}, SHADOWED, GuardPolicy(late_after_ms=50.0))
    plane, notes = DataPlane(gate, VirtualClock(kit.NOW)), Notes(1)
    asyncio.run(plane.decide(rows(["a"]), note=notes.of("0")))
    try:
        assert plane.close(WAIT_S)
        ((_, scoring),) = notes.told
        assert [(found.kind, found.release) for found in scoring.incidents] == [("late", "rel-2")]
    finally:
        shadow.go.set()


def test_an_end_has_a_limit(kit: SimpleNamespace) -> None:
    shadow = Stuck(kit.Steady("rel-2"))
    gate = kit.gateway({"rel-2": shadow}, SHADOWED, GuardPolicy(late_after_ms=60_000.0))
    plane = DataPlane(gate, VirtualClock(kit.NOW))
    asyncio.run(plane.decide(rows(["a"])))
    try:
        assert not plane.close(0.05)
    finally:
        shadow.go.set()
    assert plane.close(WAIT_S)
