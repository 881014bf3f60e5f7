"""Owns the description of a file: which column means what, in which unit, zone and convention. Reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from recloser.core import INCUMBENT, LOAD, TEMPERATURE, InvalidInput, Quality, parse_zone, unknown_name
from recloser.core.quantities import conversion

STAMPS = ("start", "end")
WEATHER = ("forecast", "measured", "actual_as_forecast")
AMBIGUOUS = ("order", "earliest", "latest")
REPEATED = ("error", "last")


@dataclass(frozen=True, slots=True)
class MappedColumn:
    """One quantity of the file: where it stands, its unit, and how long before (or after) `at` it is known.

    `lead` is None for what is measured: known at the end of the interval plus the mapping's availability delay.
    """

    column: str
    quantity: str
    unit: str
    lead: timedelta | None


@dataclass(frozen=True, slots=True)
class FileMapping:
    """How to read a CSV or Parquet file of series.

    Attributes:
        time: column of the time stamps.
        load: column of the load.
        area: column of the area, or '=NAME' if the whole file is one area.
        resolution: interval length.
        load_unit: unit of the load, a name of core.quantities ('kW', 'MW', ...).
        temperature, temperature_unit: column and unit of the temperature.
        weather: what the temperature is; must be said when there is one: 'forecast' (known `weather_lead` before
            the interval), 'measured' (known after it), or 'actual_as_forecast' (measured, but treated as if it had
            been forecast perfectly: results look better than they can be in operation; noted).
        weather_lead: how long before the interval a forecast temperature is known.
        incumbent, incumbent_unit: the operator's own forecast; unit None = `load_unit`.
        incumbent_lead: how long before the interval it is known.
        extra: column -> (quantity, unit) of further quantities.
        extra_lead: quantity -> lead, for those of `extra` that are known ahead; the others are measured.
        time_zone: zone of stamps without an offset, such as 'Europe/Amsterdam' or 'Etc/GMT-1' (= UTC+1, no summer
            time).
        time_format: strptime pattern ('%d/%m/%Y %H:%M'), 'unix_s' or 'unix_ms'; None = ISO 8601.
        stamp: whether a stamp is the 'start' or the 'end' of its interval; of ranges ('00:00 - 00:15') which is taken.
        period: column with the number of the interval in its local day, counted from 1 as the hours pass (so that the
            day of the autumn change has one hour's more); `time` is then the column of the day.
        ambiguous: the hour that comes twice in autumn: 'order' (by order of the rows, which must be in time order),
            'earliest' (summer time) or 'latest'.
        availability_delay: from the end of an interval until its measurement is known.
        available_at: column that says when each row was known; overrules every lead and delay.
        quality: column with a category or code per row, about the load.
        good: its values that may be trusted.
        quality_meaning: value -> Quality for the others; unlisted ones follow `quality.CATEGORY_QUALITY`.
        repeated: rows of one area and time with different values: 'error', or 'last' in the file wins.
        delimiter, decimal: of a CSV; None = detect (noted).
        encoding: of a CSV, a Python codec name; a byte order mark is understood anyway.
        skip_lines: lines before the header of a CSV.
        multiline: whether quoted cells of a CSV may hold line breaks; if not, an unclosed quote cannot hide rows.
    """

    time: str
    load: str
    area: str
    resolution: timedelta
    load_unit: str = "MW"
    temperature: str | None = None
    temperature_unit: str = "degC"
    weather: Literal["forecast", "measured", "actual_as_forecast"] | None = None
    weather_lead: timedelta = timedelta(days=2)
    incumbent: str | None = None
    incumbent_unit: str | None = None
    incumbent_lead: timedelta = timedelta(days=1)
    extra: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    extra_lead: Mapping[str, timedelta] = field(default_factory=dict)
    time_zone: str = "UTC"
    time_format: str | None = None
    stamp: Literal["start", "end"] = "start"
    period: str | None = None
    ambiguous: Literal["order", "earliest", "latest"] = "order"
    availability_delay: timedelta = timedelta(0)
    available_at: str | None = None
    quality: str | None = None
    good: frozenset[str] = frozenset({"OKAY"})
    quality_meaning: Mapping[str, Quality] = field(default_factory=dict)
    repeated: Literal["error", "last"] = "error"
    delimiter: str | None = None
    decimal: Literal[".", ","] | None = None
    encoding: str = "utf-8"
    skip_lines: int = 0
    multiline: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without the file.

        Raises:
            InvalidInput: unknown unit, zone or choice, an empty name, a negative duration, or weather unsaid.
        """
        self._check_choices()
        for name in ("time", "load", "area"):
            if not getattr(self, name).strip("="):
                raise InvalidInput("an empty name", got=getattr(self, name), expected="a column", where=_where(name))
        for name in ("availability_delay", "weather_lead", "incumbent_lead"):
            if getattr(self, name) < timedelta(0):
                raise InvalidInput("a negative duration", got=str(getattr(self, name)), where=_where(name))
        if self.resolution < timedelta(seconds=1) or self.resolution % timedelta(seconds=1):
            raise InvalidInput(
                "unusable resolution",
                got=str(self.resolution),
                expected="whole seconds, at least one",
                where=_where("resolution"),
            )
        if self.period is not None and self.stamp == "end":
            raise InvalidInput(
                "an end stamp beside numbered periods",
                where=_where("stamp"),
                expected="stamp = 'start'",
                next_step="A period is the same interval whichever end names it: leave stamp away.",
            )
        parse_zone(self.time_zone, _where("time_zone"))
        if self.temperature is not None and self.weather is None:
            raise InvalidInput(
                "it is not said what the temperature column is",
                expected="weather = one of " + ", ".join(WEATHER),
                where=_where("weather"),
                next_step="Choose 'actual_as_forecast' only if you accept results that are too good.",
            )
        named = [column.quantity for column in self.columns()]
        for quantity in self.extra_lead:
            if quantity not in named:
                raise unknown_name("quantity", quantity, named, _where("extra_lead"))
        if len(set(named)) < len(named):
            raise InvalidInput("a quantity is mapped twice", got=named, where=_where("extra"))

    def _check_choices(self) -> None:
        choices = {
            "stamp": STAMPS,
            "weather": WEATHER,
            "ambiguous": AMBIGUOUS,
            "repeated": REPEATED,
            "decimal": (".", ","),
        }
        for name, known in choices.items():
            chosen = getattr(self, name)
            if chosen is not None and chosen not in known:
                raise unknown_name(name, str(chosen), known, _where(name))
        if self.delimiter is not None and len(self.delimiter.encode()) != 1:
            raise InvalidInput("the delimiter must be one character", got=self.delimiter, where=_where("delimiter"))

    def columns(self) -> list[MappedColumn]:
        """Return the mapped quantities, the load first.

        Raises:
            InvalidInput: an unknown unit, or one of the wrong dimension.
        """
        mapped = [MappedColumn(self.load, LOAD, self.load_unit, None)]
        if self.temperature is not None:
            lead = None if self.weather == "measured" else self.weather_lead
            mapped.append(MappedColumn(self.temperature, TEMPERATURE, self.temperature_unit, lead))
        if self.incumbent is not None:
            unit = self.incumbent_unit or self.load_unit
            mapped.append(MappedColumn(self.incumbent, INCUMBENT, unit, self.incumbent_lead))
        for name, (quantity, unit) in self.extra.items():
            mapped.append(MappedColumn(name, quantity, unit, self.extra_lead.get(quantity)))
        for column in mapped:
            conversion(column.quantity, column.unit, _where(f"unit of {column.column!r}"))
        return mapped

    def needed(self) -> list[str]:
        """Return the names of all columns that must be in the file, each once."""
        names = [
            self.time,
            self.period,
            self.area,
            self.available_at,
            self.quality,
            *(c.column for c in self.columns()),
        ]
        return list(dict.fromkeys(n for n in names if n is not None and not n.startswith("=")))


def _where(name: str) -> str:
    return f"file mapping, {name}"
