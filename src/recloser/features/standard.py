"""Owns the columns we ship for day-ahead load. A list of declarations, no computation."""

from __future__ import annotations

from recloser.core import TEMPERATURE, Horizon
from recloser.features.block import Feature
from recloser.features.days import LOCAL_FIELDS, HolidayLag, LocalTime
from recloser.features.loads import (
    LoadLag,
    LoadLevel,
    LoadMean,
    LoadNewest,
    LoadSimilar,
    LoadSpread,
    LoadTrend,
    shortest_lag,
)
from recloser.features.weather import DegreeHours, WeatherAt, WeatherChange, WeatherDay, WeatherMean


def standard_features(horizon: Horizon, weather: tuple[str, ...]) -> tuple[Feature, ...]:
    """Return calendar, load and weather columns that respect the horizon's leads."""
    least = shortest_lag(horizon)
    week = 7 * -(-least // 7)
    weeks = tuple(week + 7 * k for k in range(4))
    single = horizon.days == 1
    calendar = [LocalTime(field) for field in LOCAL_FIELDS if field != "lead_hours" or not single]
    loads: list[Feature] = [
        *(LoadLag(days) for days in dict.fromkeys([least, least + 1, *weeks])),
        LoadMean(weeks),
        LoadNewest(least + 2),
        LoadSimilar(4, max(21, weeks[-1])),
        LoadLevel(24),
        LoadTrend(24, 7),
        LoadTrend(6, 7),
        LoadTrend(168, 7),
        LoadSpread(168, 7),
    ]
    holidays = [HolidayLag(days) for days in (least, week)]
    return (*calendar, *holidays, *loads, *(f for name in weather for f in weather_features(name, least)))


def weather_features(quantity: str, least: int) -> tuple[Feature, ...]:
    """Return the columns with memory of one quantity known ahead."""
    common: list[Feature] = [
        WeatherAt(quantity),
        WeatherAt(quantity, 3),
        WeatherMean(quantity, 6),
        WeatherMean(quantity, 24),
        WeatherMean(quantity, 72),
        WeatherDay(quantity, "max"),
        WeatherDay(quantity, "min"),
        WeatherChange(quantity, 24, least),
        WeatherChange(quantity, 24, 7 * -(-least // 7)),
    ]
    if quantity == TEMPERATURE:
        common += [DegreeHours(quantity, "heating", 18.0, 24), DegreeHours(quantity, "cooling", 20.0, 24)]
    return tuple(common)
