"""Owns the tables of the project file about people below `[rollout]`: approval, freezes. Opens nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from recloser.app.project.section import Section
from recloser.core import InvalidInput, parse_zone
from recloser.core.cron import Cron
from recloser.rollout import Recurring


class ApprovalSection(Section):
    """Which steps wait for people, and who they are: `[rollout.approval]`."""

    before: tuple[Literal["traffic", "promotion"], ...] = ()
    people: Annotated[int, Field(ge=1)] = 2
    roles: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - pydantic copies defaults
    required: tuple[str, ...] = ()
    override: tuple[str, ...] = ()
    expires_hours: Annotated[float, Field(gt=0)] = 72.0

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        """An approval that nobody could ever give would stop every release."""
        for role in (*self.required, *self.override):
            if role not in self.roles:
                raise InvalidInput("a role without people", got=role, where="rollout.approval", next_step="Add it.")
        everybody = {name for names in self.roles.values() for name in names}
        if self.before and len(everybody) < self.people:
            raise InvalidInput(
                "fewer people than must approve",
                got=len(everybody),
                expected=f">= {self.people} names in roles",
                where="rollout.approval",
                next_step="Name them in [rollout.approval] roles.",
            )
        return self

    def roles_of(self, name: str) -> tuple[str, ...]:
        """Return the roles a person has, those that must approve first."""
        mine = [role for role, names in self.roles.items() if name in names]
        return tuple(sorted(mine, key=lambda role: role not in self.required))


class FreezeSection(Section):
    """One recurring freeze: `[[rollout.freeze]]`."""

    reason: str
    begins: str
    lasts_hours: Annotated[float, Field(gt=0, le=8784)]
    time_zone: str

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        return parse_zone(name, "rollout.freeze.time_zone").key

    @model_validator(mode="after")
    def _recurs(self) -> Self:
        self.window()
        return self

    def window(self) -> Recurring:
        """Return the freeze."""
        zone = parse_zone(self.time_zone)
        begins = Cron.parse(self.begins, zone, "rollout.freeze.begins")
        return Recurring(self.reason, begins, timedelta(hours=self.lasts_hours))
