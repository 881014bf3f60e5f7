"""Owns the tables of the project file below `[staging]`: what a candidate must prove, and on which network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recloser.app.project.tables.section import Section
from recloser.staging import TrialPlan


class NetworkSection(Section):
    """A network on which the decisions that forecasts imply are tried: `[staging.network]`; extra `network`."""

    file: str | None = None
    loads: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - pydantic copies defaults
    lowest_pu: Annotated[float, Field(gt=0, lt=1)] = 0.9
    highest_pu: Annotated[float, Field(gt=1, lt=2)] = 1.1
    loading_percent: Annotated[float, Field(gt=0)] = 100.0
    lost_loading_percent: Annotated[float, Field(gt=0)] = 120.0


class StagingSection(Section):
    """What a candidate must prove: `[staging]`."""

    holdout_days: Annotated[int, Field(ge=14)] = 56
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.02
    uncertainty: Annotated[float, Field(ge=0, lt=1)] = 0.10
    worth_margin: Annotated[float, Field(ge=-1, lt=1)] = 0.0
    naive_margin: Annotated[float, Field(ge=0, lt=1)] = 0.0
    incumbent_required: bool = False
    minimum_coverage80: float = 65.0
    maximum_coverage80: float = 99.0
    latency_p99_ms: float = 1000.0
    slice_margin: Annotated[float, Field(ge=0)] = 0.25
    metric_margin: Annotated[float, Field(ge=0)] = 0.10
    recent_days: Annotated[int, Field(ge=3)] = 14
    recent_margin: Annotated[float, Field(ge=0)] = 0.15
    process: Literal["separate", "own"] = "separate"
    environment: Literal["installed", "fresh"] = "installed"
    wheelhouse: str = "wheelhouse"
    trial_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    start_within_seconds: Annotated[float, Field(gt=0)] = 120.0
    network: NetworkSection = NetworkSection()

    def trial_plan(self, rate_per_s: float) -> TrialPlan:
        """Return how a candidate is tried in a process of its own, at this rate of requests."""
        return TrialPlan(rate_per_s, self.trial_seconds, self.environment, self.start_within_seconds)
