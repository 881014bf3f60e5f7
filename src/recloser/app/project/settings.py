"""Owns the project file `recloser.toml`: its schema, defaults and errors. Does not open anything it names."""

from __future__ import annotations

import json
import tomllib
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, field_validator, model_validator

from recloser.app.project.cluster.kserve import KServeSection
from recloser.app.project.problems import told
from recloser.app.project.storage.section import StoreSection
from recloser.app.project.storage.tracking import RegistrySection
from recloser.app.project.tables.console import ConsoleSection
from recloser.app.project.tables.events import EventsSection, check_events
from recloser.app.project.tables.gateway import LimitsSection, LogSection, SlaSection, TlsSection
from recloser.app.project.tables.kubeflow import KubeflowSection
from recloser.app.project.tables.links import LinksSection
from recloser.app.project.tables.notify import NotifySection
from recloser.app.project.tables.observability import ObservabilitySection
from recloser.app.project.tables.people import ApprovalSection, FreezeSection
from recloser.app.project.tables.releases import LineageSection, PackageSection, PromotionSection
from recloser.app.project.tables.section import Section
from recloser.app.project.tables.staging import StagingSection
from recloser.app.project.tables.triggers import TriggerSection
from recloser.core import Horizon, InvalidInput, parse_zone, unknown_name
from recloser.core.quantities import unit_named
from recloser.features.calendar import holiday_dates
from recloser.models import TrainingPlan
from recloser.rollout import CanaryStep, Promotion, RolloutPlan
from recloser.rollout.plan import TRIP_ALPHA
from recloser.staging import GatePolicy

FILE_NAME = "recloser.toml"


def fitting_minutes(zone: ZoneInfo) -> frozenset[int]:
    """Return the lengths of an interval, in minutes, on whose grid the zone's days begin in summer and in winter."""
    offsets = {datetime(2024, month, 15, tzinfo=zone).utcoffset() or timedelta(0) for month in range(1, 13)}
    steps = {minutes: timedelta(minutes=minutes) for minutes in range(1, 1441) if 1440 % minutes == 0}
    return frozenset(m for m, step in steps.items() if not any(offset % step for offset in offsets))


class ProjectSection(Section):
    """Who and where: `[project]`."""

    name: str = "grid"
    areas: tuple[str, ...] = Field(min_length=1)
    time_zone: str
    country: str | None = None
    subdivision: str | None = None
    resolution_minutes: Annotated[int, Field(ge=1, le=1440)] | None = None

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        return parse_zone(name, "project.time_zone").key

    @field_validator("areas")
    @classmethod
    def _areas_are_names(cls, areas: tuple[str, ...]) -> tuple[str, ...]:
        for area in areas:
            if not area.strip() or area != area.strip() or not area.isprintable() or area.startswith("="):
                raise InvalidInput(
                    "not a name of an area",
                    got=area,
                    expected="printable, without blanks around it, not beginning with '='",
                    where="project.areas",
                )
        if len(set(areas)) < len(areas):
            twice = sorted({area for area in areas if areas.count(area) > 1})
            raise InvalidInput("an area stands twice", got=twice, where="project.areas", next_step="Remove one.")
        return areas

    @model_validator(mode="after")
    def _days_fit(self) -> Self:
        """Local days must begin and end on the grid of the resolution, in summer and in winter."""
        fitting = fitting_minutes(parse_zone(self.time_zone))
        if self.resolution_minutes is not None and self.resolution_minutes not in fitting:
            raise InvalidInput(
                f"local days of {self.time_zone} do not begin on a grid of {self.resolution_minutes} minutes",
                got=self.resolution_minutes,
                expected="for example " + ", ".join(str(m) for m in (5, 10, 15, 30, 60) if m in fitting),
                where="project.resolution_minutes",
                next_step="Choose the resolution of your data; resampling is not done.",
            )
        if self.country is not None:
            holiday_dates(self.country, self.subdivision, 2024)
        elif self.subdivision is not None:
            raise InvalidInput("a subdivision without its country", got=self.subdivision, where="project.subdivision")
        return self


