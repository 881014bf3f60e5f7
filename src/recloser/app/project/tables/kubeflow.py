"""Owns the table of the project file about a Kubeflow cluster: `[kubeflow]`. Opens nothing it names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recloser.app.project.tables.section import Section

NAME = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|[kMGTPE]i?)?$"
Quantity = Annotated[str, Field(pattern=QUANTITY)]
Name = Annotated[str, Field(pattern=NAME)]


class ResourcesSection(Section):
    """What a task may use, as Kubernetes quantities: `[kubeflow.resources]` and `[kubeflow.steps.NAME]`."""

    cpu_request: Quantity | None = None
    cpu_limit: Quantity | None = None
    memory_request: Quantity | None = None
    memory_limit: Quantity | None = None


class SecretSection(Section):
    """A Kubernetes Secret that tasks see: `[[kubeflow.secrets]]`; `env` maps its keys to environment variables."""

    name: Name
    env: dict[str, str] = {}  # noqa: RUF012 - pydantic copies defaults
    path: str | None = None


class KubeflowSection(Section):
    """Where `recloser run --engine kubeflow` sends runs: `[kubeflow]`; file names are relative to the project."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s?#@]+[^\s?#@]*$")] | None = None
    token_file: str | None = None
    ca_file: str | None = None
    namespace: Name | None = None
    experiment: str = "recloser"
    service_account: Name | None = None
    image: str = "recloser:latest"
    project_path: str | None = None
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    task_timeout_minutes: Annotated[int, Field(ge=0)] = 0
    poll_seconds: Annotated[float, Field(gt=0, le=300)] = 5.0
    patience_minutes: Annotated[float, Field(gt=0)] = 15.0
    follow_minutes: Annotated[float, Field(ge=0)] = 0.0
    parallel: Annotated[int, Field(ge=1, le=1000)] = 4
    fleet: tuple[str, ...] = ()
    resources: ResourcesSection = ResourcesSection()
    steps: dict[str, ResourcesSection] = {}  # noqa: RUF012 - pydantic copies defaults
    secrets: tuple[SecretSection, ...] = ()
    volumes: dict[Name, str] = {}  # noqa: RUF012 - pydantic copies defaults
