"""Owns the FeatureSet: which columns, for which horizon, and their computation for a whole fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, time, timedelta
from typing import Any

import polars as pl

from recloser.core import Horizon, InvalidInput, Panel, digest_of, parse_zone, unknown_name
from recloser.features.block import Feature
from recloser.features.compute import SCALE_DAYS, compute_frame
from recloser.features.days import HolidayLag, LocalTime
from recloser.features.extra import Extra
from recloser.features.loads import LoadLag, LoadLevel, LoadMean, LoadNewest, LoadSimilar, LoadSpread, LoadTrend
from recloser.features.standard import standard_features
from recloser.features.weather import DegreeHours, WeatherAt, WeatherChange, WeatherDay, WeatherMean

KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        LoadLag,
        LoadMean,
        LoadNewest,
        LoadSimilar,
        LoadLevel,
        LoadSpread,
        LoadTrend,
        WeatherAt,
        WeatherMean,
        WeatherChange,
        WeatherDay,
        DegreeHours,
        LocalTime,
        HolidayLag,
    )
}
FIXED = ("area", "issued_at", "at", "lead_h", "scale_mw")


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Declared columns for one horizon; the same object computes them in training, staging, serving and replay.

    Attributes:
        horizon: when forecasts are issued and for which targets.
        features: declared columns, in order.
        country: ISO 3166 code for public holidays, None for none.
        subdivision: its region.
        extra: the user's own columns.

    Raises:
        InvalidInput: no column, a name twice, or a column that looks past the issue.
    """

    horizon: Horizon
    features: tuple[Feature, ...]
    country: str | None = None
    subdivision: str | None = None
    extra: tuple[Extra, ...] = ()

    def __post_init__(self) -> None:
        names = [*FIXED, *self.names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not self.names:
            raise InvalidInput("feature names must be given and unique", got=twice, where="FeatureSet")
        for feature in self.features:
            feature.check(self.horizon)
        for own in self.extra:
            own.check(self.horizon)

    @classmethod
    def standard(
        cls,
        horizon: Horizon,
        country: str | None = None,
        subdivision: str | None = None,
        *,
        weather: bool | Sequence[str] = True,
        extra: Sequence[Extra] = (),
    ) -> FeatureSet:
        """Return the set we ship for day-ahead load.

        Args:
            horizon: issue time, resolution and number of days.
            country: ISO 3166 code for public holidays, e.g. 'AU'.
            subdivision: e.g. 'VIC'.
            weather: True for 'temperature_c', False for none, or the names of quantities known ahead.
            extra: own columns.

        Raises:
            InvalidInput: as the class.
        """
        names = (("temperature_c",) if weather else ()) if isinstance(weather, bool) else tuple(weather)
        return cls(horizon, standard_features(horizon, names), country, subdivision, tuple(extra))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the feature columns in order."""
        return (*(item.name for item in self.features), *(item.name for item in self.extra))

    @property
    def measured(self) -> tuple[str, ...]:
        """Return the declared columns that come from a series; the calendar goes on beyond whatever was trained on."""
        return tuple(item.name for item in self.features if item.quantity is not None)

    @property
    def quantities(self) -> tuple[str, ...]:
        """Return the series that the declared columns read, sorted; extras may read more."""
        return tuple(sorted({item.quantity for item in self.features if item.quantity is not None}))

    @property
    def memory(self) -> timedelta:
        """Return how far before an issue data is read: what serving must keep at hand."""
        spans = [item.reach for item in self.features] + [item.memory + item.lag for item in self.extra]
        return max([*spans, timedelta(days=SCALE_DAYS)])

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the declaration."""
        return digest_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the declaration as JSON-ready data."""
        return {
            "format": 1,
            "horizon": {
                "zone": self.horizon.zone.key,
                "resolution_s": int(self.horizon.resolution.total_seconds()),
                "issue_time": self.horizon.issue_time.isoformat(),
                "days": self.horizon.days,
            },
            "country": self.country,
            "subdivision": self.subdivision,
            "features": [{"kind": type(item).__name__, **_fields(item)} for item in self.features],
            "extra": [item.to_dict() for item in self.extra],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], extra: Sequence[Extra] = ()) -> FeatureSet:
        """Rebuild a declaration; the code of its extra columns is handed in and must be the declared one.

        Raises:
            InvalidInput: unknown kind, or an extra column is absent or differs.
        """
        try:
            horizon = data["horizon"]
            built = Horizon(
                parse_zone(horizon["zone"], "FeatureSet.horizon.zone"),
                timedelta(seconds=horizon["resolution_s"]),
                time.fromisoformat(horizon["issue_time"]),
                horizon["days"],
            )
            features = tuple(_feature(item) for item in data["features"])
            declared = data["extra"]
            region = (data["country"], data["subdivision"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("an unreadable feature declaration", got=repr(error), where="FeatureSet") from error
        return cls(built, features, *region, _matched(declared, extra))

    def compute(self, panel: Panel, issues: Sequence[datetime], areas: Sequence[str] | None = None) -> pl.DataFrame:
        """Compute all columns for every target of every issue, each exactly as known at its issue.

        Args:
            panel: revisions of the areas' series; must reach to the last issue.
            issues: issue instants (aware UTC), any order.
            areas: which areas; default all of the panel. An area without data gives missing features.

        Returns:
            area, issued_at, at, lead_h (hours from issue to target), scale_mw (mean absolute load of the last 28
            days as known at the issue; null where less than a day is known), then Float32 columns `names`, null
            where an input is missing. Sorted by area, issued_at, at.

        Raises:
            InvalidInput: an issue lies after the panel's `as_of`, or series and targets lie on different grids.
        """
        names = sorted(set(panel.frame["area"].unique())) if areas is None else sorted(set(areas))
        return compute_frame(self, panel, issues, names)


def _fields(item: Feature) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(item).items()}  # type: ignore[call-overload]


def _feature(data: Mapping[str, Any]) -> Feature:
    kind = data["kind"]
    if kind not in KINDS:
        raise unknown_name("feature kind", kind, KINDS, where="FeatureSet")
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key != "kind"}
    built: Feature = KINDS[kind](**fields)
    return built


def _matched(declared: Sequence[Mapping[str, Any]], given: Sequence[Extra]) -> tuple[Extra, ...]:
    by_name = {item.name: item for item in given}
    result = []
    for wanted in declared:
        found = by_name.get(wanted["name"])
        if found is None or found.to_dict() != dict(wanted):
            raise InvalidInput(
                "an extra feature is absent or not the one the model was trained with",
                got=None if found is None else str(found.to_dict()),
                expected=str(dict(wanted)),
                where=f"feature {wanted['name']}",
                next_step="Restore the project's Python file of that release, or retrain.",
            )
        result.append(found)
    return tuple(result)
