"""Owns detectors of events: for each class of event a booster that answers how likely it is. Trains them too.

A row asks about one class: its `area` names it. The one quantile level, 0.5, holds the probability, so that package,
gateway, guard, canary and rollback treat a detector as they treat a forecaster; its unit is 1 and its limits 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from recloser.core import FloatArray, InvalidInput, ModelRows, digest_bytes
from recloser.models.lightgbm_native import Boosters, grown, version
from recloser.models.lightgbm_quantile import booster_text
from recloser.models.model import Float32Array, matrix, write_facts

KIND = "event_detector"
LEVELS = (0.5,)
LEAST_WINDOWS = 50


@dataclass(frozen=True, slots=True)
class EventDetector:
    """One booster per class, trained on squared error (that is the Brier score), clipped to [0, 1].

    Probabilities of different classes are judged one by one and need not add up to 1: two things may happen at once.

    Attributes:
        feature_names: columns in the boosters' order.
        classes: what it knows, in order.
        boosters: one per class, in LightGBM's text form.
        facts: how it was trained, JSON-ready.
    """

    feature_names: tuple[str, ...]
    classes: tuple[str, ...]
    boosters: tuple[str, ...]
    facts: Mapping[str, Any]
    _trees: Boosters = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the boosters."""
        object.__setattr__(self, "_trees", Boosters(self.boosters, len(self.feature_names)))

    @property
    def kind(self) -> str:
        """Return event_detector."""
        return KIND

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Return the one level, which holds the probability."""
        return LEVELS

    @property
    def prompt(self) -> bool:
        """Return whether an answer takes bounded time in code of ours alone."""
        return self._trees.prompt

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return probabilities, shape (n_rows, 1), of the class that each row's `area` names.

        NaN where every feature is missing, or the class is not one that it knows.

        Raises:
            InvalidInput: a column is absent.
        """
        if "area" not in rows.columns:
            raise InvalidInput("rows lack a column that the model needs", got="no 'area'", where=KIND)
        return self._picked(matrix(rows, self.feature_names, KIND), rows["area"].to_list())

    def predict_rows(self, rows: ModelRows) -> FloatArray:
        """Return the same bits as `predict` of the same rows, without a data frame.

        Raises:
            InvalidInput: a column is absent.
        """
        return self._picked(rows.select(self.feature_names), rows.areas)

    def all_classes(self, inputs: Float32Array) -> FloatArray:
        """Return probabilities of all classes for features of shape (n_rows, n_features): (n_rows, n_classes)."""
        if inputs.shape[0] == 0:
            return np.empty((0, len(self.classes)))
        result: FloatArray = np.clip(np.stack(self._trees.answers(inputs), axis=1), 0.0, 1.0)
        result[np.isnan(inputs).all(axis=1)] = np.nan
        return result

    def _picked(self, inputs: Float32Array, areas: Sequence[str | None]) -> FloatArray:
        place = {name: index for index, name in enumerate(self.classes)}
        asked = np.array([place.get(area, -1) if area is not None else -1 for area in areas], dtype=np.intp)
        answers = self.all_classes(inputs)
        result = np.full((len(asked), 1), np.nan)
        known = asked >= 0
        result[known, 0] = answers[known, asked[known]]
        return result

    def save(self, folder: Path) -> None:
        """Write a LightGBM text per class and model.json with their digests."""
        texts = {_file(index): text.encode() for index, text in enumerate(self.boosters)}
        write_facts(
            folder,
            {
                "kind": KIND,
                "feature_names": list(self.feature_names),
                "quantiles": list(LEVELS),
                "classes": list(self.classes),
                "files": {name: digest_bytes(text) for name, text in texts.items()},
                "training": dict(self.facts),
            },
        )
        for name, text in texts.items():
            (folder / name).write_bytes(text)

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> Self:
        """Rebuild from a folder and its model.json.

        Raises:
            Refused: a file is absent, damaged, or of another number of features.
        """
        names, classes = tuple(facts["feature_names"]), _checked(tuple(facts["classes"]))
        digests = facts["files"]
        files = [_file(index) for index in range(len(classes))]
        boosters = tuple(booster_text(folder / name, digests[name], len(names)) for name in files)
        return cls(names, classes, boosters, facts["training"])


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """How to train a detector.

    Attributes:
        trees, leaves, learning_rate: of each booster.
        dropout: share of training rows in which features go missing at random.
        threads: fixed number of LightGBM threads.
        seed: of sampling.
    """

    trees: int = 120
    leaves: int = 31
    learning_rate: float = 0.08
    dropout: float = 0.03
    threads: int = 1
    seed: int = 1


def train_detector(
    inputs: FloatArray,
    labels: Sequence[str],
    feature_names: tuple[str, ...],
    classes: tuple[str, ...],
    plan: DetectorPlan | None = None,
) -> EventDetector:
    """Train on labelled windows; deterministic for equal rows, plan and library version.

    Args:
        inputs: features, shape (n_windows, n_features); NaN is missing.
        labels: what each window shows: a class, or anything else for none of them.
        feature_names: of the columns of `inputs`.
        classes: what to detect.
        plan: how; default DetectorPlan().

    Raises:
        InvalidInput: another shape than the names and labels say, or a class with fewer than 50 windows.
    """
    plan = plan or DetectorPlan()
    classes = _checked(classes)
    if inputs.shape != (len(labels), len(feature_names)):
        raise InvalidInput(
            "training windows of another shape",
            got=inputs.shape,
            expected=f"({len(labels)}, {len(feature_names)})",
            where="train_detector",
        )
    told = np.array(labels, dtype=object)
    for name in classes:
        count = int((told == name).sum())
        if count < LEAST_WINDOWS:
            raise InvalidInput(
                "too few windows of a class to train on",
                got=f"{count} of {name!r}",
                expected=f"at least {LEAST_WINDOWS}",
                where="train_detector",
            )
    random = np.random.Generator(np.random.PCG64(plan.seed))
    shown = np.ascontiguousarray(inputs, dtype=np.float32).copy()
    gappy = np.flatnonzero(random.random(len(shown)) < plan.dropout)
    hidden = random.random((gappy.size, shown.shape[1])) < 0.5
    shown[gappy] = np.where(hidden, np.float32(np.nan), shown[gappy])
    boosters = tuple(_fitted(shown, told == name, feature_names, plan) for name in classes)
    counts = {str(name): int((told == name).sum()) for name in dict.fromkeys(labels)}
    facts = {"plan": asdict(plan), "windows": counts, "lightgbm": version()}
    return EventDetector(feature_names, classes, boosters, facts)


def _fitted(inputs: Float32Array, hit: Any, names: tuple[str, ...], plan: DetectorPlan) -> str:
    parameters: dict[str, Any] = {
        "objective": "regression",
        "num_leaves": plan.leaves,
        "num_iterations": plan.trees,
        "learning_rate": plan.learning_rate,
        "max_bin": 63,
        "min_data_in_leaf": 10,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "feature_fraction": 0.5,
        "num_threads": plan.threads,
        "seed": plan.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    booster = grown(inputs, hit.astype(np.float64), np.ones(len(hit)), names, parameters)
    text: str = booster.model_to_string(num_iteration=-1)
    return text


def _file(index: int) -> str:
    return f"class_{index}.txt"


def _checked(classes: tuple[str, ...]) -> tuple[str, ...]:
    if not classes or len(set(classes)) != len(classes) or not all(isinstance(name, str) and name for name in classes):
        raise InvalidInput("unusable classes of events", got=classes, expected="different names, at least one")
    return classes
