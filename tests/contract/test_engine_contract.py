"""What every engine promises: the same results for the same steps, here and under Kubeflow's local runner."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from recloser.core import VirtualClock
from recloser.engines import Engine, KubeflowEngine, KubeflowTarget, LocalEngine, RetryPolicy
from recloser.ledger import Ledger, RunRecord
from recloser.pipelines import Pipeline, Step

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)

# The steps of a project: plain functions, and the entry point through which a task of its own process calls them.
PROJECT = """
import json, pathlib

def load_data(bench, inputs):
    scale = inputs["parameters"]["scale"]
    return {"numbers": [scale * n for n in (1, 2.5, 1e-9)], "text": "Z\\u00fcrich \\"quoted\\" 'x' {{$}} $HOME"}

def add_up(bench, inputs):
    return {"sum": sum(inputs["load_data"]["numbers"]), "text": inputs["load_data"]["text"]}

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


# kfp 2.17.0 uses what newer Pythons and protobuf deprecate; and its runner warns of images it does not use.
KFP = (pytest.mark.services,)


def require_kfp() -> None:
    if importlib.util.find_spec("kfp") is None:
        pytest.skip("the extra 'kubeflow' is not installed")


@pytest.fixture(params=["local", pytest.param("kubeflow", marks=KFP)])
def engine(request: pytest.FixtureRequest, ledger: Ledger, tmp_path: Path) -> Engine:
    if request.param == "local":
        return local_engine(ledger, tmp_path)
    require_kfp()
    return kubeflow_engine(ledger, tmp_path)


def test_results_are_those_of_the_plain_functions(engine: Engine, ledger: Ledger, pipeline: Pipeline) -> None:
    first = pipeline.steps[0].run(None, {"parameters": {"scale": 3}})
    outcome = engine.run(pipeline, None, "run-1", "manual", "test", {"scale": 3})
    assert outcome.results["load_data"] == first
    assert outcome.results["add_up"] == {"sum": 3 + 7.5 + 3e-9, "text": first["text"]}
    assert (outcome.state, outcome.candidate, outcome.verdict) == ("done", "rel-170", "pass")
    record = ledger.get(RunRecord, "run-1")
    assert record is not None
    assert (record.state, record.candidate, record.verdict) == ("done", outcome.candidate, "pass")
    assert ledger.verify().ok