class ExtraColumn(Section):
    """A further column of the file: quantity (its name ends in the unit) and the unit it is written in."""

    quantity: str
    unit: str


class DataSection(Section):
    """How files are read: `[data]`; the flags of `recloser ingest` win over it."""

    time: str | None = None
    load: str | None = None
    area: str | None = None
    load_unit: str = "MW"
    temperature: str | None = None
    temperature_unit: str = "degC"
    weather: Literal["forecast", "measured", "actual_as_forecast"] | None = None
    incumbent: str | None = None
    incumbent_unit: str | None = None
    time_zone: str = "UTC"
    stamp: Literal["start", "end"] = "start"
    period: str | None = None
    time_format: str | None = None
    delimiter: str | None = None
    decimal: Literal[".", ","] | None = None
    encoding: str = "utf-8"
    skip_lines: Annotated[int, Field(ge=0)] = 0
    multiline: bool = False
    ambiguous: Literal["order", "earliest", "latest"] = "order"
    repeated: Literal["error", "last"] = "error"
    available_at: str | None = None
    quality: str | None = None
    good_quality: tuple[str, ...] = ()
    telemetry_delay_minutes: Annotated[int, Field(ge=0)] = 0
    weather_lead_hours: Annotated[int, Field(ge=0)] = 48
    extra: dict[str, ExtraColumn] = {}  # noqa: RUF012 - pydantic copies defaults

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        return parse_zone(name, "data.time_zone").key

    @field_validator("load_unit", "temperature_unit", "incumbent_unit")
    @classmethod
    def _unit_exists(cls, name: str | None) -> str | None:
        if name is not None:
            unit_named(name, "[data]")
        return name


class HorizonSection(Section):
    """When forecasts are issued and for which days: `[horizon]`."""

    issue_time: time = time(9, 0)
    days: Annotated[int, Field(ge=1, le=7)] = 1

    @field_validator("issue_time")
    @classmethod
    def _is_local(cls, issue_time: time) -> time:
        if issue_time.tzinfo is not None:
            raise InvalidInput(
                "an issue time with an offset",
                got=issue_time.isoformat(),
                expected="a local time such as 09:00",
                where="horizon.issue_time",
                next_step="Leave the offset out: [project] time_zone says it.",
            )
        return issue_time


class ModelSection(Section):
    """The training recipe: `[model]`."""

    history_days: Annotated[int, Field(ge=60)] = 730
    windows: Annotated[tuple[Literal["expanding", "trailing", "recent", "regime"], ...], Field(min_length=1)] = (
        "expanding",
    )
    trees: Annotated[int, Field(ge=1)] = 200
    leaves: Annotated[int, Field(ge=2)] = 63
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.06
    max_rows: Annotated[int, Field(ge=1000)] = 60_000
    calibration_days: Annotated[int, Field(ge=7)] = 42
    half_life_days: Annotated[float, Field(gt=0)] | None = None
    threads: Annotated[int, Field(ge=1)] = 1
    seed: int = 1
    online_calibration: bool = True
    bias_corrector: bool = True
    coverage_gain: Annotated[float, Field(ge=0, le=0.1)] = 0.002
    allow_code: bool = False
    weather: tuple[str, ...] | None = None


