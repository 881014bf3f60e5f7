"""Owns what the HTTP transport is given by the composition root. Does not serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from recloser.core import Clock, Served
from recloser.serving.gateway import Gateway
from recloser.serving.http.admission.gate import Gate
from recloser.serving.http.admission.limits import TrafficLimits
from recloser.serving.http.admission.scopes import Audit
from recloser.serving.http.edge import Access
from recloser.serving.http.events import EventSource
from recloser.serving.http.exposition import Meter, figures_of
from recloser.serving.http.people.desk import Desk
from recloser.serving.http.people.inlets import InletDesk
from recloser.serving.log import AnswerLog
from recloser.serving.plane import DataPlane, PlanePolicy
from recloser.serving.wire.figures import Family, Figures, model_sums
from recloser.serving.wire.models import version_of
from recloser.serving.wire.rows import InputColumns, columns_now
from recloser.serving.wire.statistics import Statistics, statistics_document


@dataclass(frozen=True, slots=True)
class CurrentForecast:
    """What holds for an area now.

    Attributes:
        served: the newest answer.
        void_ids: prediction ids or forecast ids that were recalled and must not be acted on.
        replaced_by: void id -> the forecast that replaced it; without one where nothing could.
    """

    served: Served
    void_ids: tuple[str, ...] = ()
    replaced_by: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PastForecast:
    """What is known of a forecast that was handed out once.

    Attributes:
        served: as it was handed out.
        resolution: length of a target interval.
        newer: valid forecasts of the same area made after it that share targets with it, newest first.
        void_at: when it was recalled, None if it was not.
        void_reason: why.
        trip: id of the trip that recalled it, None where none is known.
        replaced_by: id of the forecast that the recall put in its place, None where nothing could be.
        replacement: that forecast.
    """

    served: Served
    resolution: timedelta
    newer: tuple[Served, ...] = ()
    void_at: datetime | None = None
    void_reason: str | None = None
    trip: str | None = None
    replaced_by: str | None = None
    replacement: Served | None = None


class ForecastSource(Protocol):
    """Knows the current forecasts. Thread safe; may block, and raises Unavailable when it cannot tell."""

    def areas(self) -> Sequence[str]:
        """Return the areas forecast, sorted."""
        ...

    def current(self, area: str) -> CurrentForecast | None:
        """Return what holds for the area now, or None if nothing was forecast yet or the area is unknown."""
        ...

    def many(self, areas: Sequence[str]) -> Mapping[str, CurrentForecast]:
        """Return what `current` tells of each area, without those it tells nothing of; cheaper than one by one."""
        ...

    def find(self, forecast: str) -> PastForecast | None:
        """Return what is known of the forecast with that id, or None."""
        ...


class Colleagues(Protocol):
    """The gateway processes that share a port. Thread safe; may block for a moment, and never raises."""

    def share(self, own: Callable[[], Figures]) -> Mapping[str, Figures] | None:
        """Count and publish this process's figures and return those of all by worker's name; None if it is alone.

        What was once returned is never larger than what is returned later, whoever dies and is started anew.
        """
        ...

    def states(self) -> Sequence[Mapping[str, Any]]:
        """Return what each process says of itself: worker, pid, epoch, tripped, problem."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """Everything the transport needs.

    Attributes:
        gateway: the data plane.
        clock: tells the time of requests and the age of forecasts.
        columns_at_first: what a row for inference consists of while no champion says what it reads.
        forecasts: current forecasts by area.
        events: new forecasts, recalls.
        desk: carries out what people ask, in a thread.
        inlets: takes in what forges, registries and programs send, in a thread; None: nothing is taken in.
        access: who may operate.
        body_limit: bytes of a request body.
        keep_alive_s: a silent event stream sends a comment after so many seconds.
        log: where every answer is written down, or None.
        limits: bounds of what callers may do.
        audit: told of every call that operates, or None.
        statistics: counts requests by model, of every transport.
        meter: counts HTTP requests.
        colleagues: the other processes on the same port, or None.
        more: figures of what else runs beside the gateway, asked at each scrape.
        waiting: how long and how many requests for inference may wait.
        plane_of: makes the plane.
        plane: the way to the gateway's models, made from gateway, clock and `waiting`.
        gate: what every call of every transport passes, made from access, limits, audit, meter and plane.
    """

    gateway: Gateway
    clock: Clock
    columns_at_first: InputColumns
    forecasts: ForecastSource
    events: EventSource
    desk: Desk
    access: Access = field(default_factory=Access)
    body_limit: int = 8_000_000
    keep_alive_s: float = 15.0
    log: AnswerLog | None = None
    limits: TrafficLimits = field(default_factory=TrafficLimits)
    audit: Audit | None = None
    statistics: Statistics = field(default_factory=Statistics)
    meter: Meter = field(default_factory=Meter)
    colleagues: Colleagues | None = None
    more: Callable[[], Sequence[Family]] = tuple
    inlets: InletDesk | None = None
    waiting: PlanePolicy = field(default_factory=PlanePolicy)
    plane_of: Callable[[Gateway, Clock, PlanePolicy | None], DataPlane] = DataPlane
    plane: DataPlane = field(init=False, compare=False)
    gate: Gate = field(init=False, compare=False)

    @property
    def columns(self) -> InputColumns:
        """What a row for inference consists of under the present route: what only challengers read may be left out."""
        champion, challengers = self.gateway.reads
        return columns_now(self.columns_at_first, champion, challengers)

    def figures(self) -> dict[str, Figures]:
        """Return the figures of all processes on this port by worker's name; by an empty name if there is but one."""

        def own() -> Figures:
            return figures_of(self.gateway, self.meter, self.statistics, self.log)

        shared = None if self.colleagues is None else self.colleagues.share(own)
        return {"": own()} if shared is None else dict(shared)

    def model_statistics(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return the statistics of models, of all processes together, as documents of the protocol's extension."""
        figures = self.figures().values()
        return [statistics_document(name, version_of(self.gateway, name), model_sums(figures, name)) for name in names]

    def __post_init__(self) -> None:
        plane = self.plane_of(self.gateway, self.clock, self.waiting)
        gate = Gate(self.access, self.limits, self.audit, meter=self.meter, behind_s=plane.behind_s)
        object.__setattr__(self, "plane", plane)
        object.__setattr__(self, "gate", gate)
