"""Owns the LightGBM quantile forecaster at rest and at work. Does not train it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan, nan
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from recloser.core import FloatArray, InvalidInput, ModelRows, Refused, digest_bytes
from recloser.models.calibration import Calibration
from recloser.models.forest import width_of
from recloser.models.lightgbm_native import Boosters, contributions_of
from recloser.models.model import (
    FEW,
    Float32Array,
    checked_quantiles,
    column,
    matrix,
    ordered,
    ordered_row,
    write_facts,
)

KIND = "lightgbm_quantile"
FILES = ("centre.txt", "spread.txt")
SPREAD_FLOOR = 0.002  # share of the scale: no forecast of a grid load is surer than this


@dataclass(frozen=True, slots=True)
class LightGBMQuantile:
    """A centre booster and a spread booster in units of the area's scale, with conformal widths per quantile.

    quantile = scale_mw * (centre(x) + width * max(spread(x), SPREAD_FLOOR)), then the calibration, then sorted.

    Attributes:
        feature_names: columns in the boosters' order.
        quantiles: levels, ascending, with 0.5.
        boosters: centre of load / scale_mw, and typical distance from it, in LightGBM's text form.
        widths: one per level, from out-of-sample residuals.
        calibration: further offsets by block of the day; none after training.
        facts: how it was trained, JSON-ready.
    """

    feature_names: tuple[str, ...]
    quantiles: tuple[float, ...]
    boosters: tuple[str, str]
    widths: tuple[float, ...]
    calibration: Calibration
    facts: dict[str, Any]
    _trees: Boosters = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_trees", Boosters(self.boosters, len(self.feature_names)))

    @property
    def prompt(self) -> bool:
        """Return whether an answer takes bounded time in code of ours alone."""
        return self._trees.prompt

    @property
    def kind(self) -> str:
        """Return lightgbm_quantile."""
        return KIND

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles), non-crossing.

        NaN where scale_mw or every feature is missing: LightGBM itself would answer such a row with a plausible
        number. Single missing features are allowed; training showed the trees rows with gaps.

        Raises:
            InvalidInput: a column is absent.
        """
        inputs = matrix(rows, self.feature_names, self.kind)
        scale = column(rows, "scale_mw")
        return self.calibration.apply(rows, self.raw(inputs) * scale[:, None])

    def predict_rows(self, rows: ModelRows) -> FloatArray:
        """Return the same bits as `predict` of the same rows, without a data frame.

        Raises:
            InvalidInput: a column is absent.
        """
        inputs, scale = rows.select(self.feature_names), rows.column("scale_mw")
        answers = self._few(inputs, scale) if len(rows) <= FEW else self.raw(inputs) * scale[:, None]
        return self.calibration.apply_rows(rows, answers)

    def _few(self, inputs: Float32Array, scale: FloatArray) -> FloatArray:
        """Return `raw` times the scale for a few rows, the same bits by plain Python."""
        centre, spread = (answers.tolist() for answers in self._trees.answers(inputs))
        result = np.empty((len(centre), len(self.quantiles)))
        for index, (row, scale_mw) in enumerate(zip(inputs.tolist(), scale.tolist(), strict=True)):
            unit = max(spread[index], SPREAD_FLOOR)
            answer = [centre[index] + unit * width for width in self.widths]
            blank = isnan(row[0]) and all(isnan(number) for number in row)
            result[index] = [nan] * len(answer) if blank else [x * scale_mw for x in ordered_row(answer)]
        return result

    def raw(self, inputs: Any) -> FloatArray:
        """Return uncalibrated answers in units of the scale for float32 inputs of shape (n_rows, n_features)."""
        if inputs.shape[0] == 0:
            return np.empty((0, len(self.quantiles)))
        centre, spread = self._trees.answers(inputs)
        unit = np.maximum(spread, SPREAD_FLOOR)
        answers = centre[:, None] + unit[:, None] * np.asarray(self.widths)[None, :]
        missing = np.isnan(inputs)
        if missing.any():
            answers[missing.all(axis=1)] = np.nan
        return ordered(answers)

    def contributions(self, rows: pl.DataFrame) -> FloatArray:
        """Return what each input adds to the centre, MW, shape (n_rows, n_features + 1); a row's sum is its centre.

        Exact TreeSHAP values times the scale; the last column is what is usual for the scale. Neither widths nor
        calibration are in them.

        Raises:
            InvalidInput: a column is absent.
        """
        inputs = matrix(rows, self.feature_names, self.kind)
        return contributions_of(self.boosters[0], inputs) * column(rows, "scale_mw")[:, None]

    def save(self, folder: Path) -> None:
        """Write the two boosters as LightGBM text and model.json with their digests."""
        texts = [text.encode() for text in self.boosters]
        write_facts(
            folder,
            {
                "kind": self.kind,
                "feature_names": list(self.feature_names),
                "quantiles": list(self.quantiles),
                "widths": list(self.widths),
                "files": {name: digest_bytes(text) for name, text in zip(FILES, texts, strict=True)},
                "calibration": self.calibration.to_dict(),
                "training": self.facts,
            },
        )
        for name, text in zip(FILES, texts, strict=True):
            (folder / name).write_bytes(text)

    @classmethod
    def load(cls, folder: Path, facts: dict[str, Any]) -> Self:
        """Rebuild from a folder and its model.json.

        Raises:
            Refused: a file is absent, damaged, or of another number of features.
        """
        names = tuple(facts["feature_names"])
        quantiles = checked_quantiles(tuple(facts["quantiles"]))
        widths = tuple(float(width) for width in facts["widths"])
        if len(widths) != len(quantiles):
            raise Refused("widths and quantiles differ in number", got=len(widths), where=str(folder))
        digests = facts["files"]
        centre, spread = (booster_text(folder / name, digests[name], len(names)) for name in FILES)
        calibration = Calibration.from_dict(facts["calibration"])
        return cls(names, quantiles, (centre, spread), widths, calibration, facts["training"])


def booster_text(path: Path, digest: str, n_features: int) -> str:
    """Read a booster, after its digest: LightGBM aborts the whole process on some damaged texts (measured).

    Raises:
        Refused: absent, damaged, unreadable, or of another number of features.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refused("a file of the model is absent", got=str(error), where=str(path)) from error
    if digest_bytes(content) != digest:
        raise Refused("a damaged LightGBM file", got=digest_bytes(content), expected=digest, where=str(path))
    try:
        text = content.decode()
        width = width_of(text)
    except (UnicodeDecodeError, InvalidInput) as error:
        raise Refused("an unreadable LightGBM file", got=str(error)[:200], where=str(path)) from error
    if width != n_features:
        raise Refused(
            "a LightGBM file with another number of features", got=width, expected=str(n_features), where=str(path)
        )
    return text
