"""The real pipeline of a project comes to the same release here, under Kubeflow's runner, and sent through its API."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from recloser.app import Platform, ingest_file, scaffold
from recloser.connectors.rest import Rest, RestTarget
from recloser.core import VirtualClock, format_utc
from recloser.engines import Engine, KubeflowEngine, KubeflowTarget, LocalEngine, RetryPolicy, RunOutcome
from recloser.engines.kubeflow import ClusterEngine, Following, KubeflowApi
from recloser.ledger import ReleaseRecord, StepRecord, VerdictRecord
from recloser.registry import open_package
from recloser.testing import sample_panel

pytestmark = [pytest.mark.story, pytest.mark.services]

AREA, DAYS = "NORTH", 110
SETTINGS = """
[model]
trees = 80
leaves = 15
max_rows = 5000
calibration_days = 14

[registry]
kind = "folder"
"""
PANEL = sample_panel((AREA,), DAYS)
PARAMETERS = {"as_of": format_utc(PANEL.as_of), "run": "run-digest", "trigger": "api"}
# The tasks import Recloser one after the other; without compiled files each would compile the whole of it.
SLOW = "PYTHONDONTWRITEBYTECODE"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small project with data and a signing key, from which each engine gets a copy."""
    folder = tmp_path_factory.mktemp("digest") / "mygrid"
    scaffold(folder, areas=[AREA], time_zone="UTC")
    file = folder / "recloser.toml"
    text = file.read_text(encoding="utf-8").replace("[staging]\n", "[staging]\nminimum_coverage80 = 20.0\n")
    file.write_text(text + SETTINGS, encoding="utf-8")
    load = PANEL.wide().drop_nulls("load_mw")
    load.write_parquet(folder.parent / "load.parquet")
    columns = {"time": "at", "load": "load_mw", "temperature": "temperature_c", "weather": "forecast"}
    ingest_file(folder, folder.parent / "load.parquet", columns)
    return folder


def copy_of(project: Path, where: Path) -> Path:
    shutil.copytree(project, where / project.name)
    return where / project.name


def run(folder: Path, kind: str, where: Path) -> RunOutcome:
    """Run the project's pipeline under an engine, in virtual time."""
    with Platform.open(folder, clock=VirtualClock(PANEL.as_of)) as platform:
        engine: Engine = LocalEngine(platform.ledger, platform.clock, RetryPolicy(), lambda _: None)
        target = KubeflowTarget(str(folder), "recloser.app.steps:run_step_untried")
        if kind == "kubeflow":
            engine = KubeflowEngine(platform.ledger, platform.clock, target, where / "kfp")
        if kind == "cluster":
            return sent(platform, target, where)
        pipeline, bench = platform.hooks.pipeline(), platform.workbench()
        return engine.run(pipeline, bench, PARAMETERS["run"], "api", "the same release", PARAMETERS)


def sent(platform: Platform, target: KubeflowTarget, where: Path) -> RunOutcome:
    """Send the run to a server of Kubeflow's API, which runs the tasks, and follow it."""
    from recloser.testing.apis.kubeflow_api import KubeflowServer
    from recloser.testing.apis.kubeflow_tasks import TaskRunner

    pipeline = platform.hooks.pipeline()
    with KubeflowServer(TaskRunner(where / "tasks", os.environ).execute) as server:
        api = KubeflowApi(Rest(RestTarget(server.url)))
        engine = ClusterEngine(platform.ledger, platform.clock, target, api, Following("digest", where, poll_s=0.1))
        outcome = engine.run(pipeline, None, PARAMETERS["run"], "api", "the same release", PARAMETERS)
        assert server.complaints == []
    return outcome


@pytest.mark.parametrize("other", ["kubeflow", "cluster"])
def test_the_release_is_the_same_wherever_the_steps_run(
    other: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("kfp") is None:
        pytest.skip("the extra 'kubeflow' is not installed")
    monkeypatch.delenv(SLOW, raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "compiled"))
    folders = {kind: copy_of(project, tmp_path / kind) for kind in ("local", other)}
    outcomes = {kind: run(folder, kind, tmp_path) for kind, folder in folders.items()}
    here, there = outcomes["local"], outcomes[other]

    assert here.candidate is not None
    assert here.verdict == "pass", "the step that waits for the gate's word is not tried"
    assert (there.run, there.state, there.candidate, there.verdict) == (
        here.run,
        here.state,
        here.candidate,
        here.verdict,
    )
    assert list(there.results) == list(here.results)
    assert "skipped" not in there.results["register"]
    for step in ("take_snapshot", "train", "evaluate", "package"):
        assert there.results[step] == here.results[step], step

    packages, records = [], []
    for kind, folder in folders.items():
        with Platform.open(folder, clock=VirtualClock(PANEL.as_of + timedelta(hours=1))) as platform:
            package = open_package(platform.layout.packages / here.candidate, platform.trusted)
            packages.append((package.digest, package.facts.to_bytes()))
            release = platform.ledger.get(ReleaseRecord, here.candidate)
            verdict = platform.ledger.find(VerdictRecord, release=here.candidate)
            steps = platform.ledger.find(StepRecord, run=here.run, order_by="position")
            assert release is not None, kind
            assert [step.state for step in steps] == ["done"] * len(here.results), kind
            records.append((release.digest, release.state, [item.verdict for item in verdict], [s.name for s in steps]))
            assert platform.ledger.verify().ok, kind
    assert packages[0] == packages[1]
    assert records[0] == records[1]


def test_the_compiled_pipeline_names_the_steps_and_the_entry(project: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("kfp") is None:
        pytest.skip("the extra 'kubeflow' is not installed")
    with Platform.open(copy_of(project, tmp_path)) as platform:
        target = KubeflowTarget("/srv/mygrid", "recloser.app.steps:run_step", "registry.example/recloser:1")
        engine = KubeflowEngine(platform.ledger, platform.clock, target, tmp_path / "kfp")
        text = engine.compile(platform.hooks.pipeline(), tmp_path / "candidate.yaml").read_text(encoding="utf-8")
        for step in platform.hooks.pipeline().steps:
            assert step.name.replace("_", "-") in text
    assert "recloser.app.steps:run_step" in text
    assert "registry.example/recloser:1" in text
    assert json.dumps("/srv/mygrid").strip('"') in text
