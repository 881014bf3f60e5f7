"""Owns feature rows of days that are rare: of 23 and 25 hours, and leap day. Judges nothing."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl

from recloser.core import LOAD, Horizon, Panel, instant, local_midnight
from recloser.features import FeatureSet

WEEK = timedelta(days=7)
SLACK = timedelta(days=2)


def special_days(features: FeatureSet, panel: Panel, areas: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Return rows of the newest day of 23 and of 25 hours and of leap day, as production would get them.

    A day that the history does not hold is made of the newest data moved by whole weeks, so that weekdays stay.

    Args:
        features: columns.
        panel: history.
        areas: which areas.
    """
    newest = panel.frame.filter(pl.col("quantity") == LOAD)["at"].max()
    if not isinstance(newest, datetime):
        return {}
    last = newest.astimezone(features.horizon.zone).date() - timedelta(days=1)
    return {
        f"{label} {day.isoformat()}": _rows(features, panel, areas, day, last)
        for label, day in rare_days(features.horizon, last).items()
    }


def rare_days(horizon: Horizon, last: date) -> dict[str, date]:
    """Return what is rare -> its newest local day not after `last`; days without clock changes only where there are."""
    found: dict[str, date] = {}
    for back in range(400):
        day = last - timedelta(days=back)
        hours = (local_midnight(day + timedelta(days=1), horizon.zone) - local_midnight(day, horizon.zone)) / timedelta(
            hours=1
        )
        if hours < 24:
            found.setdefault("clocks forward", day)
        elif hours > 24:
            found.setdefault("clocks back", day)
    year = next(y for y in range(last.year, last.year - 9, -1) if calendar.isleap(y) and date(y, 2, 29) <= last)
    return {**dict(sorted(found.items())), "leap day": date(year, 2, 29)}


def _rows(features: FeatureSet, panel: Panel, areas: Sequence[str], day: date, last: date) -> pl.DataFrame:
    """Return the rows of one day: of areas whose history holds it as it was, of the others made."""
    issue = features.horizon.issue_for(local_midnight(day, features.horizon.zone))
    early = (pl.col("quantity") == LOAD) & (pl.col("at") <= instant(issue - features.memory - SLACK))
    holding = set(panel.frame.filter(early)["area"].unique().to_list())
    weeks = (last - day).days // 7
    parts = [
        _made(features, panel, mine, day, shift)
        for shift, mine in ((0, [a for a in areas if a in holding]), (weeks, [a for a in areas if a not in holding]))
        if mine
    ]
    return pl.concat(parts).sort("area", "issued_at", "at")


def _made(features: FeatureSet, panel: Panel, areas: Sequence[str], day: date, weeks: int) -> pl.DataFrame:
    """Return the rows of one day of the data `weeks` later."""
    issue, needed = features.horizon.issue_for(local_midnight(day, features.horizon.zone)), features.memory + SLACK
    source = Panel(_near(panel.frame, issue + weeks * WEEK, needed), panel.resolution, panel.as_of)
    moved = source.frame.with_columns(pl.col("at", "available_at") - weeks * WEEK)
    end = max(panel.as_of - weeks * WEEK, issue)
    rows = features.compute(Panel(moved, panel.resolution, end), [issue], areas)
    target = [local_midnight(day + timedelta(days=k), features.horizon.zone) for k in (0, 1)]
    return rows.filter(pl.col("at").is_between(instant(target[0]), instant(target[1]), closed="left"))


def _near(frame: pl.DataFrame, issue: datetime, needed: timedelta) -> pl.DataFrame:
    low, high = (instant(at.astimezone(UTC)) for at in (issue - needed, issue + needed))
    return frame.filter(pl.col("at").is_between(low, high))
