"""Owns what the payload of an MQTT message says about a point: a bare number or a JSON object. Knows no broker."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from recloser.connectors.live.conversation import Heard, Opening
from recloser.connectors.points import (
    Point,
    PointQuality,
    PointReading,
    PointRegistry,
    measured,
    nanoseconds,
    source_time,
)
from recloser.core import InvalidInput, parse_utc

TIME_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
LARGEST = 1 << 20
WORDS = {"good": PointQuality.GOOD, "uncertain": PointQuality.UNCERTAIN, "bad": PointQuality.INVALID}


@dataclass(frozen=True, slots=True)
class MqttFormat:
    """How a device writes its messages, where they are JSON objects.

    Attributes:
        value: path of the value, parts joined by dots; a point's address may name its own after a bar (TOPIC|path).
        time: path of the source's time; None where it tells none.
        time_unit: 'iso', or s, ms, us, ns since 1970 UTC.
        quality: path of 'good', 'uncertain' or 'bad', or of true and false; None where it tells none.
    """

    value: str = "value"
    time: str | None = None
    time_unit: str = "iso"
    quality: str | None = None

    def __post_init__(self) -> None:
        if self.time_unit != "iso" and self.time_unit not in TIME_UNITS:
            raise InvalidInput("unknown unit of time", got=self.time_unit, expected="iso, s, ms, us or ns")


class JsonMessages:
    """A `Conversation` that only listens: one message, one value of each point on its topic.

    Args:
        source: the device, as the project names it.
        registry: its points; their addresses are topics, or TOPIC|path in JSON.
        form: how messages are written.
    """

    def __init__(self, source: str, registry: PointRegistry, form: MqttFormat | None = None) -> None:
        self._source, self._form = source, form or MqttFormat()
        self._topics: dict[str, list[Point]] = {}
        for point in registry.points:
            self._topics.setdefault(split_address(point.address)[0], []).append(point)

    def begin(self, _now_ns: int) -> Opening:
        """Return the topics."""
        return Opening(list(self._topics))

    def heard(self, topic: str, payload: bytes, now_ns: int) -> Heard:
        """Return the readings of a message."""
        points = self._topics.get(topic, [])
        return Heard([reading_of(payload, point, self._form, self._source, now_ns) for point in points])

    def counts(self) -> dict[str, int]:
        """Return nothing: messages have no sequence."""
        return {}


def split_address(address: str) -> tuple[str, str | None]:
    """Return topic and path of a point's address; None where the device's format tells the path."""
    topic, bar, path = address.partition("|")
    return topic, path if bar else None


def reading_of(payload: bytes, point: Point, form: MqttFormat, source: str, receive_ns: int) -> PointReading:
    """Return the reading of a message; what cannot be read is a reading without a number, never an exception."""
    document = _document(payload)
    path = split_address(point.address)[1] or form.value
    found = measured(point, _at(document, path) if isinstance(document, dict) else document)
    quality = found.quality
    source_ns: int | None = None
    if isinstance(document, dict):
        if form.quality is not None:
            quality |= _quality(_at(document, form.quality))
        if form.time is not None:
            source_ns = _time_ns(_at(document, form.time), form.time_unit)
            quality |= PointQuality.TIME_INVALID if source_ns is None else PointQuality.GOOD
    return PointReading(
        source=source,
        point=point.name,
        source_ns=source_ns,
        receive_ns=receive_ns,
        number=found.number,
        unit=point.unit,
        quality=quality,
        origin="mqtt",
        raw=found.raw,
    )


def _document(payload: bytes) -> Any:
    if len(payload) > LARGEST:
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):  # no JSON, no text, or nested without end
        return None


def _at(document: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(document, dict):
            return None
        document = document.get(part)
    return document


def _number(raw: Any) -> float | None:
    if not isinstance(raw, int | float):
        return None
    try:
        number = float(raw)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _quality(raw: Any) -> PointQuality:
    if isinstance(raw, bool):
        return PointQuality.GOOD if raw else PointQuality.INVALID
    return WORDS.get(raw.lower(), PointQuality.INVALID) if isinstance(raw, str) else PointQuality.INVALID


def _time_ns(raw: Any, unit: str) -> int | None:
    if unit == "iso":
        try:
            return source_time(nanoseconds(parse_utc(raw, "time")))[0] if isinstance(raw, str) else None
        except (InvalidInput, OverflowError, ValueError):
            return None
    number = _number(raw)
    if number is None or isinstance(raw, bool) or not 0 <= number * TIME_UNITS[unit] < 2**63:
        return None
    return raw * TIME_UNITS[unit] if isinstance(raw, int) else int(number * TIME_UNITS[unit])
