"""Owns the fallback ladder as models: seasonal naive and persistence. No training beyond residual quantiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from recloser.core import LOAD, QUANTILES, FloatArray, InvalidInput, ModelRows
from recloser.models.calibration import Calibration, fit_calibration
from recloser.models.model import column, need_columns, write_facts


@dataclass(frozen=True, slots=True)
class _NewestColumn:
    """Answers with the first known of several columns, times the scale, spread by past residuals.

    Attributes:
        columns: in order of preference, per unit of scale_mw.
        calibration: spread; without it all quantiles are the same number.
    """

    KIND: ClassVar[str]
    columns: tuple[str, ...]
    calibration: Calibration

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Return the levels, ascending."""
        return self.calibration.quantiles

    @property
    def kind(self) -> str:
        """Return the word that `load_model` knows it by."""
        return self.KIND

    @property
    def prompt(self) -> bool:
        """Return True: a few rows take some array operations."""
        return True

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles); NaN where no column is known.

        Raises:
            InvalidInput: a column is absent.
        """
        need_columns(rows, (*self.columns, "scale_mw"), self.kind)
        picked = column(rows, self.columns[0])
        for name in self.columns[1:]:
            picked = np.where(np.isfinite(picked), picked, column(rows, name))
        point = picked * column(rows, "scale_mw")
        return self.calibration.apply(rows, np.repeat(point[:, None], len(self.quantiles), axis=1))

    def predict_rows(self, rows: ModelRows) -> FloatArray:
        """Return the same bits as `predict` of the same rows, without a data frame.

        Raises:
            InvalidInput: a column is absent.
        """
        picked, *others = rows.select_exact(self.columns).T
        for other in others:
            picked = np.where(np.isfinite(picked), picked, other)
        point = picked * rows.column("scale_mw")
        return self.calibration.apply_rows(rows, np.repeat(point[:, None], len(self.quantiles), axis=1))

    def fitted(self, rows: pl.DataFrame) -> Self:
        """Return the same model with quantiles from its residuals on rows with truth (column load_mw).

        Nothing is trained on these rows, so any past rows are out of sample.
        """
        bare = replace(self, calibration=Calibration.none(self.quantiles))
        return replace(self, calibration=fit_calibration(rows, column(rows, LOAD), bare.predict(rows), self.quantiles))

    def save(self, folder: Path) -> None:
        """Write model.json."""
        write_facts(
            folder, {"kind": self.kind, "columns": list(self.columns), "calibration": self.calibration.to_dict()}
        )

    @classmethod
    def load(cls, facts: dict[str, Any]) -> Self:
        """Rebuild from model.json's content."""
        return cls(tuple(facts["columns"]), Calibration.from_dict(facts["calibration"]))


class SeasonalNaive(_NewestColumn):
    """The same local time one week before (or the next older week that is known)."""

    __slots__ = ()
    KIND = "seasonal_naive"

    @classmethod
    def of(cls, feature_names: tuple[str, ...], quantiles: tuple[float, ...] = QUANTILES) -> Self:
        """Build it on the weekly lags among the feature names.

        Raises:
            InvalidInput: there is none.
        """
        lags = sorted(int(n[9:-1]) for n in feature_names if n.startswith("load_lag_") and n.endswith("d"))
        names = [f"load_lag_{days}d" for days in lags if days % 7 == 0]
        return cls(_some(names, "a lag of whole weeks such as load_lag_7d"), Calibration.none(quantiles))


class Persistence(_NewestColumn):
    """The newest known load at the same local time of day, else the mean of the last day."""

    __slots__ = ()
    KIND = "persistence"

    @classmethod
    def of(cls, feature_names: tuple[str, ...], quantiles: tuple[float, ...] = QUANTILES) -> Self:
        """Build it on the newest-load columns among the feature names.

        Raises:
            InvalidInput: there is none.
        """
        newest = [n for n in feature_names if n.startswith("load_newest_")]
        level = [n for n in feature_names if n == "load_level_24h"]
        return cls(_some([*newest, *level], "load_newest_4d or load_level_24h"), Calibration.none(quantiles))


def _some(names: list[str], expected: str) -> tuple[str, ...]:
    if not names:
        raise InvalidInput("no column for a naive forecast", got=[], expected=expected)
    return tuple(names)
