"""Owns the table of the project file about watching the watchers: `[observability]`. Opens nothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recloser.app.project.tables.section import Section


class ObservabilitySection(Section):
    """When somebody must be told that something is not there, and where the control plane tells its figures."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    forecast_within_minutes: Annotated[float, Field(gt=0)] = 30.0
    load_within_hours: Annotated[float, Field(gt=0)] = 30.0
