"""The local engine: order, records, retries, resuming after a crash at any point, and progress."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.core import InvalidInput, RecloserError, Refused, Unavailable, VirtualClock
from recloser.engines import LocalEngine, RetryPolicy, RunOutcome, StepProgress
from recloser.ledger import Ledger, RunRecord, StepRecord
from recloser.pipelines import Pipeline, Step

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
PARAMETERS = {"as_of": NOW - timedelta(days=1), "scale": (2, 3)}


class Killed(BaseException):
    """Stands for a kill: nothing may handle it."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db?timeout=0.05") as opened:
        yield opened


class Shop:
    """A workbench that counts what is done on it, and three steps that work on it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.inputs: dict[str, Mapping[str, Any]] = {}
        self.before: Callable[[str], None] = lambda _: None

    def step(self, name: str, answer: Callable[[Mapping[str, Any]], Any], *needs: str) -> Step:
        def run(bench: Shop, inputs: Mapping[str, Any]) -> Any:
            bench.before(name)
            bench.done.append(name)
            bench.inputs[name] = inputs
            return answer(inputs)

        return Step(name, run, needs)

    def pipeline(self) -> Pipeline:
        return Pipeline(
            "training",
            (
                self.step("load_data", lambda inputs: {"rows": tuple(inputs["parameters"]["scale"]), "at": NOW}),
                self.step(
                    "train_model", lambda inputs: {"candidate": f"rel-{sum(inputs['load_data']['rows'])}"}, "load_data"
                ),
                self.step("judge_it", lambda inputs: {"verdict": "refuse", **inputs["train_model"]}, "train_model"),
            ),
        )


def engine(ledger: Ledger, **changes: Any) -> LocalEngine:
    seams: dict[str, Any] = {"clock": VirtualClock(NOW), "retry": RetryPolicy(), "sleep": lambda _: None}
    return LocalEngine(ledger, **{**seams, **changes})


def run(local: LocalEngine, shop: Shop, pipeline: Pipeline | None = None, key: str = "run-1") -> RunOutcome:
    return local.run(pipeline or shop.pipeline(), shop, key, "manual", "test", PARAMETERS)


OUTCOME = RunOutcome(
    "run-1",
    "done",
    {
        "load_data": {"rows": [2, 3], "at": "2020-03-01T09:00:00Z"},
        "train_model": {"candidate": "rel-5"},
        "judge_it": {"verdict": "refuse", "candidate": "rel-5"},
    },
    "rel-5",
    "refuse",
)


def actions(ledger: Ledger) -> list[str]:
    return [f"{entry.action} {entry.subject}" for entry in ledger.entries()]


def test_a_run_is_done_in_order_and_recorded(ledger: Ledger) -> None:
    shop = Shop()
    assert run(engine(ledger), shop) == OUTCOME
    assert shop.done == ["load_data", "train_model", "judge_it"]
    assert shop.inputs["judge_it"] == {
        "parameters": {"as_of": "2020-02-29T09:00:00Z", "scale": [2, 3]},
        "train_model": {"candidate": "rel-5"},
    }
    record = ledger.get(RunRecord, "run-1")
    assert record is not None
    assert (record.state, record.candidate, record.verdict, record.finished_at) == ("done", "rel-5", "refuse", NOW)
    assert (record.trigger, record.reason, record.as_of) == ("manual", "test", NOW - timedelta(days=1))
    steps = ledger.find(StepRecord, run="run-1", order_by="position")
    assert [(step.key, step.position, step.state, step.attempts) for step in steps] == [
        ("run-1/load_data", 1, "done", 1),
        ("run-1/train_model", 2, "done", 1),
        ("run-1/judge_it", 3, "done", 1),
    ]
    assert actions(ledger) == [
        "run.start run-1",
        "step.start run-1/load_data",
        "step.done run-1/load_data",
        "step.start run-1/train_model",
        "step.done run-1/train_model",
        "step.start run-1/judge_it",
        "step.done run-1/judge_it",
        "run.done run-1",
    ]
    assert ledger.verify().ok


def test_a_done_run_returns_what_is_stored_and_runs_nothing(ledger: Ledger) -> None:
    run(engine(ledger), Shop())
    shop = Shop()
    assert run(engine(ledger), shop) == OUTCOME
    assert shop.done == []
    assert run(engine(ledger), shop, key="run-2").run == "run-2"
    assert len(shop.done) == 3


class DyingClock:
    """A clock at whose n-th reading the process is killed; the engine reads it before each of its writes."""

    def __init__(self, readings: int) -> None:
        self._left = readings

    def now(self) -> datetime:
        if self._left == 0:
            raise Killed
        self._left -= 1
        return NOW


def test_a_run_killed_at_any_point_resumes_to_the_same_outcome(ledger: Ledger) -> None:
    shop = Shop()
    for readings in itertools.count():
        shop.done.clear()
        key = f"run-{readings}"
        try:
            run(engine(ledger, clock=DyingClock(readings)), shop, key=key)
            break
        except Killed:
            before = {step.name: step for step in ledger.find(StepRecord, run=key, state="done")}
            shop.done.clear()
            outcome = run(engine(ledger), shop, key=key)
            assert outcome.results == OUTCOME.results
            assert not set(before) & set(shop.done), "a step with a result was run again"
            assert set(before) | set(shop.done) == set(OUTCOME.results)
    assert readings > 12
    assert ledger.verify().ok


@pytest.mark.parametrize("name", ["load_data", "train_model", "judge_it"])
def test_a_step_killed_in_its_middle_is_run_again(ledger: Ledger, name: str) -> None:
    shop = Shop()

    def die(step: str) -> None:
        if step == name:
            raise Killed

    shop.before = die
    with pytest.raises(Killed):
        run(engine(ledger), shop)
    record = ledger.get(StepRecord, f"run-1/{name}")
    assert record is not None
    assert (record.state, record.attempts) == ("running", 1)
    shop.before = lambda _: None
    assert run(engine(ledger), shop) == OUTCOME
    assert sorted(shop.done) == sorted(OUTCOME.results)
    again = ledger.get(StepRecord, f"run-1/{name}")
    assert again is not None
    assert (again.state, again.attempts) == ("done", 2)


def failing(errors: list[Exception]) -> Callable[[str], None]:
    def fail(step: str) -> None:
        if step == "train_model" and errors:
            raise errors.pop(0)

    return fail


def test_unavailable_is_tried_again_with_growing_waits(ledger: Ledger) -> None:
    shop, waits = Shop(), []
    shop.before = failing([Unavailable("no server", where="registry"), Unavailable("no server")])
    retry = RetryPolicy(attempts=3, first_s=1.0, factor=3.0)
    assert run(engine(ledger, sleep=waits.append, retry=retry), shop) == OUTCOME
    assert waits == [1.0, 3.0]
    step = ledger.get(StepRecord, "run-1/train_model")
    assert step is not None
    assert (step.state, step.attempts, step.error) == ("done", 3, None)
    told = [entry.facts for entry in ledger.entries(subject="run-1/train_model") if entry.action == "step.retry"]
    assert [(facts["attempt"], facts["wait_s"], facts["where"]) for facts in told] == [
        (1, 1.0, "registry"),
        (2, 3.0, None),
    ]


def test_unavailable_for_too_long_fails_the_run_which_can_be_resumed(ledger: Ledger) -> None:
    shop, waits = Shop(), []
    shop.before = failing([Unavailable("no server")] * 3)
    with pytest.raises(Unavailable, match="no server"):
        run(engine(ledger, sleep=waits.append, retry=RetryPolicy(attempts=2)), shop)
    assert waits == [1.0]
    record = ledger.get(RunRecord, "run-1")
    assert record is not None
    assert (record.state, record.finished_at) == ("failed", NOW)
    assert run(engine(ledger, retry=RetryPolicy(attempts=2)), shop) == OUTCOME
    assert shop.done == ["load_data", "train_model", "judge_it"]
    step = ledger.get(StepRecord, "run-1/train_model")
    assert step is not None
    assert step.attempts == 4
    assert "run.resume run-1" in actions(ledger)


@pytest.mark.parametrize("error", [InvalidInput("bad column", got="x"), Refused("tampered"), ValueError("a bug")])
def test_every_other_error_ends_the_run_at_once_and_is_recorded(ledger: Ledger, error: Exception) -> None:
    shop, waits = Shop(), []
    shop.before = failing([error])
    with pytest.raises(type(error)) as caught:
        run(engine(ledger, sleep=waits.append), shop)
    assert caught.value is error
    assert waits == []
    step, record = ledger.get(StepRecord, "run-1/train_model"), ledger.get(RunRecord, "run-1")
    assert step is not None
    assert record is not None
    assert (step.state, record.state, record.verdict) == ("failed", "failed", None)
    assert step.error is not None
    assert step.error["error"] == type(error).__name__
    assert actions(ledger)[-2:] == ["step.failed run-1/train_model", "run.failed run-1"]
    assert run(engine(ledger), shop) == OUTCOME
    assert shop.done == ["load_data", "train_model", "judge_it"]


def test_a_ledger_that_cannot_be_written_is_not_a_step_to_try_again(ledger: Ledger, tmp_path: Path) -> None:
    shop, waits = Shop(), []
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)

    def lock(step: str) -> None:
        if step == "train_model":
            other.execute("BEGIN IMMEDIATE")
            raise Unavailable("no server")

    shop.before = lock
    with pytest.raises(Unavailable, match="locked"):
        run(engine(ledger, sleep=waits.append), shop)
    other.close()
    assert waits == []
    shop.before = lambda _: None
    assert run(engine(ledger), shop) == OUTCOME


@pytest.mark.parametrize("answer", [None, "text", {"a": object()}, {"verdict": "maybe"}, {"a": "\ud800"}])
def test_a_result_that_is_no_json_mapping_fails_the_step(ledger: Ledger, answer: Any) -> None:
    shop = Shop()
    pipeline = Pipeline("p", (shop.step("say_it", lambda _: answer),))
    with pytest.raises(InvalidInput, match="say_it"):
        run(engine(ledger), shop, pipeline)
    step = ledger.get(StepRecord, "run-1/say_it")
    assert step is not None
    assert step.state == "failed"


def test_a_key_belongs_to_its_parameters(ledger: Ledger) -> None:
    shop = Shop()
    run(engine(ledger), shop)
    with pytest.raises(InvalidInput, match="other parameters"):
        engine(ledger).run(shop.pipeline(), shop, "run-1", "manual", "test", {**PARAMETERS, "scale": [9]})


def test_a_step_whose_inputs_changed_is_run_again(ledger: Ledger) -> None:
    shop = Shop()
    shop.before = failing([ValueError("a bug")])
    with pytest.raises(ValueError, match="a bug"):
        run(engine(ledger), shop)
    repaired = list(shop.pipeline().steps)
    repaired.insert(0, shop.step("check_it", lambda _: {}))
    repaired[1] = shop.step("load_data", lambda _: {"rows": [7]}, "check_it")
    outcome = run(engine(ledger), shop, Pipeline("training", tuple(repaired)))
    assert outcome.candidate == "rel-7"
    assert shop.done == ["load_data", "check_it", "load_data", "train_model", "judge_it"]


def test_nobody_else_can_run_the_key_meanwhile(ledger: Ledger) -> None:
    shop, seen = Shop(), []

    def intrude(step: str) -> None:
        with pytest.raises(Unavailable, match="another process"):
            run(engine(ledger), Shop())
        seen.append(step)

    shop.before = intrude
    assert run(engine(ledger), shop) == OUTCOME
    assert len(seen) == 3


def test_two_engines_that_do_run_one_step_do_not_overwrite_each_other(ledger: Ledger) -> None:
    shop = Shop()

    def overtake(step: str) -> None:
        if step == "train_model":
            record = ledger.get(StepRecord, "run-1/train_model")
            assert record is not None
            with ledger.change("somebody", NOW) as change:
                change.put(record)
                change.note("step.start", record.key)

    shop.before = overtake
    with pytest.raises(Refused, match="somebody else"):
        run(engine(ledger), shop)


def test_progress_tells_each_state_with_its_position_and_seconds(ledger: Ledger) -> None:
    shop, seen = Shop(), list[StepProgress]()
    shop.before = failing([Unavailable("no server"), InvalidInput("bad column")])
    ticks = itertools.count(step=0.5)
    with pytest.raises(InvalidInput):
        run(engine(ledger, progress=seen.append, monotonic=lambda: next(ticks)), shop)
    run(engine(ledger, progress=seen.append), shop)
    assert [(event.name, event.position, event.state) for event in seen] == [
        ("load_data", 1, "running"),
        ("load_data", 1, "done"),
        ("train_model", 2, "running"),
        ("train_model", 2, "retrying"),
        ("train_model", 2, "failed"),
        ("load_data", 1, "reused"),
        ("train_model", 2, "running"),
        ("train_model", 2, "done"),
        ("judge_it", 3, "running"),
        ("judge_it", 3, "done"),
    ]
    assert [event.seconds for event in seen[:2]] == [0.5, 1.0]
    assert seen[4].detail == "bad column."
    assert {(event.run, event.total) for event in seen} == {("run-1", 3)}


@pytest.mark.parametrize("bad", [{"attempts": 0}, {"first_s": -1.0}, {"factor": 0.5}, {"longest_s": -1.0}])
def test_unusable_retry_policies_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(RecloserError):
        RetryPolicy(**bad)


def test_waits_grow_to_the_longest_one() -> None:
    waits = list(RetryPolicy(attempts=5, first_s=2.0, factor=10.0, longest_s=60.0).waits_s())
    assert waits == [2.0, 20.0, 60.0, 60.0, None]
