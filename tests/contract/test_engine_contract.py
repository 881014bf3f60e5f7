"""What every engine promises: the same results for the same steps, here and under Kubeflow's local runner."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from recloser.core import InvalidInput, Refused, Unavailable, VirtualClock
from recloser.engines import Engine, KubeflowEngine, KubeflowTarget, LocalEngine, RetryPolicy
from recloser.ledger import Ledger, RunRecord, StepRecord
from recloser.pipelines import Pipeline, Step

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)

# The steps of a project: plain functions, and the entry point through which a task of its own process calls them.
PROJECT = """
import json, pathlib

def load_data(bench, inputs):
    scale = inputs["parameters"]["scale"]
    return {"numbers": [scale * n for n in (1, 2.5, 1e-9)], "text": "Z\\u00fcrich \\"quoted\\" 'x' {{$}} $HOME"}

def add_up(bench, inputs):
    texts = [inputs["load_data"]["text"], inputs["parameters"]["note"]]
    return {"sum": sum(inputs["load_data"]["numbers"]), "texts": texts}

def judge_it(bench, inputs):
    if inputs["parameters"].get("fail"):
        raise ValueError("asked to fail")
    together = json.dumps([inputs["load_data"], inputs["add_up"]])
    return {"candidate": f"rel-{len(together)}", "verdict": "pass"}

def run_step(project, run_key, step, inputs_json):
    with (pathlib.Path(project) / "called").open("a") as log:
        log.write(f"{run_key} {step}\\n")
    return json.dumps(globals()[step](None, json.loads(inputs_json)))
"""


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "recloser_contract_steps.py").write_text(PROJECT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    module = importlib.import_module("recloser_contract_steps")
    return importlib.reload(module)


@pytest.fixture
def pipeline(steps: ModuleType) -> Pipeline:
    return Pipeline(
        "three_steps",
        (
            Step("load_data", steps.load_data),
            Step("add_up", steps.add_up, ("load_data",)),
            Step("judge_it", steps.judge_it, ("add_up", "load_data")),
        ),
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as opened:
        yield opened


def local_engine(ledger: Ledger, folder: Path) -> Engine:  # noqa: ARG001 - one signature for all engines
    return LocalEngine(ledger, VirtualClock(NOW), RetryPolicy(), lambda _: None)


def kubeflow_engine(ledger: Ledger, folder: Path) -> KubeflowEngine:
    target = KubeflowTarget(str(folder), "recloser_contract_steps:run_step")
    return KubeflowEngine(ledger, VirtualClock(NOW), target, folder / "kfp")


def require_kfp() -> None:
    if importlib.util.find_spec("kfp") is None:
        pytest.skip("the extra 'kubeflow' is not installed")


@pytest.fixture(params=["local", pytest.param("kubeflow", marks=pytest.mark.services)])
def engine(request: pytest.FixtureRequest, ledger: Ledger, tmp_path: Path) -> Engine:
    if request.param == "local":
        return local_engine(ledger, tmp_path)
    require_kfp()
    return kubeflow_engine(ledger, tmp_path)


def test_results_are_those_of_the_plain_functions_and_are_stored(
    engine: Engine, ledger: Ledger, pipeline: Pipeline, tmp_path: Path
) -> None:
    first = pipeline.steps[0].run(None, {"parameters": {"scale": 3}})
    parameters = {"scale": 3, "note": "{{$.inputs}} {{{x}}}"}
    outcome = engine.run(pipeline, None, "run-1", "manual", "test", parameters)
    assert outcome.results["load_data"] == first
    assert outcome.results["add_up"] == {"sum": 3 + 7.5 + 3e-9, "texts": [first["text"], parameters["note"]]}
    together = json.dumps([outcome.results["load_data"], outcome.results["add_up"]])
    assert (outcome.state, outcome.candidate, outcome.verdict) == ("done", f"rel-{len(together)}", "pass")
    record = ledger.get(RunRecord, "run-1")
    assert record is not None
    assert (record.state, record.candidate, record.verdict) == ("done", outcome.candidate, "pass")
    assert ledger.verify().ok

    (tmp_path / "called").unlink(missing_ok=True)
    assert engine.run(pipeline, None, "run-1", "manual", "again", parameters) == outcome
    assert not (tmp_path / "called").exists(), "a done run ran a step"
    with pytest.raises(InvalidInput, match="other parameters"):
        engine.run(pipeline, None, "run-1", "manual", "test", {"scale": 4, "note": ""})


def test_a_failing_step_fails_the_run(engine: Engine, ledger: Ledger, pipeline: Pipeline) -> None:
    expected = ValueError if isinstance(engine, LocalEngine) else Unavailable
    with pytest.raises(expected):
        engine.run(pipeline, None, "run-1", "manual", "test", {"scale": 3, "note": "", "fail": True})
    record = ledger.get(RunRecord, "run-1")
    assert record is not None
    assert (record.state, record.candidate, record.verdict) == ("failed", None, None)


@pytest.mark.services
def test_kubeflow_raises_the_error_that_the_step_recorded(ledger: Ledger, tmp_path: Path, pipeline: Pipeline) -> None:
    require_kfp()
    error = Refused("tampered", where="registry", next_step="Build it again.")
    failed = StepRecord("run-1/judge_it", "run-1", "judge_it", 3, "failed", 1, "", None, error.facts(), NOW, NOW)
    with ledger.change("engine", NOW) as change:
        change.put(failed)
        change.note("step.failed", failed.key)
    engine = kubeflow_engine(ledger, tmp_path)
    with pytest.raises(Refused, match=r"registry: tampered\. Build it again"):
        engine.run(pipeline, None, "run-1", "manual", "test", {"scale": 3, "note": "", "fail": True})


@pytest.mark.services
def test_the_compiled_pipeline_has_a_task_per_step_and_no_caching(
    ledger: Ledger, tmp_path: Path, pipeline: Pipeline
) -> None:
    require_kfp()
    compiled = kubeflow_engine(ledger, tmp_path).compile(pipeline, tmp_path / "pipeline.yaml")
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    raw = yaml.safe_load(compiled.read_text())
    spec = json_format.ParseDict(raw, pipeline_spec_pb2.PipelineSpec())
    assert spec.pipeline_info.name == "three-steps"
    assert set(spec.components) == {"comp-load-data", "comp-add-up", "comp-judge-it"}
    tasks = spec.root.dag.tasks
    assert {name: list(task.dependent_tasks) for name, task in tasks.items()} == {
        "load-data": [],
        "add-up": ["load-data"],
        "judge-it": ["add-up", "load-data"],
    }
    assert not any(task.caching_options.enable_cache for task in tasks.values())
    assert "pip install" not in compiled.read_text()
    assert set(spec.root.output_definitions.parameters) == {"load_data", "add_up", "judge_it"}
    again = kubeflow_engine(ledger, tmp_path).compile(pipeline, tmp_path / "again.yaml")
    assert again.read_bytes() == compiled.read_bytes()


@pytest.mark.services
def test_more_needs_than_a_task_can_take_are_refused(ledger: Ledger, tmp_path: Path, steps: ModuleType) -> None:
    require_kfp()
    many = [Step(f"step_{n}", steps.load_data) for n in range(9)]
    pipeline = Pipeline("p", (*many, Step("last_one", steps.load_data, tuple(step.name for step in many))))
    with pytest.raises(InvalidInput, match="too many needs"):
        kubeflow_engine(ledger, tmp_path).compile(pipeline, tmp_path / "pipeline.yaml")


def test_without_the_extra_kubeflow_is_unavailable(
    ledger: Ledger, tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kfp", None)
    with pytest.raises(Unavailable, match=r"recloser\[kubeflow\]"):
        kubeflow_engine(ledger, tmp_path).compile(pipeline, tmp_path / "pipeline.yaml")


@pytest.mark.parametrize("entry", ["", "module", ":function", "module:", "module:not a name"])
def test_an_entry_point_is_module_and_function(entry: str) -> None:
    with pytest.raises(InvalidInput, match="entry point"):
        KubeflowTarget("/project", entry)


# Forks a runner from a process that has imported everything, kills it at a random moment and starts it again.
RUNNERS = """
import json, os, random, signal, sys, time
from datetime import UTC, datetime
from recloser.core import Unavailable, VirtualClock
from recloser.engines import LocalEngine, RetryPolicy
from recloser.ledger import Ledger
from recloser.pipelines import Pipeline, Step

