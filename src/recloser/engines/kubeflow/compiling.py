"""Owns the translation of a Pipeline to Kubeflow's IR: inputs, conditions, shards, retries, what tasks are given.

Runs and sends nothing.
"""

from __future__ import annotations

import json
import warnings
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from recloser.core import InvalidInput, Unavailable, canonical_json, digest_of
from recloser.engines.kubeflow.target import KubeflowTarget, Resources, TaskPlan
from recloser.engines.kubeflow.task import recloser_step
from recloser.pipelines import Pipeline, Step

MOST_NEEDS = 8
VERDICT = "Output"  # of a task, beside its result; see `task.py` for the name
INPUTS: dict[str, type] = {
    "run_key": str,
    "as_of": str,
    "trigger": str,
    "history_days": int,
    "excluded": list,
    "parameters": str,
}
DEFAULTS: dict[str, Any] = {
    "run_key": "",
    "as_of": "",
    "trigger": "",
    "history_days": 0,
    "excluded": [],
    "parameters": "{}",
}


def kfp_parts() -> SimpleNamespace:
    """Return the parts of kfp that are used.

    Raises:
        Unavailable: the extra `kubeflow` is not installed.
    """
    try:
        import yaml  # noqa: PLC0415 - comes with kfp
        from google.protobuf import json_format  # noqa: PLC0415 - comes with kfp
        from kfp import compiler, dsl, local  # noqa: PLC0415 - optional extra
        from kfp.local import config  # noqa: PLC0415 - optional extra
        from kfp.pipeline_spec import pipeline_spec_pb2  # noqa: PLC0415 - optional extra
    except ImportError as error:
        raise _missing("Kubeflow Pipelines is not installed", error) from error
    return SimpleNamespace(
        compiler=compiler, dsl=dsl, local=local, configuration=config, yaml=yaml, json=json_format, ir=pipeline_spec_pb2
    )


def compile_pipeline(pipeline: Pipeline, target: KubeflowTarget, path: Path) -> Path:
    """Write the pipeline as KFP v2 IR YAML to `path`, read it back and check it against the IR's definition.

    Inputs, all with a default: `run_key` (text; empty: made of the job's id), `as_of` (text; empty: the newest data),
    `trigger` (text), `history_days` (integer; 0: as the project says), `excluded` (list of areas), `parameters` (a
    JSON text that overrules the others).

    Raises:
        InvalidInput: a step with more than eight needs, or what was written does not validate.
        Unavailable: kfp, or kfp-kubernetes where it is needed, is not installed.
    """
    kfp = kfp_parts()
    return _written(kfp, graph_of(kfp, pipeline, target), path)


def compile_fleet(pipeline: Pipeline, target: KubeflowTarget, projects: Sequence[str], path: Path) -> Path:
    """Write a pipeline that runs the given one for each shard of a fleet, so many at once as the plan says.

    Its input `shards` is a list of {"project", "run_key", "parameters"}, by default one for each of the projects;
    each shard is a project of its own, and its run is a run of that project.

    Raises:
        InvalidInput, Unavailable: as `compile_pipeline`; no shards.
    """
    if not projects:
        raise InvalidInput("a fleet without shards", where="kubeflow.fleet", next_step="Name the projects.")
    kfp = kfp_parts()
    default = [{"project": project, "run_key": "", "parameters": "{}"} for project in projects]

    def fleet(shards: list = default) -> None:  # type: ignore[type-arg]
        with kfp.dsl.ParallelFor(items=shards, parallelism=target.tasks.parallel, name="shard") as shard:
            given = {**DEFAULTS, "run_key": shard.run_key, "parameters": shard.parameters}
            _tasks(kfp, pipeline, target, shard.project, given)

    fleet.__annotations__ = {"shards": list}
    return _written(kfp, kfp.dsl.pipeline(name=dashed(f"{pipeline.name}-fleet"))(fleet), path)


def load_ir(path: Path) -> dict[str, Any]:
    """Return the compiled file as the API takes it: the pipeline alone, or with its platform part.

    Raises:
        InvalidInput: not IR YAML.
        Unavailable: kfp is not installed.
    """
    kfp = kfp_parts()
    try:
        documents = list(kfp.yaml.safe_load_all(path.read_text(encoding="utf-8")))
        pipeline = kfp.json.ParseDict(documents[0], kfp.ir.PipelineSpec())
        platforms = [kfp.json.ParseDict(document, kfp.ir.PlatformSpec()) for document in documents[1:]]
    except (ValueError, LookupError, TypeError, kfp.yaml.YAMLError, kfp.json.Error) as error:
        raise InvalidInput("not Kubeflow's IR", got=str(error)[:300], where=str(path)) from error
    _whole(pipeline, path)
    told: dict[str, Any] = kfp.json.MessageToDict(pipeline)
    if not platforms:
        return told
    return {"pipeline_spec": told, "platform_spec": kfp.json.MessageToDict(platforms[0])}


def graph_of(kfp: SimpleNamespace, pipeline: Pipeline, target: KubeflowTarget) -> Callable[..., Any]:
    """Return the pipeline as a kfp pipeline; its outputs are the results of the steps that always run."""
    # kfp reads the outputs of a pipeline from its annotation; without them a local run returns nothing.
    always = [step.name for step in pipeline.steps if step.when is None]
    answers = namedtuple("answers", always)  # type: ignore[misc]  # noqa: PYI024
    answers.__annotations__ = dict.fromkeys(always, str)

    def tasks(
        run_key: str = "",
        as_of: str = "",
        trigger: str = "",
        history_days: int = 0,
        excluded: list = DEFAULTS["excluded"],  # type: ignore[type-arg]
        parameters: str = "{}",
    ) -> Any:
        given = dict(zip(INPUTS, (run_key, as_of, trigger, history_days, excluded, parameters), strict=True))
        made = _tasks(kfp, pipeline, target, target.project, given)
        return answers(*(made[name].outputs["result"] for name in always))

    tasks.__annotations__ = {**INPUTS, "return": answers}
    graph: Callable[..., Any] = kfp.dsl.pipeline(name=dashed(pipeline.name))(tasks)
    return graph


