"""Owns the table of the project file about events in phasors: `[events]`. Opens nothing it names."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from recloser.app.project.tables.section import Section
from recloser.core import InvalidInput, unknown_name
from recloser.monitoring import EventRule
from recloser.simulation.phasors import GridEvent
from recloser.staging import DetectionNeed

KINDS: tuple[str, ...] = tuple(event.value for event in GridEvent if event is not GridEvent.NONE)
"""Events that can be simulated, and so learned without any labelled window."""


class EventsSection(Section):
    """Detection of events in windows of phasors; with this table the areas of the project are kinds of event."""

    device: str | None = None
    nominal_hz: Literal[50, 60] = 50
    rated_kv: Annotated[float, Field(gt=0)] | None = None
    window_seconds: Annotated[float, Field(ge=4, le=60)] = 10.0
    step_seconds: Annotated[float, Field(ge=0.1, le=10)] = 1.0
    train_scenes: Annotated[int, Field(ge=12)] = 40
    test_scenes: Annotated[int, Field(ge=15)] = 30
    least_recall: Annotated[float, Field(gt=0, le=1)] = 0.6
    most_false_per_hour: Annotated[float, Field(ge=0)] = 30.0
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    begin_windows: Annotated[int, Field(ge=1)] = 3
    end_windows: Annotated[int, Field(ge=1)] = 5
    drills_per_day: Annotated[int, Field(ge=0)] = 12
    least_covered: Annotated[float, Field(gt=0, le=1)] = 0.25
    keep_days: Annotated[int, Field(ge=7)] = 60

    def rule(self) -> EventRule:
        """Return when an event begins and ends."""
        return EventRule(self.threshold, self.begin_windows, self.end_windows)

    def need(self) -> DetectionNeed:
        """Return what a detector must do at the least."""
        return DetectionNeed(self.threshold, self.least_recall, self.most_false_per_hour)


def check_events(events: EventsSection, kinds: tuple[str, ...], devices: Any) -> None:
    """Refuse kinds that cannot be simulated, and a device that speaks no C37.118.

    Args:
        events: the table.
        kinds: areas of the project.
        devices: of `[links]`.

    Raises:
        InvalidInput: either.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise unknown_name("kind of event", kind, KINDS, "project.areas")
    if events.device is None:
        return
    named = {device.name: device for device in devices}
    if events.device not in named:
        raise unknown_name("device", events.device, named, "events.device")
    device = named[events.device]
    if device.protocol != "c37118" or device.streams or device.transport not in {"tcp", "udp"} or device.data_port:
        several = " of several streams" if device.streams else ""
        raise InvalidInput(
            "events are detected in one stream of C37.118 that may be asked for twice",
            got=f"{device.protocol}{several}, transport {device.transport}",
            expected="protocol c37118 with host, port and idcode, transport tcp or udp without data_port",
            where="events.device",
            next_step="The detector has a connection of its own beside the link; a PDC's stream has all PMUs.",
        )
