"""Owns the table of the project file about watching the watchers: `[observability]`. Opens nothing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recloser.app.project.tables.section import Section


class ObservabilitySection(Section):
    """When somebody must be told that something is not there, where figures are told and traces go."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    forecast_within_minutes: Annotated[float, Field(gt=0)] = 30.0
    load_within_hours: Annotated[float, Field(gt=0)] = 30.0
    logs: Literal["text", "json"] = "text"
    traces: Annotated[str, Field(pattern=r"^https?://[^/\s]+/\S*$")] | None = None
    traces_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    traces_token_file: str | None = None
