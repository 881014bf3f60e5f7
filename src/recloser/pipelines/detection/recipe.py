"""Owns what a detector learns from and is judged on: labelled windows of phasors, simulated or the project's own.

Trains nothing and reads no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from recloser.core import FloatArray
from recloser.features.phasors import PHASOR_FEATURES, phasor_features, window_ends
from recloser.simulation.phasors import GridEvent, PhasorPlan, Scene, scene
from recloser.staging import DetectionNeed

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
RATES = (25, 30, 50, 60)
LASTING = frozenset({GridEvent.OSCILLATION, GridEvent.ISLANDING, GridEvent.BAD_DATA})
"""Events that a window still shows when they began before it."""
SAMPLED_S = 2.0
"""Simulated windows lie at least so far apart: neighbours overlap, and tell little more."""
UNCLEAR_S = 0.5
"""So long after an event began a window is neither with it nor without."""
SYNTHETIC, OWN = "synthetic", "own"
WINDOW_SCHEMA: dict[str, Any] = {
    "at": pl.Datetime("us", "UTC"),
    "label": pl.String(),
    "scene": pl.Int64(),
    "origin": pl.String(),
    **dict.fromkeys(PHASOR_FEATURES, pl.Float32()),
}
"""One row is one window: its end, what it shows ('none' for nothing), of which scene or day it is, whence it is."""


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(schema=WINDOW_SCHEMA)


@dataclass(frozen=True, slots=True)
class DetectionRecipe:
    """What a run of the detector's pipeline is made of.

    Attributes:
        kinds: events to detect, in order.
        window_s, step_s: length of a window, and from one to the next.
        nominal_hz: of the grid.
        train_scenes, test_scenes: simulated scenes of each kind to learn from, and to be judged on.
        need: what the detector must do at the least.
        seed: of the scenes that are learned from.
        own: returns the project's own labelled windows, WINDOW_SCHEMA; empty without any.
    """

    kinds: tuple[str, ...]
    window_s: float = 10.0
    step_s: float = 1.0
    nominal_hz: float = 50.0
    train_scenes: int = 40
    test_scenes: int = 30
    need: DetectionNeed = DetectionNeed()  # noqa: RUF009 - frozen
    seed: int = 1
    own: Callable[[], pl.DataFrame] = _nothing

    @property
    def sampled_s(self) -> float:
        """Seconds from one simulated window to the next."""
        return max(self.step_s, SAMPLED_S)


def synthetic_windows(recipe: DetectionRecipe, seed: int, scenes: int) -> pl.DataFrame:
    """Return labelled windows of `scenes` simulated scenes of each kind and of none, WINDOW_SCHEMA; deterministic.

    The systems differ in the number and places of PMUs, their rate, modes and errors; equal seeds give equal rows.
    """
    rows = [row for number in range(scenes) for row in _scene_rows(recipe, seed, number)]
    return pl.DataFrame(rows, schema=WINDOW_SCHEMA, orient="row")


def _scene_rows(recipe: DetectionRecipe, seed: int, number: int) -> Iterator[tuple[Any, ...]]:
    plan = PhasorPlan(seed, 4 + 7 * number % 27, RATES[number % len(RATES)], recipe.nominal_hz)
    wanted = {*recipe.kinds, GridEvent.NONE.value}
    for place, event in enumerate(event for event in GridEvent if event.value in wanted):
        one = scene(plan, event, number)
        begun = EPOCH + timedelta(minutes=len(GridEvent) * number + place)
        window = round(recipe.window_s * plan.rate_hz)
        for end in window_ends(one.block, recipe.window_s, recipe.sampled_s):
            end_s = end / plan.rate_hz
            label = label_at(one, end_s, recipe.window_s)
            if label is not None:
                features = phasor_features(one.block.part(end - window, end))
                yield begun + timedelta(seconds=end_s), label, number, SYNTHETIC, *features.tolist()


def label_at(one: Scene, end_s: float, window_s: float) -> str | None:
    """Return what a window that ends `end_s` after the scene began shows; None where it is too early or late to say."""
    since = end_s - one.begins_s
    if since <= 0.0:
        return GridEvent.NONE.value
    if since < UNCLEAR_S or (since > window_s and one.event not in LASTING):
        return None
    return one.event.value


def inputs_of(windows: pl.DataFrame) -> FloatArray:
    """Return the features of windows, shape (n_windows, n_features)."""
    result: FloatArray = windows.select(PHASOR_FEATURES).to_numpy().astype(np.float64)
    return result


def truth_of(windows: pl.DataFrame, kinds: Sequence[str]) -> FloatArray:
    """Return 1 where a window shows a kind, 0 where not, NaN where nobody knows; shape (n_windows, n_kinds)."""
    labels = windows["label"].to_list()
    return np.array([[np.nan if told is None else float(told == kind) for kind in kinds] for told in labels])


def rows_of(windows: pl.DataFrame, kinds: Sequence[str]) -> pl.DataFrame:
    """Return what the gateway is asked: one row a window and kind, in that order, with the kind as its area.

    Args:
        windows: columns at and PHASOR_FEATURES.
        kinds: events.
    """
    asked = pl.DataFrame({"area": list(kinds)})
    features = [pl.col(name).cast(pl.Float32) for name in PHASOR_FEATURES]
    rows = windows.select("at", *features).join(asked, how="cross", maintain_order="left_right")
    return rows.select("area", "at", pl.lit(1.0).alias("scale_mw"), *PHASOR_FEATURES)
