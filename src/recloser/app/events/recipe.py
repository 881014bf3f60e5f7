"""Owns what a run of a project's detector is made of, as its file says. Trains nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from recloser.app.events.labels import Told, events_between, labelled
from recloser.app.events.windows import LIVE, WindowStore
from recloser.app.project.layout import Layout
from recloser.app.project.settings import Project
from recloser.ledger import Ledger
from recloser.pipelines import DetectionRecipe
from recloser.pipelines.detection.recipe import OWN, WINDOW_SCHEMA

QUIET_EVERY = 300
"""One in so many quiet windows is learned from: a day has 86,400 of them that are all alike."""
DAY = timedelta(days=1)


def recipe_of_project(project: Project, layout: Layout, ledger: Ledger) -> DetectionRecipe | None:
    """Return the recipe, None in a project that forecasts."""
    events = project.events
    if events is None:
        return None
    windows, window_s = WindowStore(layout.windows), events.window_seconds
    return DetectionRecipe(
        kinds=project.project.areas,
        window_s=events.window_seconds,
        step_s=events.step_seconds,
        nominal_hz=float(events.nominal_hz),
        train_scenes=events.train_scenes,
        test_scenes=events.test_scenes,
        need=events.need(),
        seed=project.model.seed,
        own=lambda: own_windows(windows, ledger, window_s),
    )


def own_windows(windows: WindowStore, ledger: Ledger, window_s: float) -> pl.DataFrame:
    """Return the project's own windows that people labelled, WINDOW_SCHEMA; empty before anybody labelled an event.

    Those of events, those that were called events and are none, and some of the quiet ones of the same days. The scene
    is the day.
    """
    found = [pl.DataFrame(schema=WINDOW_SCHEMA)]
    for day in windows.days():
        start = datetime.combine(day, datetime.min.time(), tzinfo=UTC)
        events = events_between(ledger, start - timedelta(hours=1), start + DAY)
        if any(event.label is not None for event in events):
            seen = windows.read(start, start + DAY).filter(pl.col("origin") == LIVE)
            told = labelled(seen, events, window_s).filter(pl.col("label").is_not_null())
            quiet = (pl.col("label") == "none") & ~_around_false(events, window_s)
            still = told.filter(quiet).gather_every(QUIET_EVERY)
            kept = pl.concat([told.filter(~quiet), still])
            day_number = pl.lit(day.toordinal(), dtype=pl.Int64)
            found.append(
                kept.with_columns(day_number.alias("scene"), pl.lit(OWN).alias("origin")).select(list(WINDOW_SCHEMA))
            )
    return pl.concat(found)


def _around_false(events: list[Told], window_s: float) -> pl.Expr:
    """Return which windows were called an event by mistake."""
    result = pl.lit(value=False)
    for event in events:
        if event.label == "none":
            over = event.over_at or event.first_at + timedelta(seconds=window_s)
            result |= pl.col("at").is_between(pl.lit(event.first_at), pl.lit(over))
    return result
