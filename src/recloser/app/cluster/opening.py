"""Owns making the cluster's engine of a project file. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable

from recloser.app.platform import Platform
from recloser.connectors.rest import Rest, RestTarget
from recloser.core import Unavailable, unknown_name
from recloser.engines import ProgressListener, RetryPolicy, StepProgress
from recloser.engines.kubeflow import (
    ClusterEngine,
    Following,
    KubeflowApi,
    KubeflowTarget,
    Resources,
    SecretGiven,
    TaskPlan,
)
from recloser.pipelines import Pipeline

ENTRY = "recloser.app.steps:run_step"


def target_of(platform: Platform, pipeline: Pipeline) -> KubeflowTarget:
    """Return what the tasks of this project are given.

    Raises:
        InvalidInput: resources for a step that the pipeline does not have.
    """
    section = platform.project.kubeflow
    names = [step.name for step in pipeline.steps]
    for name in section.steps:
        if name not in names:
            raise unknown_name("step", name, names, "kubeflow.steps")
    plan = TaskPlan(
        resources=Resources(**section.resources.model_dump()),
        of_step={name: Resources(**own.model_dump()) for name, own in section.steps.items()},
        retry=RetryPolicy(attempts=section.retries + 1, first_s=30.0, factor=2.0, longest_s=600.0),
        timeout_s=60 * section.task_timeout_minutes,
        secrets=tuple(SecretGiven(secret.name, secret.env, secret.path) for secret in section.secrets),
        volumes=section.volumes,
        pull_policy=section.pull_policy,
        parallel=section.parallel,
    )
    project = section.project_path or str(platform.layout.root.resolve())
    return KubeflowTarget(project, ENTRY, section.image, plan)


def api_of(platform: Platform) -> KubeflowApi:
    """Return the API of the project file.

    Raises:
        Unavailable: none is configured.
    """
    section, root = platform.project.kubeflow, platform.layout.root
    if section.url is None:
        raise Unavailable(
            "no Kubeflow endpoint is configured",
            where="--engine kubeflow",
            next_step="Set [kubeflow] url in recloser.toml, or use --engine local.",
        )
    token, authorities = (None if name is None else root / name for name in (section.token_file, section.ca_file))
    return KubeflowApi(Rest(RestTarget(section.url, token, authorities)), section.namespace)


def engine_of(platform: Platform, pipeline: Pipeline, say: Callable[[str], None]) -> ClusterEngine:
    """Return the engine that sends this project's runs to its cluster.

    Raises:
        InvalidInput: the project file does not fit the pipeline.
        Unavailable: no cluster is configured.
    """
    section = platform.project.kubeflow
    following = Following(
        experiment=section.experiment,
        folder=platform.layout.state / "kubeflow",
        service_account=section.service_account,
        poll_s=section.poll_seconds,
        patience_s=60 * section.patience_minutes,
        timeout_s=60 * section.follow_minutes,
        progress=telling(say),
    )
    target, api = target_of(platform, pipeline), api_of(platform)
    return ClusterEngine(platform.ledger, platform.clock, target, api, following)


def telling(say: Callable[[str], None]) -> ProgressListener:
    """Return a listener that tells each change of a step in a line."""

    def listen(step: StepProgress) -> None:
        say(f"  {step.run} {step.name} ({step.position}/{step.total}): {step.state} {step.detail}".rstrip())

    return listen
