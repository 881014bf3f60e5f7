"""Owns the project's own Python file: its features, training and pipeline. Loads no other code."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import extract_tb
from typing import Any

import polars as pl

from recloser.core import InvalidInput, RecloserError
from recloser.features import FeatureSet
from recloser.models import Model, TrainingPlan, train_lightgbm
from recloser.pipelines import Pipeline, candidate_pipeline

KNOWN = {"build_features": "features", "train": "train", "build_pipeline": "pipeline"}
"""Functions of the project's file -> the hook that each is."""
RESULTS: dict[str, type] = {"build_features": FeatureSet, "build_pipeline": Pipeline}


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a project may change in Python; each has a default.

    Attributes:
        features: standard feature set -> the project's.
        train: rows, feature names, plan -> model.
        pipeline: the steps.
    """

    features: Callable[[FeatureSet], FeatureSet]
    train: Callable[[pl.DataFrame, tuple[str, ...], TrainingPlan], Model]
    pipeline: Callable[[], Pipeline]


def standard_hooks(pipeline: Callable[[], Pipeline] = candidate_pipeline) -> Hooks:
    """Return what a project does without code of its own; `pipeline` is the default of its kind."""
    return Hooks(features=_same, train=train_lightgbm, pipeline=pipeline)


def load_hooks(path: Path, pipeline: Callable[[], Pipeline] = candidate_pipeline) -> Hooks:
    """Run the project's file if there is one and pick the known functions; `pipeline` is the default of its kind.

    Raises:
        InvalidInput: the file does not run, or a known name is not a function.
    """
    standard = standard_hooks(pipeline)
    if not path.exists():
        return standard
    module = _module(path)
    found = {name: getattr(module, name) for name in KNOWN if hasattr(module, name)}
    for name, function in found.items():
        if not callable(function):
            raise InvalidInput("must be a function", got=type(function).__name__, where=f"{path}: {name}")
    own = {KNOWN[name]: _guarded(path, name, function) for name, function in found.items()}
    return replace(standard, **own)


def _same(standard: FeatureSet) -> FeatureSet:
    return standard


def _guarded(path: Path, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its errors told as the project's own: file, line, what; and its result checked."""
    wanted = RESULTS.get(name)

    def call(*arguments: Any) -> Any:
        try:
            result = function(*arguments)
        except RecloserError:
            raise
        except Exception as error:
            lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
            raise InvalidInput(
                f"the project's {name} failed",
                got=f"{type(error).__name__}: {error}",
                where=f"{path}, line {lines[-1]}" if lines else str(path),
                next_step="Correct it, or remove the function to use the default.",
            ) from error
        if wanted is not None and not isinstance(result, wanted):
            raise InvalidInput(
                f"the project's {name} returned something else",
                got=type(result).__name__,
                expected=wanted.__name__,
                where=str(path),
            )
        return result

    return call


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("recloser_project", path)
    if spec is None or spec.loader is None:
        raise InvalidInput("not a Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InvalidInput(
            "the project's Python file does not run",
            got=f"{type(error).__name__}: {error}",
            where=str(path),
            next_step="Correct it, or move it away to use the defaults.",
        ) from error
    return module
