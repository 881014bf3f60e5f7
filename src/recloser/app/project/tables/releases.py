"""Owns the tables of the project file of finished releases: `[package]`, `[lineage]`, `[promotion]`. Opens nothing."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recloser.app.project.tables.section import Section
from recloser.core import InvalidInput

Stage = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")]


class PackageSection(Section):
    """What goes into packages: `[package]`; file names are relative to the project."""

    lock: str | None = None


class LineageSection(Section):
    """Where OpenLineage events go: `[lineage]`; the file is relative to the project."""

    file: str = "state/lineage.jsonl"
    url: str | None = None


class SourceSection(Section):
    """One stage whose releases are taken: `[[promotion.sources]]`; `keys` is relative to the project."""

    stage: Stage
    keys: str
    at_least: Literal["accepted", "champion"] = "accepted"
    verdict_days: Annotated[float, Field(gt=0)] = 90.0


class PromotionSection(Section):
    """Which stage this project is, and from which ones it takes releases: `[promotion]`."""

    stage: Stage | None = None
    sources: tuple[SourceSection, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        stages = [source.stage for source in self.sources]
        if len(set(stages)) < len(stages):
            raise InvalidInput("a stage stands twice", got=stages, where="promotion.sources", next_step="Remove one.")
        if self.sources and self.stage is None:
            raise InvalidInput("sources, but no stage of its own", where="promotion", next_step="Set stage.")
        if self.stage in stages:
            raise InvalidInput("a source that is this project's own stage", got=self.stage, where="promotion.sources")
        return self
