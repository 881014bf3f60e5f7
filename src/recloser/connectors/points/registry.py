"""Owns the registry of a device's points: what each address is called and means. Read from CSV or TOML, validated.

Does not own connections, and invents nothing: an unknown column or a doubtful address is an error.
"""

from __future__ import annotations

import csv
import io
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from recloser.connectors.points.addresses import ADDRESSES, canonical_address
from recloser.connectors.points.sheet import read_sheet
from recloser.core import InvalidInput, Unavailable
from recloser.core.errors import unknown_name
from recloser.core.quantities import UNITS

ROLES = ("load", "generation", "weather", "frequency", "voltage", "current", "phasor", "status", "counter", "other")
MORE_UNITS = {
    "A",
    "kA",
    "deg",
    "rad",
    "var",
    "kvar",
    "Mvar",
    "VA",
    "kVA",
    "MVA",
    "Hz/s",
    "Wh",
    "kWh",
    "MWh",
    "bar",
    "state",
    "",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a device.

    Attributes:
        address: in the protocol's own form, as `canonical_address` writes it.
        name: unique in the registry.
        unit: of the scaled value; '' or 'state' for states.
        scale: factor of the raw number; offset: addend after it.
        low, high: limits of the scaled value, beyond which it is out of range; None where there are none.
        deadband: changes smaller than this are not news, in `unit`.
        role: what the platform may use it for.
        area: the area it belongs to, or ''.
        stale_after_s: age at which it is stale; None for points that are silent while nothing changes.
        rate_per_s: fastest change, `unit` a second; None for any.
        stuck_after_s: exactly the same for so long is a fault, though readings come; None where it may be.
    """

    address: str
    name: str
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None
    deadband: float = 0.0
    role: str = "other"
    area: str = ""
    stale_after_s: float | None = None
    rate_per_s: float | None = None
    stuck_after_s: float | None = None


COLUMNS = tuple(field.name for field in fields(Point))
NUMBERS = {"scale", "offset", "low", "high", "deadband", "stale_after_s", "rate_per_s", "stuck_after_s"}


@dataclass(frozen=True, slots=True)
class PointRegistry:
    """The points of one device, by name and by address."""

    protocol: str
    points: tuple[Point, ...]

    def by_address(self) -> dict[str, Point]:
        """Return address -> point."""
        return {point.address: point for point in self.points}


def read_registry(path: Path | str, protocol: str) -> PointRegistry:
    """Return the points of a CSV (columns as in `Point`) or a TOML file (tables [[point]]).

    Raises:
        InvalidInput: an unknown protocol or column, a row that is none, a missing name, a wrong address, unit, role,
            number or limit, or a name, address or column that stands twice; the message names file and row.
        Unavailable: the file cannot be read now.
    """
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InvalidInput("no such file", got=str(path), next_step="Check the path.") from error
    except OSError as error:
        raise Unavailable(
            "the registry cannot be read", got=error.strerror, where=place.name, next_step="Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(
            "the registry is not UTF-8", got=str(error), where=place.name, next_step="Save it as CSV UTF-8."
        ) from error
    rows = _toml_rows(text, place.name) if place.suffix == ".toml" else _csv_rows(text, place.name)
    return make_registry(rows, protocol, place.name)


def make_registry(rows: Iterable[tuple[int, Mapping[str, Any]]], protocol: str, where: str) -> PointRegistry:
    """Return the registry of rows, each with its number for errors; raises as `read_registry`."""
    if protocol not in ADDRESSES:
        raise unknown_name("protocol", protocol, ADDRESSES, where=where)
    points: list[Point] = []
    names: dict[str, int] = {}
    addresses: dict[str, int] = {}
    for number, row in rows:
        point = _point(row, protocol, f"{where} row {number}")
        for kind, seen, key in (("name", names, point.name), ("address", addresses, point.address)):
            if key in seen:
                raise InvalidInput(
                    f"{'an' if kind == 'address' else 'a'} {kind} that stands twice",
                    got=key,
                    where=f"{where} rows {seen[key]} and {number}",
                    next_step="Remove or rename one.",
                )
            seen[key] = number
        points.append(point)
    if not points:
        raise InvalidInput("a registry without points", where=where, expected="at least one row")
    return PointRegistry(protocol, tuple(points))


def registry_text(registry: PointRegistry) -> str:
    """Return the registry as CSV that `read_registry` reads back to the same points."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for point in registry.points:
        values = [getattr(point, name) for name in COLUMNS]
        writer.writerow(
            ["" if value is None else repr(value) if isinstance(value, float) else value for value in values]
        )
    return out.getvalue()


def _csv_rows(text: str, where: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
    for number, row in read_sheet(text, where).rows:
        yield number, {key: value for key, value in row.items() if value.strip()}


def _toml_rows(text: str, where: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput("not TOML", got=str(error), where=where) from error
    for key in document.keys() - {"point"}:
        raise unknown_name("table", key, {"point"}, where=where)
    points = document.get("point", [])
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise InvalidInput("points that are no tables", expected="[[point]]", where=where)
    yield from enumerate(points, 1)


def _point(row: Mapping[str, Any], protocol: str, where: str) -> Point:
    for key in row:
        if key not in COLUMNS:
            raise unknown_name("column", str(key), COLUMNS, where=where)
    values: dict[str, Any] = {}
    for key, value in row.items():
        values[key] = _number(value, f"{where} column {key}") if key in NUMBERS else str(value).strip()
    for key in ("address", "name"):
        if not values.get(key):
            raise InvalidInput(f"a point without {key}", where=where, expected=f"a value in column {key}")
    point = Point(**values | {"address": canonical_address(protocol, values["address"], where)})
    if point.role not in ROLES:
        raise unknown_name("role", point.role, ROLES, where=where)
    if point.unit not in UNITS and point.unit not in MORE_UNITS:
        raise unknown_name("unit", point.unit, [*UNITS, *MORE_UNITS], where=where)
    return _sound(point, where)


def _sound(point: Point, where: str) -> Point:
    """Return the point if its numbers make sense together."""
    if point.role == "load" and (point.unit not in UNITS or UNITS[point.unit].dimension != "power"):
        raise InvalidInput("a load that is no power", got=point.unit, expected="W, kW, MW or GW", where=where)
    if point.scale == 0:
        raise InvalidInput("a scale of zero", where=where, expected="any other number")
    if point.low is not None and point.high is not None and point.low >= point.high:
        raise InvalidInput("limits the wrong way round", got=f"{point.low} .. {point.high}", where=where)
    bounds = (point.stale_after_s, point.rate_per_s, point.stuck_after_s)
    if point.deadband < 0 or any(bound is not None and bound <= 0 for bound in bounds):
        raise InvalidInput(
            "a negative deadband, age or rate", where=where, expected="a deadband >= 0, ages and rates > 0"
        )
    return point


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or isinstance(value, bool):
        raise InvalidInput("not a number", got=value, expected="a number with a decimal point", where=where)
    return number
