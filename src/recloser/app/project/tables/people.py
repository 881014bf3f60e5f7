"""Owns the tables of the project file about people below `[rollout]`: approval, freezes. Opens nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from recloser.app.project.tables.section import Section
from recloser.core import InvalidInput, parse_zone
from recloser.core.cron import Cron
from recloser.rollout import Recurring, identity


class ApprovalSection(Section):
    """Which steps wait for people, and who they are: `[rollout.approval]`.

    One person has one name here; `known_as` says under which others he commits, calls or signs, and names people
    without a role.
    """

    before: tuple[Literal["traffic", "promotion"], ...] = ()
    people: Annotated[int, Field(ge=1)] = 2
    roles: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - pydantic copies defaults
    required: tuple[str, ...] = ()
    override: tuple[str, ...] = ()
    known_as: dict[str, tuple[str, ...]] = {}  # noqa: RUF012
    expires_hours: Annotated[float, Field(gt=0)] = 72.0

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        """An approval that nobody could ever give would stop every release."""
        for role in (*self.required, *self.override):
            if role not in self.roles:
                raise InvalidInput("a role without people", got=role, where="rollout.approval", next_step="Add it.")
        self._one_name_each()
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

    def _one_name_each(self) -> None:
        """See that nobody stands here twice: two spellings of one name would be two people to the two-person rule."""
        seen: dict[str, str] = {}
        people = [*self.known_as, *(name for names in self.roles.values() for name in names)]
        others = [(other, name) for name, names in self.known_as.items() for other in names]
        for spelling, person in [*((name, name) for name in people), *others]:
            owners = {seen.setdefault(form, person) for form in _forms(spelling)}
            if owners != {person}:
                raise InvalidInput(
                    "one name for two people, or two spellings of one",
                    got=spelling,
                    expected="a name of one person",
                    where="rollout.approval",
                    next_step='Write each person in one way; other names go to known_as = { ann = ["Ann <a@b.org>"] }.',
                )

    def person(self, name: str) -> str | None:
        """Return the person of a name, however it is spelt or under whichever other name; None for a stranger."""
        for person in [*self.known_as, *(one for names in self.roles.values() for one in names)]:
            if any(_forms(name) & _forms(one) for one in (person, *self.known_as.get(person, ()))):
                return person
        return None

    def roles_of(self, name: str) -> tuple[str, ...]:
        """Return the roles a person has, those that must approve first."""
        person = self.person(name)
        mine = [role for role, names in self.roles.items() if person in names]
        return tuple(sorted(mine, key=lambda role: role not in self.required))


def _forms(name: str) -> frozenset[str]:
    """Return what a name is recognised by: itself and, of "Name <address>", the address."""
    whole = identity(name)
    address = whole.removesuffix(">").rpartition("<")[2].strip() if whole.endswith(">") else whole
    return frozenset({whole, address}) - {""}


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
