"""Owns the schema of a release's inputs and outputs, with units and the ranges seen in training. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import polars as pl

from recloser.core.quantities import SUFFIXES, UNITS, Unit
from recloser.features import FeatureSet
from recloser.features.feature_set import FIXED
from recloser.registry.content.meaning import FORECAST, Meaning

PER_UNIT = "1 (share of scale_mw)"
UNDECLARED = "not declared"
_CONTEXT = {"area": "", "issued_at": "UTC", "at": "UTC, start of the interval", "lead_h": "h", "scale_mw": "MW"}
_NEEDED = frozenset({"area", "at", "scale_mw"})


@dataclass(frozen=True, slots=True)
class InputColumn:
    """One column of the rows that a model is asked with.

    Attributes:
        name: column.
        dtype: 'float32', 'float64', 'string' or 'timestamp[us, UTC]'.
        unit: unit of its numbers; empty for text.
        nullable: whether a row may lack it; training showed the model such rows.
        minimum, maximum: of the finite numbers seen in training; None without any.
        missing_share: share of the training rows that lacked it, in [0, 1].
    """

    name: str
    dtype: str
    unit: str
    nullable: bool
    minimum: float | None
    maximum: float | None
    missing_share: float


def input_columns(rows: pl.DataFrame, features: FeatureSet) -> tuple[InputColumn, ...]:
    """Return the columns that a model reads, in order, with the ranges of the rows that it learned from.

    Args:
        rows: training rows: FIXED columns and the features.
        features: their declaration, for the units.
    """
    units = {**_CONTEXT, **feature_units(features)}
    names = [name for name in (*FIXED, *features.names) if name in rows.columns]
    return tuple(_column(rows[name], units[name]) for name in names)


def _column(series: pl.Series, unit: str) -> InputColumn:
    kind = series.dtype
    dtype = "timestamp[us, UTC]" if isinstance(kind, pl.Datetime) else str(kind).lower()
    finite = series.filter(series.is_finite()) if kind.is_float() else series.clear()
    known = kind.is_float() and not finite.is_empty()
    absent = series.null_count() + (int(series.is_nan().sum()) if kind.is_float() else 0)
    return InputColumn(
        series.name,
        dtype,
        unit,
        series.name not in _NEEDED,
        _number(finite.min()) if known else None,
        _number(finite.max()) if known else None,
        round(absent / max(1, len(series)), 6),
    )


def _number(value: Any) -> float:
    return float(value)


def feature_units(features: FeatureSet) -> dict[str, str]:
    """Return the unit of every feature: that of its series; loads are shares of the area's scale, the rest counts."""
    units = {}
    for item in features.features:
        if item.quantity is None:
            units[item.name] = "1"
        else:
            units[item.name] = PER_UNIT if type(item).__name__.startswith("Load") else unit_of(item.quantity)
    return {**units, **{item.name: unit_of(item.name) for item in features.extra}}


def unit_of(quantity: str) -> str:
    """Return the canonical unit that a name ends in, such as degC for temperature_c."""
    for suffix, dimension in SUFFIXES.items():
        if quantity.endswith(suffix):
            return next(name for name, unit in UNITS.items() if unit == Unit(dimension, 1.0))
    return UNDECLARED


def schema_document(
    columns: Sequence[InputColumn], quantiles: Sequence[float], horizon: Mapping[str, Any], meaning: Meaning = FORECAST
) -> dict[str, Any]:
    """Return schema.json: inputs, outputs and horizon.

    Args:
        columns: what the model reads.
        quantiles: levels that it answers, ascending.
        horizon: FeatureSet.to_dict()['horizon'].
        meaning: of the answers.
    """
    unit = meaning.unit
    outputs = [
        {"name": f"q{round(100 * level):02d}", "dtype": "float64", "unit": unit, "quantile": level, "nullable": True}
        for level in quantiles
    ]
    inputs = [asdict(replace(column, unit=meaning.unit_of(column.name, column.unit))) for column in columns]
    return {
        "format": "recloser-schema/1",
        "inputs": inputs,
        "outputs": outputs,
        "output_note": meaning.note,
        "horizon": dict(horizon),
    }
