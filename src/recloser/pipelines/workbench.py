"""Owns what a step may use: the wired rooms of one project, handed to every step. Holds no state of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import polars as pl

from recloser.core import Clock, FloatArray
from recloser.features import FeatureSet
from recloser.ledger import Ledger
from recloser.models import Model, TrainingPlan
from recloser.pipelines.detection.recipe import DetectionRecipe
from recloser.registry import CodeCommit, EnvironmentLock, ModelRegistry, PublicKey, Signer
from recloser.registry.content.description import Surroundings
from recloser.staging import GatePolicy, GridModel, TrialPlan, TrialRunner
from recloser.store import Store

Train = Callable[[pl.DataFrame, tuple[str, ...], TrainingPlan], Model]


class Contender(Protocol):
    """A model that already serves, as far as a candidate needs to know it."""

    @property
    def release(self) -> str:
        """Release id."""
        ...

    @property
    def features(self) -> FeatureSet:
        """What it reads."""
        ...

    @property
    def held_out_from(self) -> datetime | None:
        """Start of the window of which it learned every second day only (aware UTC); None if unknown."""
        ...

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles)."""
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """Windows of a training run, in days.

    Attributes:
        history_days: how far back training reaches.
        holdout_days: length of the recent window whose every second day is held out.
        latency_p99_ms: what one area's day may cost at most.
        windows: what training may choose from; more than one is tried by a backtest (`choosing`).
    """

    history_days: int
    holdout_days: int
    latency_p99_ms: float
    windows: tuple[Literal["expanding", "trailing", "recent", "regime"], ...] = ("expanding",)


@dataclass(frozen=True, slots=True)
class Workbench:
    """The wired rooms of one project.

    Attributes:
        registry: opens the model registry (slow with MLflow, so only the step that needs it calls it).
        areas: what is forecast.
        surroundings: lock and installed distributions that a package is described with (read at first use).
        features: feature set of new candidates.
        train: makes a model from rows (the project's own function or the default).
        plan, recipe, policy: training plan, windows, gate thresholds.
        champion: returns the serving contender, or None before the first.
        load: opens a saved model folder.
        timer: monotonic seconds, for the latency check.
        allow_pickle: whether models may hold Python pickles.
        groups: asset groups, name -> areas, that the gate looks at each by itself.
        trial: runs candidates in processes of their own; None: not done, for the reason `untried`.
        trial_plan: how.
        network: opens the network model that forecasts are tried on, None without one; slow, so only a run with trials
            does so.
        detection: what a run of the detector's pipeline is made of; None in a project that forecasts.
        saboteur: bad candidates on demand in a replay's scenario: name -> (rows -> rows) and (model -> model).
    """

    ledger: Ledger
    store: Store
    registry: Callable[[], ModelRegistry]
    clock: Clock
    areas: tuple[str, ...]
    features: FeatureSet
    train: Train
    plan: TrainingPlan
    recipe: Recipe
    policy: GatePolicy
    packages: Path
    runs: Path
    signer: Signer
    trusted: tuple[PublicKey, ...]
    environment: EnvironmentLock
    surroundings: Callable[[], Surroundings]
    commit: CodeCommit | None
    champion: Callable[[], Contender | None]
    load: Callable[[Path], Model]
    timer: Callable[[], float]
    saboteur: Mapping[str, Any]
    allow_pickle: bool = False
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trial: TrialRunner | None = None
    trial_plan: TrialPlan = field(default_factory=TrialPlan)
    network: Callable[[], GridModel] | None = None
    untried: str = "no trial was asked for"
    detection: DetectionRecipe | None = None


def union(first: FeatureSet, second: FeatureSet | None) -> FeatureSet:
    """Return the feature set with the columns of both, so that one frame serves two models.

    Raises:
        InvalidInput: a name stands for different columns in the two.
    """
    if second is None or second.digest == first.digest:
        return first
    features = tuple(dict.fromkeys((*first.features, *second.features)))
    # Own columns may hold expressions, which cannot be compared: what they declare can.
    known = [item.to_dict() for item in first.extra]
    added = tuple(item for item in second.extra if item.to_dict() not in known)
    return replace(first, features=features, extra=(*first.extra, *added))
