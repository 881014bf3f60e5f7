"""Owns the Model protocol and what every forecaster shares: reading rows, ordering quantiles, model.json."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from math import isfinite, nan
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import FloatArray, InvalidInput, ModelRows, Refused, canonical_json

FEW = 4
"""Up to so many rows plain Python is faster than arrays."""

MODEL_FILE = "model.json"
FORMAT = 1
Float32Array = npt.NDArray[np.float32]


class Model(Protocol):
    """A forecaster of rows of a feature frame.

    Guarantees of every implementation (tests/contract/test_model_contract.py):
    `predict` returns float64 MW of shape (n_rows, n_quantiles), ascending along each row; a row's answer depends on
    that row alone, never on its neighbours; equal rows give equal bytes; calls from several threads at once are
    safe; rows are not changed. Where a row says nothing (scale or all inputs missing) the answer is NaN, never a
    plausible number. `save` writes data files and model.json, from which `load_model` restores the same bytes of
    answers.
    """

    @property
    def kind(self) -> str:
        """Return the word that `load_model` knows it by."""
        ...

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Return the levels, ascending."""
        ...

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles).

        Raises:
            InvalidInput: a needed column is absent.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the model's files into an existing or new folder."""
        ...


def predict_rows(model: Model, rows: ModelRows) -> FloatArray:
    """Return what the model answers, MW of shape (n_rows, n_quantiles), without a data frame where it can.

    A model may offer `predict_rows(rows: ModelRows)`, which must give the same bits as `predict` of `rows.frame()`.
    """
    fast: Callable[[ModelRows], FloatArray] | None = getattr(model, "predict_rows", None)
    return model.predict(rows.frame()) if fast is None else fast(rows)


def prompt(model: Model) -> bool:
    """Tell whether a model says, by `prompt`, that a few rows take it bounded time in code of ours alone."""
    return getattr(model, "prompt", False) is True


def checked_quantiles(quantiles: tuple[float, ...]) -> tuple[float, ...]:
    """Return the levels if they ascend strictly within (0, 1) and hold the median.

    Raises:
        InvalidInput: otherwise.
    """
    ascending = all(a < b for a, b in itertools.pairwise(quantiles))
    if not ascending or 0.5 not in quantiles or not all(0.0 < q < 1.0 for q in quantiles):
        raise InvalidInput("unusable quantile levels", got=quantiles, expected="ascending in (0, 1), with 0.5")
    return quantiles


def ordered(forecast: FloatArray) -> FloatArray:
    """Return the forecast with each row sorted, so that quantiles never cross; a row with a NaN is all NaN.

    Source: Chernozhukov, Fernandez-Val & Galichon (2010), Quantile and Probability Curves Without Crossing.
    """
    result: FloatArray = np.sort(forecast, axis=1)
    finite = np.isfinite(forecast)
    if not finite.all():
        result[~finite.all(axis=1)] = np.nan
    return result


def ordered_row(row: list[float]) -> list[float]:
    """Return what `ordered` makes of one row, in plain Python."""
    total = sum(row)
    if total - total == 0.0 or all(isfinite(number) for number in row):
        return sorted(row)
    return [nan] * len(row)


def need_columns(rows: pl.DataFrame, names: tuple[str, ...], where: str) -> None:
    """Raise InvalidInput if a column is absent."""
    absent = [name for name in names if name not in rows.columns]
    if absent:
        raise InvalidInput(
            "rows lack columns that the model needs",
            got=absent[:5],
            expected=f"{len(names)} columns of the feature set it was trained with",
            where=where,
            next_step="Compute the rows with the release's own feature set.",
        )


def column(rows: pl.DataFrame, name: str) -> FloatArray:
    """Return one column as float64 with NaN for null."""
    series = rows[name]
    if series.dtype != pl.Float64:
        series = series.cast(pl.Float64)
    result: FloatArray = series.to_numpy()  # null of a float is NaN
    return result


def age_days(rows: pl.DataFrame) -> FloatArray:
    """Return how many days each row's issue lies before the newest issue of the rows."""
    age = rows.select((pl.col("issued_at").max() - pl.col("issued_at")).dt.total_seconds() / 86_400.0)
    return column(age, "issued_at")


def matrix(rows: pl.DataFrame, names: tuple[str, ...], where: str) -> Float32Array:
    """Return the named columns as C-ordered float32 of shape (n_rows, n_names), NaN for null.

    Raises:
        InvalidInput: a column is absent.
    """
    need_columns(rows, names, where)
    picked = rows.select(pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in names)
    result: Float32Array = np.ascontiguousarray(picked.to_numpy(), dtype=np.float32)
    return result


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write model.json (canonical JSON with a final newline)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(canonical_json({"format": FORMAT, **facts}) + b"\n")


def read_facts(folder: Path) -> dict[str, Any]:
    """Read model.json.

    Raises:
        Refused: absent, unreadable, or of a newer format.
    """
    path = folder / MODEL_FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused("no readable model.json", got=str(error), where=str(path)) from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT or "kind" not in facts:
        raise Refused("a model of another format", got=str(facts)[:80], expected=f"format {FORMAT}", where=str(path))
    return facts