folder, seed = sys.argv[1:]
NAMES = [f"step_{n}" for n in range(8)]

def step(name, number):
    def run(bench, inputs):
        with open(f"{folder}/log", "a") as log:
            log.write(name + "\\n")
        time.sleep(0.01)
        return {"n": number + sum(result["n"] for need, result in inputs.items() if need != "parameters")}
    return Step(name, run, tuple(NAMES[max(0, number - 2):number]))

def attempt():
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db")
    engine = LocalEngine(ledger, VirtualClock(datetime(2020, 3, 1, tzinfo=UTC)), RetryPolicy(), time.sleep)
    pipeline = Pipeline("sums", tuple(step(name, number) for number, name in enumerate(NAMES)))
    try:
        outcome = engine.run(pipeline, None, "run-1", "manual", "test", {})
    except Unavailable:
        os._exit(3)  # the other one is at it
    with open(f"{folder}/outcome", "w") as file:
        json.dump(outcome.results, file)
    os._exit(0)

def steps_begun():
    return os.path.getsize(f"{folder}/log") // len("step_0\\n") if os.path.exists(f"{folder}/log") else 0

chance, kills = random.Random(int(seed)), 0
codes = []
while 0 not in codes:
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            attempt()
        pids.append(pid)
    if kills < 12:
        aim, end = steps_begun() + chance.choice([0, 1, 1, 2]), time.monotonic() + 5
        while steps_begun() < aim and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.03))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)  # not yet waited for, so it is still ours
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    kills += codes.count(-9)
print(kills, codes)
"""


@pytest.mark.chaos
def test_two_local_runners_killed_again_and_again_come_to_the_one_result(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUNNERS, str(tmp_path), "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 0
    results = json.loads((tmp_path / "outcome").read_text())
    assert [result["n"] for result in results.values()] == [0, 1, 3, 7, 14, 26, 46, 79]
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        found = ledger.verify()
        assert found.ok, found.reason
        finished = [entry.subject for entry in ledger.entries() if entry.action == "step.done"]
        assert finished == [f"run-1/step_{n}" for n in range(8)]
        starts = sum(entry.action == "step.start" for entry in ledger.entries())
        assert len((tmp_path / "log").read_text().splitlines()) <= starts
