"""Owns the table of the project file about the store: `[store]`. Opens nothing it names."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from recloser.app.project.tables.section import Section
from recloser.core import InvalidInput
from recloser.store.places import bucket_and_prefix


class StoreSection(Section):
    """Where series, predictions and readings lie: `[store]`; in the project's folder when empty."""

    url: str | None = None
    endpoint: Annotated[str, Field(pattern=r"^https?://[^/\s?#@]+/?$")] | None = None
    region: str = "us-east-1"
    path_style: bool = True
    credentials_file: str | None = None
    profile: str = "default"
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 20.0
    retry_seconds: Annotated[float, Field(ge=0, le=600)] = 30.0

    @model_validator(mode="after")
    def _is_a_place(self) -> Self:
        if self.url is None and self.endpoint is not None:
            raise InvalidInput(
                "an endpoint without a bucket",
                got=self.endpoint,
                where="store",
                next_step="Set url = 's3://bucket/prefix'.",
            )
        if self.url is not None:
            bucket_and_prefix(self.url)
        return self