def task_json(data: Mapping[str, Any]) -> str:
    """Return JSON that kfp passes on unchanged: without the two braces that begin a placeholder of its own."""
    return canonical_json(dict(data)).decode().replace("{{", "{\\u007b")


def dashed(name: str) -> str:
    """Return the name as Kubernetes writes names."""
    return name.replace("_", "-").lower()


def _tasks(
    kfp: SimpleNamespace, pipeline: Pipeline, target: KubeflowTarget, project: Any, given: Mapping[str, Any]
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    before: list[Any] = []
    for step in pipeline.steps:
        if step.when is None:
            made[step.name] = _task(kfp, step, target, {**given, "project": project}, made).after(*before)
            before = [made[step.name]]  # one after the other, as the pipeline says
            continue
        verdict = made[step.when.step].outputs[VERDICT]
        with kfp.dsl.If(verdict == step.when.verdict, name=dashed(f"{step.when.step}-{step.when.verdict}")):
            made[step.name] = _task(kfp, step, target, {**given, "project": project}, made).after(*before)
    return made


def _task(
    kfp: SimpleNamespace, step: Step, target: KubeflowTarget, given: Mapping[str, Any], made: Mapping[str, Any]
) -> Any:
    needed = {f"need_{index}": made[need].outputs["result"] for index, need in enumerate(step.needs)}
    task = _component(kfp, step, target.image)(
        step=step.name,
        entry=target.entry,
        job=kfp.dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        needs=json.dumps(step.needs),
        **given,
        **needed,
    )
    # kfp would also skip steps with side effects; the task itself reuses what the ledger holds for its inputs' digest.
    task.set_caching_options(False)
    plan = target.tasks
    _limit(task, plan.of_step.get(step.name, plan.resources))
    retry = plan.retry
    if retry.attempts > 1:
        task.set_retry(
            num_retries=retry.attempts - 1,
            backoff_duration=f"{retry.first_s:g}s",
            backoff_factor=retry.factor,
            backoff_max_duration=f"{retry.longest_s:g}s",
        )
    if not plan.plain:
        _on_kubernetes(task, plan)
    return task


def _component(kfp: SimpleNamespace, step: Step, image: str) -> Any:
    if len(step.needs) > MOST_NEEDS:
        raise InvalidInput(
            "too many needs for Kubeflow", got=len(step.needs), expected=f"<= {MOST_NEEDS}", where=step.name
        )
    component = kfp.dsl.component(recloser_step, base_image=image, packages_to_install=[], install_kfp_package=False)
    component.name = component.component_spec.name = dashed(step.name)
    return component


def _limit(task: Any, resources: Resources) -> None:
    for given, setter in (
        (resources.cpu_request, task.set_cpu_request),
        (resources.cpu_limit, task.set_cpu_limit),
        (resources.memory_request, task.set_memory_request),
        (resources.memory_limit, task.set_memory_limit),
    ):
        if given is not None:
            setter(given)


def _on_kubernetes(task: Any, plan: TaskPlan) -> None:
    try:
        from kfp import kubernetes  # noqa: PLC0415 - optional extra
    except ImportError as error:
        raise _missing("kfp-kubernetes is not installed; secrets, volumes and time limits need it", error) from error
    for claim, folder in sorted(plan.volumes.items()):
        kubernetes.mount_pvc(task, pvc_name=claim, mount_path=folder)
    for secret in plan.secrets:
        if secret.env:
            kubernetes.use_secret_as_env(task, secret_name=secret.name, secret_key_to_env=dict(secret.env))
        if secret.path is not None:
            kubernetes.use_secret_as_volume(task, secret_name=secret.name, mount_path=secret.path)
    if plan.timeout_s:
        kubernetes.set_timeout(task, seconds=plan.timeout_s)
    if plan.pull_policy:
        kubernetes.set_image_pull_policy(task, plan.pull_policy)


def _written(kfp: SimpleNamespace, graph: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            kfp.compiler.Compiler().compile(graph, str(path))
    except (ValueError, TypeError) as error:
        raise InvalidInput("kfp does not compile the pipeline", got=str(error)[:300], where=str(path)) from error
    except OSError as error:
        raise Unavailable("cannot write the compiled pipeline", got=str(error), where=str(path)) from error
    load_ir(path)
    return path


def _whole(pipeline: Any, path: Path) -> None:
    """Check what the IR's definition leaves open: every task has a component, every component an executor or a DAG."""
    executors = set(pipeline.deployment_spec["executors"].keys()) if pipeline.deployment_spec else set()
    dags = [pipeline.root.dag, *(part.dag for part in pipeline.components.values() if part.HasField("dag"))]
    for dag in dags:
        for name, task in dag.tasks.items():
            component = pipeline.components.get(task.component_ref.name)
            if component is None or not (component.HasField("dag") or component.executor_label in executors):
                raise InvalidInput("a task without a component that runs", got=name, where=str(path))
    if not any(dag.tasks for dag in dags):
        raise InvalidInput("a pipeline without tasks", where=str(path))


def ir_digest(ir: Mapping[str, Any]) -> str:
    """Return the digest of a compiled pipeline; equal pipelines, equal digests."""
    return digest_of(dict(ir))


def _missing(what: str, error: ImportError) -> Unavailable:
    return Unavailable(what, got=error.name, where="engine kubeflow", next_step="pip install 'recloser[kubeflow]'")
