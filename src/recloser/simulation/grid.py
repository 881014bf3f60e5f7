"""Owns the simulated grid: plan in, telemetry and weather forecast out as samples. Does not inject events."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from recloser.core import LOAD, SAMPLE_SCHEMA, TEMPERATURE, TIME, FloatArray
from recloser.simulation.demand import draw_load
from recloser.simulation.noise import coloured, decay
from recloser.simulation.plan import GridPlan, draw_traits
from recloser.simulation.timeline import Timeline, build_timeline
from recloser.simulation.weather import Weather, draw_weather

SUBSTATION = "substation_mw"
LOSSES = 0.015
_WEATHER_TAIL_DAYS = 2


class SimulatedGrid:
    """A distribution area with feeders, weather and a second measurement at each substation.

    Everything is a function of the plan: two grids of equal plans give equal frames. Not a copy of any real
    grid: synthetic data, calibrated to the ranges measured on real load (see `statistics`).
    """

    def __init__(self, plan: GridPlan) -> None:
        self.plan = plan

    @property
    def areas(self) -> tuple[str, ...]:
        """Return the feeder names in order."""
        return self.plan.areas

    @property
    def topology(self) -> dict[str, tuple[str, ...]]:
        """Return substation -> the feeders whose sum it measures."""
        return self.plan.topology

    @cached_property
    def _drawn(self) -> tuple[Timeline, Weather, FloatArray, FloatArray]:
        plan = self.plan
        seeds = np.random.SeedSequence(plan.seed).spawn(4)
        traits = draw_traits(plan, np.random.default_rng(seeds[0]))
        time = build_timeline(plan, plan.days + _WEATHER_TAIL_DAYS)
        weather = draw_weather(time, plan.latitude, np.random.default_rng(seeds[1]))
        load = draw_load(time, weather, traits, np.random.default_rng(seeds[2]))
        meters = _meters(load, plan, time.step_h, np.random.default_rng(seeds[3]))
        return time, weather, load[: plan.days * plan.steps_per_day], meters

    def frame(self) -> pl.DataFrame:
        """Return all samples in SAMPLE_SCHEMA, sorted by area, quantity and at.

        Per feeder `load_mw` (known one interval and the telemetry delay after `at`) and `temperature_c` (the
        forecast, known on the morning of the day before); per substation `substation_mw`. The source of a
        feeder's load is 'rtu:<substation>', so that events can keep both measurements consistent.
        """
        time, weather, load, meters = self._drawn
        plan = self.plan
        steps = len(load)
        known = _known_times(plan, time)
        home = {area: group for group, areas in plan.topology.items() for area in areas}
        blocks: list[pl.DataFrame] = []
        at = time.at
        for k, area in enumerate(plan.areas):
            source = f"rtu:{home[area]}" if area in home else "rtu"
            blocks.append(_block(area, LOAD, at[:steps], known[0], load[:, k], source))
            blocks.append(_block(area, TEMPERATURE, at, known[1], weather.forecast_c, "weather"))
        for k, name in enumerate(plan.topology):
            blocks.append(_block(name, SUBSTATION, at[:steps], known[0], meters[:, k], f"meter:{name}"))
        return pl.concat(blocks)

    def actual_temperature(self) -> pl.DataFrame:
        """Return columns at, temperature_c: the weather as it was, which no forecaster knew."""
        time, weather, load, _ = self._drawn
        return pl.DataFrame({"at": time.at, "temperature_c": weather.temperature_c}).head(len(load))


def _meters(load: FloatArray, plan: GridPlan, step_h: float, rng: np.random.Generator) -> FloatArray:
    """Return the substation meters in MW, shape (steps, substations): feeders plus losses, 0.1 % slow meter error."""
    steps = plan.days * plan.steps_per_day
    column = {area: k for k, area in enumerate(plan.areas)}
    sums = [load[:steps, [column[a] for a in areas]].sum(axis=1) for areas in plan.topology.values()]
    if not sums:
        return np.empty((steps, 0))
    total = np.stack(sums, axis=1)
    error = 0.001 * coloured(rng, total.shape, decay(12.0, step_h))
    result: FloatArray = total * (1.0 + LOSSES + error)
    return result


def _known_times(plan: GridPlan, time: Timeline) -> tuple[pl.Series, pl.Series]:
    steps = plan.days * plan.steps_per_day
    measured = time.at[:steps] + (plan.resolution + plan.telemetry_delay)
    published = pl.lit(plan.weather_published)
    frame = pl.DataFrame({"at": time.at}).select(
        (pl.col("at").dt.convert_time_zone(plan.zone).dt.date() - timedelta(days=1))
        .dt.combine(published, time_unit="us")
        .dt.replace_time_zone(plan.zone, ambiguous="earliest", non_existent="null")
        .dt.convert_time_zone("UTC")
        .fill_null(strategy="backward")
        .alias("known")
    )
    return measured, frame["known"]


def _block(area: str, quantity: str, at: pl.Series, known: pl.Series, values: FloatArray, source: str) -> pl.DataFrame:
    frame = pl.DataFrame({"at": at, "available_at": known, "value": values})
    return frame.select(
        pl.lit(area).alias("area"),
        pl.lit(quantity).alias("quantity"),
        pl.col("at").cast(TIME),
        pl.col("available_at").cast(TIME),
        pl.col("value"),
        pl.lit(0, dtype=pl.Int32).alias("quality"),
        pl.lit(source).alias("source"),
    ).select(list(SAMPLE_SCHEMA))


def span(plan: GridPlan) -> tuple[datetime, datetime]:
    """Return the first interval start and the end of the telemetry."""
    return plan.start, plan.start + timedelta(days=plan.days)
