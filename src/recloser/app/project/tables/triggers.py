"""Owns the table of the project file about retraining: `[triggers]`, its schedule and inlets. Opens nothing."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from recloser.app.project.tables.section import Section
from recloser.core import InvalidInput, parse_zone
from recloser.core.cron import Cron
from recloser.triggers import CronSchedule, Every, Schedule

NAMED = {"weekly": Every.WEEKLY, "monthly": Every.MONTHLY}
OWN_KEYS = {
    "github": ("refs", "paths"),
    "gitlab": ("refs", "paths"),
    "gitea": ("refs", "paths"),
    "cloudevents": ("events", "counts_as"),
    "mlflow": ("events", "models"),
}


class InletSection(Section):
    """One way in for requests to retrain: `[[triggers.inlets]]`; the secret's file is relative to the project."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")]
    kind: Literal["github", "gitlab", "gitea", "cloudevents", "mlflow"]
    secret_file: str | None = None
    secret_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    refs: tuple[str, ...] = ("main", "master")
    paths: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    counts_as: Literal["api", "data"] = "api"
    people: dict[str, str] = {}  # noqa: RUF012 - pydantic copies defaults
    tolerance_seconds: Annotated[float, Field(gt=0, le=3600)] = 300.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        where = f"triggers.inlets {self.name}"
        foreign = {key for keys in OWN_KEYS.values() for key in keys} - set(OWN_KEYS[self.kind])
        for key in sorted(foreign & self.model_fields_set):
            raise InvalidInput(f"{key!r} means nothing to {self.kind}", where=where, next_step="Remove it.")
        if self.secret_file is not None and self.secret_env is not None:
            raise InvalidInput("two places of one secret", where=where, next_step="Keep secret_file or secret_env.")
        if self.kind != "cloudevents" and self.secret_file is None and self.secret_env is None:
            raise InvalidInput(
                f"a {self.kind} inlet without a secret",
                where=where,
                next_step="Name its file in secret_file, or its environment variable in secret_env.",
            )
        return self


class TriggerSection(Section):
    """When to retrain: `[triggers]`."""

    schedule: str = "monthly"
    time_zone: str | None = None
    on_drift: bool = True
    wait_for_code: bool = True
    new_data_days: Annotated[int, Field(ge=0, le=3660)] = 0
    cooldown_days: Annotated[int, Field(ge=0)] = 14
    budget_per_90_days: Annotated[int, Field(ge=0)] = 6
    inlets: tuple[InletSection, ...] = ()

    @field_validator("schedule")
    @classmethod
    def _schedule_is_read(cls, schedule: str) -> str:
        if schedule != "never" and schedule not in NAMED:
            try:
                Cron.parse(schedule, ZoneInfo("UTC"), "triggers.schedule")
            except InvalidInput as error:
                raise InvalidInput(
                    "not a schedule",
                    got=schedule,
                    expected="never, weekly, monthly, or minute hour day month weekday, such as '0 2 1 * *'",
                    where="triggers.schedule",
                    next_step=f"{error.what}: {error.expected}.",
                ) from error
        return schedule

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str | None) -> str | None:
        return None if name is None else parse_zone(name, "triggers.time_zone").key

    @field_validator("inlets")
    @classmethod
    def _names_differ(cls, inlets: tuple[InletSection, ...]) -> tuple[InletSection, ...]:
        names = [inlet.name for inlet in inlets]
        if len(set(names)) < len(names):
            raise InvalidInput("two inlets of one name", got=names, where="triggers.inlets")
        return inlets

    def recurrence(self, zone: ZoneInfo) -> Schedule | CronSchedule | None:
        """Return the schedule in `zone` unless it has a zone of its own; None for never."""
        own = zone if self.time_zone is None else ZoneInfo(self.time_zone)
        if self.schedule == "never":
            return None
        if self.schedule in NAMED:
            return Schedule(NAMED[self.schedule], own)
        return CronSchedule(Cron.parse(self.schedule, own, "triggers.schedule"))
