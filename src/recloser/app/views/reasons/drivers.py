"""Owns what the inputs of a model are called for people, and in which unit. Computes nothing."""

from __future__ import annotations

import re

PLAIN = {
    "hour": ("time of the day", "h"),
    "weekday": ("day of the week (0 is Monday)", ""),
    "year_day": ("day of the year", ""),
    "holiday": ("holiday", ""),
    "holiday_before": ("day before a holiday", ""),
    "holiday_after": ("day after a holiday", ""),
    "bridge": ("day between a holiday and the weekend", ""),
    "day_kind": ("kind of day (0 working day, 1 Saturday, 2 Sunday or holiday)", ""),
    "load_level_24h": ("load of the last 24 h", "MW"),
}
SPANS = {"d": "days", "h": "h"}
LAG = re.compile(r"load_lag_(\d+)([dh])$")
MEAN = re.compile(r"load_mean_([\d_]+)d$")
TREND = re.compile(r"load_trend_(\d+h)_(\d+d)$")
SPREAD = re.compile(r"load_spread_(\d+h)_(\d+d)$")
COUNT = re.compile(r"load_(newest|similar)_(\d+)d?$")
HOLIDAY = re.compile(r"holiday_lag_(\d+)d$")
DEGREES = re.compile(r"(heating|cooling)_(\d+)c_(\d+)h$")
WEATHER = re.compile(r"(\w+?)_(c|ms|wm2|pct|mm)(?:_(lag|mean|day|change)_(\w+))?$")
UNITS = {"c": "degC", "ms": "m/s", "wm2": "W/m2", "pct": "%", "mm": "mm"}


def driver_words(name: str) -> tuple[str, str, bool]:
    """Return an input in words, its unit, and whether its column is in units of the area's level (then MW)."""
    if name in PLAIN:
        words, unit = PLAIN[name]
        return words, unit, name.startswith("load_")
    if found := LAG.match(name):
        return f"load {found[1]} {SPANS[found[2]]} before", "MW", True
    if found := MEAN.match(name):
        return f"mean load {', '.join(found[1].split('_'))} days before", "MW", True
    if found := TREND.match(name):
        return f"load of the last {found[1]} against {found[2]} before", "MW", True
    if found := SPREAD.match(name):
        return f"spread of the load over {found[1]}, {found[2]} before", "MW", True
    if found := COUNT.match(name):
        kind = "newest days" if found[1] == "newest" else "days of the same kind"
        return f"mean load of the {found[2]} {kind}", "MW", True
    if found := HOLIDAY.match(name):
        return f"holiday {found[1]} days before", "", False
    if found := DEGREES.match(name):
        side = "below" if found[1] == "heating" else "above"
        return f"degrees {side} {found[2]} degC, mean of {found[3]} h", "degC", False
    if found := WEATHER.match(name):
        return _weather(found), UNITS[found[2]], False
    return name.replace("_", " "), "", False


def _weather(found: re.Match[str]) -> str:
    what, kind, span = found[1].replace("_", " "), found[3], (found[4] or "").replace("_", " ")
    if kind is None:
        return what
    told = {
        "lag": f"{what} {span} before",
        "mean": f"{what}, mean of {span}",
        "day": f"{what}, {span} of the day",
        "change": f"change of {what}, {span.replace(' ', ' against ')} before",
    }
    return told[kind]