class RolloutSection(Section):
    """How a candidate reaches traffic: `[rollout]`."""

    shadow_days: Annotated[int, Field(ge=0)] = 7
    canary_steps: tuple[tuple[float | str, int], ...] = ((0.25, 7), (0.5, 7))
    cohorts: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - pydantic copies defaults
    probation_days: Annotated[int, Field(ge=0)] = 14
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.05
    promotion: Literal["evidence", "no_evidence_of_harm"] = "evidence"
    harmless_days: Annotated[int, Field(ge=1)] = 14
    deadline_days: Annotated[int, Field(ge=1)] = 60
    lease_seconds: Annotated[int, Field(ge=1)] = 900
    fall_back: bool = True
    freeze: tuple[FreezeSection, ...] = ()
    approval: ApprovalSection = ApprovalSection()

    @model_validator(mode="after")
    def _is_a_plan(self) -> Self:
        """A plan that no rollout could follow shall not wait for the first candidate to be found out."""
        try:
            self.plan()
        except InvalidInput as error:
            raise InvalidInput(
                error.what, got=error.got, expected=error.expected, where="[rollout]", next_step="Correct [rollout]."
            ) from error
        return self

    def _steps(self) -> tuple[CanaryStep, ...]:
        """Return the canary steps; one that names a cohort keeps the share reached before it."""
        steps: list[CanaryStep] = []
        for reach, days in self.canary_steps:
            if not isinstance(reach, str):
                steps.append(CanaryStep(reach, days))
            elif reach in self.cohorts:
                steps.append(CanaryStep(steps[-1].share if steps else 0.0, days, self.cohorts[reach]))
            else:
                raise unknown_name("cohort", reach, self.cohorts, "rollout.canary_steps")
        return tuple(steps)

    def plan(self, divergence_steps: int = 2) -> RolloutPlan:
        """Return the plan of every rollout.

        Args:
            divergence_steps: steps in a row over the divergence limit that trip; depends on the resolution.

        Raises:
            InvalidInput: no rollout could follow it.
        """
        return RolloutPlan(
            shadow_days=self.shadow_days,
            steps=self._steps(),
            probation_days=self.probation_days,
            alpha=self.alpha,
            trip_alpha=min(TRIP_ALPHA, self.alpha),
            margin=self.margin,
            promotion=Promotion(self.promotion),
            harmless_days=self.harmless_days,
            deadline_days=self.deadline_days,
            divergence_steps=divergence_steps,
            approve_before=self.approval.before,
            approvers=self.approval.people,
            approver_roles=self.approval.required,
        )


class MonitoringSection(Section):
    """Budget of false alarms, the areas' detector, operators' forecasts, and substations: `[monitoring]`."""

    false_alarms_per_year: Annotated[float, Field(gt=0)] = 1.0
    detector: str = "channels"
    incumbent: str = "operator's forecast"
    groups: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - pydantic copies defaults


class LedgerSection(Section):
    """Where the control state lives: `[ledger]`; SQLite in the project when empty."""

    url: str | None = None
    url_file: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.url is not None and self.url_file is not None:
            raise InvalidInput("two places of the ledger", where="ledger", next_step="Set url or url_file, not both.")
        return self


