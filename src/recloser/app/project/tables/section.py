"""Owns what all tables of the project file have in common. Knows no key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the project file; a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
