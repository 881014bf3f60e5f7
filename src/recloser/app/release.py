"""Owns a release loaded for use: its verified package, its model and what the model reads. Does not choose releases."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

import polars as pl

from recloser.core import FloatArray, ModelRows, parse_utc
from recloser.features import FeatureSet
from recloser.models import Calibration, Model, predict_rows, prompt
from recloser.registry import Package


class Opener(Protocol):
    """Makes a model out of a saved folder; trusts it only as far as its package was verified."""

    def __call__(self, folder: Path) -> Model:
        """Return the model saved in `folder`."""
        ...


class Elsewhere(Protocol):
    """Where releases run if not in the gateways' own processes; thread safe."""

    def open(self, package: Package) -> Model:
        """Return the model of a package where it runs.

        Raises:
            Unavailable: nobody has told yet where that is.
        """
        ...

    def address(self, release: str) -> str:
        """Return where a release runs by the ledger, an empty text if nobody has told yet."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedRelease:
    """A release ready to answer.

    Attributes:
        package: verified package.
        model: what it holds.
        features: columns it reads.
        online: offsets learned from its own recent errors in use, applied after the model; None for none.
    """

    package: Package
    model: Model
    features: FeatureSet
    online: Calibration | None = None

    @property
    def release(self) -> str:
        """Release id."""
        return self.package.release

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns of a row that it reads, besides 'scale_mw'."""
        return self.features.names

    @property
    def held_out_from(self) -> datetime | None:
        """Start of the window of which it learned every second day only (aware UTC); None if unknown."""
        text = self.package.facts.notes.get("held_out_from")
        return None if text is None else parse_utc(str(text), "release.json")

    @property
    def prompt(self) -> bool:
        """Tell whether the model answers a few rows in bounded time in code of ours."""
        return prompt(self.model)

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles), non-crossing."""
        answer = self.model.predict(rows)
        return answer if self.online is None else self.online.apply(rows, answer)

    def predict_rows(self, rows: ModelRows) -> FloatArray:
        """Return the same bits as `predict` of the same rows, without a data frame where the model can."""
        answer = predict_rows(self.model, rows)
        return answer if self.online is None else self.online.apply_rows(rows, answer)

    def with_online(self, online: Calibration | None) -> LoadedRelease:
        """Return the same release with other online offsets."""
        return replace(self, online=online)


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A rung of the fallback ladder as a predictor: a model without a package."""

    release: str
    model: Model

    @property
    def prompt(self) -> bool:
        """Tell whether the model answers a few rows in bounded time in code of ours."""
        return prompt(self.model)

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles)."""
        return self.model.predict(rows)

    def predict_rows(self, rows: ModelRows) -> FloatArray:
        """Return the same bits as `predict` of the same rows, without a data frame where the model can."""
        return predict_rows(self.model, rows)