class GatewaySection(Section):
    """Where `recloser up` listens: `[gateway]`."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65534)] = 8080
    grpc_port: Annotated[int, Field(ge=0, le=65535)] = 0
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    allow_pickle: bool = False
    log: LogSection = LogSection()
    limits: LimitsSection = LimitsSection()
    sla: SlaSection = SlaSection()
    tls: TlsSection = TlsSection()


class Project(Section):
    """The whole project file, validated; everything but `[project]` has a default."""

    project: ProjectSection
    data: DataSection = DataSection()
    horizon: HorizonSection = HorizonSection()
    model: ModelSection = ModelSection()
    staging: StagingSection = StagingSection()
    rollout: RolloutSection = RolloutSection()
    triggers: TriggerSection = TriggerSection()
    monitoring: MonitoringSection = MonitoringSection()
    registry: RegistrySection = RegistrySection()
    package: PackageSection = PackageSection()
    lineage: LineageSection = LineageSection()
    promotion: PromotionSection = PromotionSection()
    ledger: LedgerSection = LedgerSection()
    store: StoreSection = StoreSection()
    kubeflow: KubeflowSection = KubeflowSection()
    kserve: KServeSection = KServeSection()
    gateway: GatewaySection = GatewaySection()
    console: ConsoleSection = ConsoleSection()
    notify: NotifySection = NotifySection()
    links: LinksSection = LinksSection()
    observability: ObservabilitySection = ObservabilitySection()
    events: EventsSection | None = None

    @model_validator(mode="after")
    def _groups_are_of_areas(self) -> Self:
        named = [(f"monitoring.groups.{group}", members) for group, members in self.monitoring.groups.items()]
        named += [(f"rollout.cohorts.{cohort}", members) for cohort, members in self.rollout.cohorts.items()]
        known = frozenset(self.project.areas)
        for where, members in named:
            for area in members:
                if area not in known:
                    raise unknown_name("area", area, self.project.areas, where)
        for area in self.staging.network.loads:
            if area not in known:
                raise unknown_name("area", area, self.project.areas, "staging.network.loads")
        if self.events is not None:
            check_events(self.events, self.project.areas, self.links.devices)
        return self

    @property
    def zone(self) -> ZoneInfo:
        """Return the local zone of the areas."""
        return ZoneInfo(self.project.time_zone)

    @property
    def resolution(self) -> timedelta:
        """Return the length of one interval; without data yet, the usual one that local days begin on."""
        known = self.project.resolution_minutes
        return timedelta(minutes=known or max(m for m in fitting_minutes(self.zone) if m <= 60))

    def training_plan(self) -> TrainingPlan:
        """Return how candidates are trained."""
        model = self.model
        return TrainingPlan(
            trees=model.trees,
            leaves=model.leaves,
            learning_rate=model.learning_rate,
            max_rows=model.max_rows,
            calibration_days=model.calibration_days,
            half_life_days=model.half_life_days,
            threads=model.threads,
            seed=model.seed,
        )

    def gate_policy(self) -> GatePolicy:
        """Return the thresholds of the staging gate."""
        staging, sla = self.staging, self.gateway.sla
        return GatePolicy(
            margin=staging.margin,
            uncertainty=staging.uncertainty,
            worth_margin=staging.worth_margin,
            naive_margin=staging.naive_margin,
            incumbent_required=staging.incumbent_required,
            minimum_coverage80=staging.minimum_coverage80,
            maximum_coverage80=staging.maximum_coverage80,
            latency_p99_ms=staging.latency_p99_ms,
            slice_margin=staging.slice_margin,
            metric_margin=staging.metric_margin,
            recent_days=staging.recent_days,
            recent_margin=staging.recent_margin,
            sla_p50_ms=sla.p50_ms,
            sla_p99_ms=sla.p99_ms,
            sla_p999_ms=sla.p999_ms,
            sla_error_share=sla.error_share,
            sla_start_s=sla.start_seconds,
            sla_memory_mb=sla.memory_mb,
        )

    def forecast_horizon(self) -> Horizon:
        """Return when forecasts are issued and what they are about."""
        return Horizon(self.zone, self.resolution, self.horizon.issue_time, self.horizon.days)


def load_project(folder: Path) -> Project:
    """Read and validate `recloser.toml` in `folder`.

    Raises:
        InvalidInput: no such file, not TOML, a misspelt key (the nearest known key is named), or a bad value.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InvalidInput(
            f"no {FILE_NAME} here",
            where=str(folder),
            next_step="Run 'recloser init DIR --area NAME --time-zone TZ', or name the project with --project DIR.",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "cannot read the project file",
            got=str(error),
            where=str(path),
            expected="a text file in UTF-8",
            next_step="Check the file's permissions and encoding.",
        ) from error
    return parse_project(text, str(path))


def parse_project(text: str, where: str) -> Project:
    """Validate the text of a project file.

    Raises:
        InvalidInput: see `load_project`.
    """
    try:
        text.encode()
        raw = tomllib.loads(text)
    except UnicodeEncodeError as error:
        got = text[error.start : error.end]
        raise InvalidInput("not text in UTF-8", got=got, where=where, next_step="Write that name in UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput("not valid TOML", got=str(error), where=where, next_step="Correct that line.") from error
    try:
        # By way of JSON, where strict means strict and still knows lists and times: "56" is no number, 9 no time.
        return Project.model_validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        raise told(error, where, Project) from error
