"""Owns the table of the project file about releases that run under KServe: `[kserve]`. Opens nothing it names."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recloser.app.project.tables.kubeflow import Name, ResourcesSection
from recloser.app.project.tables.section import Section
from recloser.core import InvalidInput


class KServeSection(Section):
    """Where releases run as InferenceServices: `[kserve]`; without `url` they run in the gateways' own processes.

    File names are relative to the project.
    """

    url: Annotated[str, Field(pattern=r"^https?://[^/\s?#@]+[^\s?#@]*$")] | None = None
    token_file: str | None = None
    ca_file: str | None = None
    namespace: Name = "recloser"
    name: Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,34}[a-z0-9])?$")] | None = None
    image: str = "recloser:latest"
    claim: Name = "recloser-project"
    claim_path: str = ""
    replicas: Annotated[int, Field(ge=1, le=100)] = 1
    resources: ResourcesSection = ResourcesSection()
    service_account: Name | None = None
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    patience_ms: Annotated[float, Field(gt=0, le=60_000)] = 400.0
    start_minutes: Annotated[float, Field(gt=0)] = 15.0
    linger_minutes: Annotated[float, Field(ge=0)] = 60.0

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.url is not None and self.name is None:
            raise InvalidInput(
                "releases under KServe need a name of their project",
                where="kserve.name",
                next_step='Set name = "mygrid": the names of its InferenceServices begin with it.',
            )
        return self
