"""What a compiled pipeline holds for a cluster: inputs, conditions, loops, retries, resources, secrets, volumes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from recloser.core import InvalidInput, Unavailable
from recloser.engines import RetryPolicy
from recloser.engines.kubeflow import (
    KubeflowTarget,
    Resources,
    SecretGiven,
    TaskPlan,
    compile_fleet,
    compile_pipeline,
    ir_digest,
    load_ir,
)
from recloser.pipelines import Pipeline, Step, When

if importlib.util.find_spec("kfp") is None:
    pytest.skip("the extra 'kubeflow' is not installed", allow_module_level=True)

ENTRY = "recloser.app.steps:run_step"


def nothing(_bench: Any, _inputs: Any) -> dict[str, Any]:
    return {}


PIPELINE = Pipeline(
    "small_one",
    (
        Step("load_it", nothing),
        Step("judge", nothing, ("load_it",)),
        Step("register", nothing, ("judge",), When("judge", "pass")),
    ),
)
PLAN = TaskPlan(
    resources=Resources("500m", "2", "512Mi", "1Gi"),
    of_step={"judge": Resources(memory_limit="8Gi")},
    retry=RetryPolicy(attempts=4, first_s=10.0, factor=3.0, longest_s=300.0),
)


def compiled(path: Path, plan: TaskPlan = PLAN) -> dict[str, Any]:
    target = KubeflowTarget("/srv/mygrid", ENTRY, "registry.example/recloser:1", plan)
    return load_ir(compile_pipeline(PIPELINE, target, path / "pipeline.yaml"))


def test_inputs_are_typed_and_have_defaults(tmp_path: Path) -> None:
    inputs = compiled(tmp_path)["root"]["inputDefinitions"]["parameters"]
    assert {name: told["parameterType"] for name, told in inputs.items()} == {
        "run_key": "STRING",
        "as_of": "STRING",
        "trigger": "STRING",
        "history_days": "NUMBER_INTEGER",
        "excluded": "LIST",
        "parameters": "STRING",
    }
    assert all(told["isOptional"] for told in inputs.values())


def test_an_outcome_of_the_gate_is_a_condition(tmp_path: Path) -> None:
    ir = compiled(tmp_path)
    tasks = ir["root"]["dag"]["tasks"]
    (name,) = set(tasks) - {"load-it", "judge"}
    condition = tasks[name]["triggerPolicy"]["condition"]
    assert " ".join(condition.split()) == "inputs.parameter_values['pipelinechannel--judge-Output'] == 'pass'"
    assert list(ir["components"][tasks[name]["componentRef"]["name"]]["dag"]["tasks"]) == ["register"]
    assert set(ir["root"]["outputDefinitions"]["parameters"]) == {"load_it", "judge"}


def test_tasks_have_their_retries_and_resources_and_no_cache_of_kubeflow(tmp_path: Path) -> None:
    ir = compiled(tmp_path)
    task = ir["root"]["dag"]["tasks"]["judge"]
    assert task["retryPolicy"] == {
        "maxRetryCount": 3,
        "backoffDuration": "10s",
        "backoffFactor": 3.0,
        "backoffMaxDuration": "300s",
    }
    assert not task["cachingOptions"].get("enableCache")
    containers = {name: part["container"] for name, part in ir["deploymentSpec"]["executors"].items()}
    assert {part["image"] for part in containers.values()} == {"registry.example/recloser:1"}
    assert containers["exec-load-it"]["resources"]["resourceCpuRequest"] == "500m"
    assert containers["exec-load-it"]["resources"]["resourceMemoryLimit"] == "1Gi"
    own = containers["exec-judge"]["resources"]
    assert {name for name in own if name.startswith("resource")} == {"resourceMemoryLimit"}
    assert not any("pip install" in part for container in containers.values() for part in container["command"])


def test_equal_pipelines_have_equal_digests(tmp_path: Path) -> None:
    first = ir_digest(compiled(tmp_path / "a"))
    assert ir_digest(compiled(tmp_path / "b")) == first
    assert ir_digest(compiled(tmp_path / "c", TaskPlan())) != first


def test_a_fleet_is_a_loop_over_its_projects(tmp_path: Path) -> None:
    target = KubeflowTarget("unused", ENTRY, "image:1", TaskPlan(parallel=7))
    ir = load_ir(compile_fleet(PIPELINE, target, ["/srv/north", "/srv/south"], tmp_path / "fleet.yaml"))
    (task,) = ir["root"]["dag"]["tasks"].values()
    assert task["iteratorPolicy"]["parallelismLimit"] == 7
    shards = ir["root"]["inputDefinitions"]["parameters"]["shards"]
    assert [shard["project"] for shard in shards["defaultValue"]] == ["/srv/north", "/srv/south"]
    with pytest.raises(InvalidInput, match="without shards"):
        compile_fleet(PIPELINE, target, [], tmp_path / "none.yaml")


def test_secrets_volumes_and_time_limits_are_of_kubernetes(tmp_path: Path) -> None:
    if importlib.util.find_spec("kfp.kubernetes") is None:
        pytest.skip("kfp-kubernetes, of the extra 'kubeflow', is not installed")
    plan = TaskPlan(
        timeout_s=600,
        secrets=(SecretGiven("ledger", {"url": "LEDGER_URL"}), SecretGiven("token", path="/var/token")),
        volumes={"grid": "/srv"},
        pull_policy="Always",
    )
    ir = compiled(tmp_path, plan)
    executors = ir["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == {"exec-load-it", "exec-judge", "exec-register"}
    for own in executors.values():
        (volume,) = own["pvcMount"]
        assert (volume["constant"], volume["mountPath"]) == ("grid", "/srv")
        assert own["secretAsEnv"][0]["keyToEnv"] == [{"secretKey": "url", "envVar": "LEDGER_URL"}]
        assert (own["secretAsVolume"][0]["secretName"], own["secretAsVolume"][0]["mountPath"]) == (
            "token",
            "/var/token",
        )
        assert (int(own["activeDeadlineSeconds"]), own["imagePullPolicy"]) == (600, "Always")


def test_without_its_part_of_the_extra_kubernetes_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import kfp

    monkeypatch.delattr(kfp, "kubernetes", raising=False)
    monkeypatch.setitem(sys.modules, "kfp.kubernetes", None)
    with pytest.raises(Unavailable, match="kfp-kubernetes"):
        compiled(tmp_path, TaskPlan(timeout_s=60))


@pytest.mark.parametrize("text", ["", "a: [", "root: 3", "pipelineInfo: {name: x}\nroot: {dag: {}}\n", "- 1\n"])
def test_what_is_no_ir_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        load_ir(path)
