"""Owns what a task of a cluster is given: code, project, image, resources, secrets, volumes. Knows no orchestrator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recloser.core import InvalidInput
from recloser.engines.engine import RetryPolicy

AGAIN = RetryPolicy(attempts=3, first_s=30.0, factor=2.0, longest_s=600.0)


@dataclass(frozen=True, slots=True)
class Resources:
    """What a task may use, as Kubernetes quantities ('500m', '2', '512Mi'); None: as the cluster says."""

    cpu_request: str | None = None
    cpu_limit: str | None = None
    memory_request: str | None = None
    memory_limit: str | None = None


@dataclass(frozen=True, slots=True)
class SecretGiven:
    """A Kubernetes Secret as a task sees it.

    Attributes:
        name: of the Secret.
        env: key of the Secret -> environment variable.
        path: folder at which all its keys are files; None: no files.
    """

    name: str
    env: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """How the tasks of a pipeline run on a cluster.

    Attributes:
        resources: of every task.
        of_step: of single steps by name, instead.
        retry: how often a task that ended with an error is started again, beside the tries within it.
        timeout_s: longest life of a task's pod; 0: as the cluster says.
        secrets: given to every task.
        volumes: persistent volume claim -> folder.
        pull_policy: Always, IfNotPresent or Never; None: as the cluster says.
        parallel: most shards of a fleet at once.
    """

    resources: Resources = Resources()
    of_step: Mapping[str, Resources] = field(default_factory=dict)
    retry: RetryPolicy = AGAIN
    timeout_s: int = 0
    secrets: tuple[SecretGiven, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    pull_policy: str | None = None
    parallel: int = 4

    @property
    def plain(self) -> bool:
        """Return whether nothing is asked for that only Kubernetes can give."""
        return not (self.secrets or self.volumes or self.timeout_s or self.pull_policy)


@dataclass(frozen=True, slots=True)
class KubeflowTarget:
    """Where the steps find their code and their project.

    Attributes:
        project: the project folder as the step's process sees it.
        entry: 'module:function', called as function(project, run_key, step, inputs_json) -> result_json.
        image: container image with Recloser and kfp in it; the local runner does not use it.
        tasks: resources, secrets, volumes and retries of the tasks.
    """

    project: str
    entry: str
    image: str = "python:3.11"
    tasks: TaskPlan = TaskPlan()

    def __post_init__(self) -> None:
        module, _, function = self.entry.partition(":")
        if not module or not function.isidentifier():
            raise InvalidInput("not an entry point", got=self.entry, expected="module:function", where="KubeflowTarget")
