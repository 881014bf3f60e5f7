"""Owns the way from a folder back to a Model, and the two kinds that run foreign code. Never imports MLflow."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recloser.core import FloatArray, InvalidInput, Refused, Unavailable, unknown_name
from recloser.models.event_detector import EventDetector
from recloser.models.lightgbm_quantile import LightGBMQuantile
from recloser.models.model import Model, checked_quantiles, column, matrix, ordered, read_facts, write_facts
from recloser.models.naive import Persistence, SeasonalNaive

Loader = Callable[[Path, dict[str, Any]], Model]

DATA_KINDS: dict[str, Loader] = {
    "lightgbm_quantile": LightGBMQuantile.load,
    "event_detector": EventDetector.load,
    "seasonal_naive": lambda _folder, facts: SeasonalNaive.load(facts),
    "persistence": lambda _folder, facts: Persistence.load(facts),
}


def code_kind(folder: Path) -> str | None:
    """Return the kind of the model saved in a folder if it runs code of its own, None if it is data only.

    Raises:
        Refused: no readable model.json.
    """
    kind = str(read_facts(folder)["kind"])
    return None if kind in DATA_KINDS else kind


def load_model(
    folder: Path, loaders: Mapping[str, Callable[[Path], Any]] | None = None, *, allow_code: bool = False
) -> Model:
    """Restore the model of a folder by the kind in its model.json.

    Args:
        folder: with model.json.
        loaders: opens foreign formats by kind; 'pyfunc' needs one (mlflow.pyfunc.load_model of a path).
        allow_code: kinds that run code of their own ('python', 'pyfunc', kinds of `loaders`) load only with True.

    Raises:
        InvalidInput: unknown kind, or no loader for it.
        Refused: unreadable or damaged, or it would run code without `allow_code`.
    """
    facts = read_facts(folder)
    kind = facts["kind"]
    if kind in DATA_KINDS:
        return _from_data(folder, kind, facts)
    foreign = {"python", "pyfunc", *(loaders or {})}
    if kind not in foreign:
        raise unknown_name("model kind", kind, {*DATA_KINDS, *foreign}, where=str(folder))
    if not allow_code:
        raise Refused(
            "this model runs code of its own",
            got=kind,
            expected=", ".join(DATA_KINDS),
            where=str(folder),
            next_step="Set allow_code = true under [model] in the project file if you trust where it comes from.",
        )
    if kind == "python":
        return PythonModel.load(folder, facts)
    if loaders is None or kind not in loaders:
        raise InvalidInput("no loader for this kind of model", got=kind, where=str(folder))
    return PyfuncModel.load(folder, facts, loaders[kind])


def _from_data(folder: Path, kind: str, facts: dict[str, Any]) -> Model:
    try:
        return DATA_KINDS[kind](folder, facts)
    except (KeyError, TypeError, InvalidInput) as error:
        raise Refused("a damaged model.json", got=repr(error), where=str(folder)) from error


@dataclass(frozen=True, slots=True)
class PythonModel:
    """A user's own model behind the Model contract.

    `entry` is 'module:Class'; the class is built with the `parameters` as keywords, or, if it has a `load`, by
    `Class.load(folder, **parameters)`; its `predict(rows)` gives MW of shape (n_rows, n_quantiles).
    It must be thread safe and treat rows one by one. We order the quantiles and blank rows without a scale.
    """

    entry: str
    quantiles: tuple[float, ...]
    parameters: dict[str, Any]
    inner: Any

    @property
    def kind(self) -> str:
        """Return python."""
        return "python"

    @classmethod
    def of(
        cls,
        entry: str,
        quantiles: tuple[float, ...],
        parameters: dict[str, Any] | None = None,
        folder: Path | None = None,
    ) -> PythonModel:
        """Import the entry and build the model.

        Raises:
            InvalidInput: the entry is malformed, cannot be imported, or has no predict.
        """
        module, _, name = entry.partition(":")
        try:
            built = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise InvalidInput(
                "the model's entry cannot be imported", got=entry, expected="module:Class", next_step=str(error)
            ) from error
        keywords = parameters or {}
        opened = folder is not None and hasattr(built, "load")
        try:
            inner = built.load(folder, **keywords) if opened else built(**keywords)
        except TypeError as error:
            raise InvalidInput(
                "the model cannot be built from its parameters", got=keywords, where=entry, next_step=str(error)
            ) from error
        if not callable(getattr(inner, "predict", None)):
            raise InvalidInput("the model has no predict(rows)", got=entry)
        return cls(entry, checked_quantiles(quantiles), keywords, inner)

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> PythonModel:
        """Rebuild from model.json's content."""
        return cls.of(facts["entry"], tuple(facts["quantiles"]), facts["parameters"], folder)

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles).

        Raises:
            Unavailable: the user's code gave another shape.
        """
        return _shaped(self.inner.predict(rows), rows, self.quantiles, self.entry)

    def save(self, folder: Path) -> None:
        """Write model.json, and let the user's model save its own files if it can."""
        facts = {"entry": self.entry, "quantiles": list(self.quantiles), "parameters": self.parameters}
        write_facts(folder, {"kind": self.kind, **facts})
        if callable(getattr(self.inner, "save", None)):
            self.inner.save(folder)


@dataclass(frozen=True, slots=True)
class PyfuncModel:
    """An MLflow pyfunc (or the like) behind the Model contract; what opened it is handed in.

    Its `predict` gets a mapping of feature name -> float32 array of shape (n_rows,) and gives answers of shape
    (n_rows, n_quantiles), in MW, or in units of scale_mw if `per_unit`.
    """

    feature_names: tuple[str, ...]
    quantiles: tuple[float, ...]
    folder: Path
    inner: Any
    per_unit: bool = False

    @property
    def kind(self) -> str:
        """Return pyfunc."""
        return "pyfunc"

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any], loader: Callable[[Path], Any]) -> PyfuncModel:
        """Rebuild from model.json's content: {feature_names, quantiles, path (inside the folder), per_unit}."""
        path = (folder / str(facts.get("path", "pyfunc"))).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise Refused("a model file outside its folder", got=str(path), where=str(folder))
        quantiles = checked_quantiles(tuple(facts["quantiles"]))
        return cls(tuple(facts["feature_names"]), quantiles, folder, loader(path), bool(facts.get("per_unit", False)))

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles).

        Raises:
            Unavailable: the answer has another shape.
        """
        inputs = matrix(rows, self.feature_names, self.kind)
        table = {name: np.ascontiguousarray(inputs[:, index]) for index, name in enumerate(self.feature_names)}
        answer = _shaped(self.inner.predict(table), rows, self.quantiles, self.kind)
        answer[np.isnan(inputs).all(axis=1)] = np.nan
        return answer * column(rows, "scale_mw")[:, None] if self.per_unit else answer

    def save(self, folder: Path) -> None:
        """Refuse: a pyfunc is copied as files by whoever logged it.

        Raises:
            Refused: always.
        """
        raise Refused("a pyfunc is copied as files, not saved", where=str(folder), next_step="Copy its folder.")


def _shaped(answer: Any, rows: pl.DataFrame, quantiles: tuple[float, ...], where: str) -> FloatArray:
    values = np.asarray(answer, dtype=np.float64)
    if values.shape != (rows.height, len(quantiles)):
        raise Unavailable(
            "a model answered in another shape",
            got=values.shape,
            expected=str((rows.height, len(quantiles))),
            where=where,
        )
    values = ordered(values)
    values[~np.isfinite(column(rows, "scale_mw"))] = np.nan
    return values
