"""Owns rows: from input tensors to the batch of the data plane, and from its answers to output tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from recloser.core import FloatArray, InvalidInput, parse_utc, unknown_name
from recloser.serving.answer import Scoring
from recloser.serving.batch import EPOCH, SCALE, Batch, IntArray, batch_from_table, table_of
from recloser.serving.wire.tensors import BYTES, Tensor

TEXTS = ("served_by", "release", "reason")
"""Outputs that are texts, one per row."""

FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Years 1 to 9999 in UTC, the reach of a datetime."""


@dataclass(frozen=True, slots=True)
class InputColumns:
    """What a row over the wire consists of, besides its area.

    Attributes:
        numbers: numeric columns in the order of the single tensor; must hold 'scale_mw'.
        optional: numeric columns that a request may leave out: a model that needs them does not answer it then.
        at: True if every row must say its target time, as text in ISO 8601; then ramps are guarded too.

    Raises:
        InvalidInput: 'scale_mw' is not among the columns, or a name twice.
    """

    numbers: tuple[str, ...]
    at: bool = True
    optional: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if SCALE not in self.numbers or len(set(self.numbers)) != len(self.numbers):
            raise InvalidInput("unusable input columns", got=self.numbers, expected=f"distinct names with {SCALE!r}")


@lru_cache(maxsize=16)
def columns_now(at_first: InputColumns, champion: tuple[str, ...], challengers: tuple[str, ...]) -> InputColumns:
    """Return the columns under a route, by what its champion reads (empty: it does not say) and its challengers.

    What only challengers read may be left out, and so may columns of the beginning that nobody reads any more.
    """
    numbers = (SCALE, *champion) if champion else at_first.numbers
    others = dict.fromkeys((*challengers, *at_first.numbers))
    return InputColumns(numbers, at_first.at, tuple(name for name in others if name not in numbers))


@dataclass(frozen=True, slots=True)
class Rows:
    """Decoded rows.

    Attributes:
        areas: area of each.
        names: the numeric columns.
        table: their cells, float64, C-ordered, of shape (n_rows, n_names); NaN is missing.
        at_us: target times in microseconds since 1970 UTC, or None.
    """

    areas: list[str]
    names: tuple[str, ...]
    table: FloatArray
    at_us: IntArray | None

    @property
    def numbers(self) -> Mapping[str, FloatArray]:
        """The numeric columns by name."""
        return dict(zip(self.names, self.table.T, strict=True))

    def batch(self) -> tuple[Batch, IntArray]:
        """Return the rows grouped by area, and which request row each batch row is."""
        return batch_from_table(self.areas, self.names, self.table, self.at_us)


def rows_of_columns(areas: list[str], numbers: Mapping[str, FloatArray], at_us: IntArray | None) -> Rows:
    """Return rows whose numeric columns came one by one, each of shape (n_rows,)."""
    return Rows(areas, tuple(numbers), table_of(numbers, len(areas)), at_us)


def rows_from_tensors(given: Sequence[Tensor], columns: InputColumns) -> Rows:
    """Read rows from input tensors.

    Inputs are 'area' (BYTES), 'at' (BYTES in ISO 8601, or INT64 in microseconds since 1970 UTC) and either one numeric
    tensor per column or a single one of shape (n_rows, n_columns).

    Raises:
        InvalidInput: a missing, unknown or repeated tensor, a wrong datatype or another number of rows than areas.
    """
    tensors = {tensor.name: tensor for tensor in given}
    if len(tensors) != len(given):
        raise InvalidInput("an input tensor twice", got=[tensor.name for tensor in given], where="infer.inputs")
    area = tensors.pop("area", None)
    if area is None:
        raise InvalidInput(
            "no input tensor 'area'", got=list(tensors), expected="BYTES, shape [n]", where="infer.inputs"
        )
    areas = area.texts()
    at = tensors.pop("at", None)
    at_us = None if at is None else _instants_of(at, len(areas))
    if at_us is None and columns.at:
        raise InvalidInput("no input tensor 'at'", expected="BYTES, ISO 8601, shape [n]", where="infer.inputs")
    wide = next(iter(tensors.values())) if len(tensors) == 1 else None
    if wide is not None and len(wide.shape) == 2 and wide.shape[1] == len(columns.numbers):
        cells = _floats(wide, len(areas) * len(columns.numbers)).reshape(len(areas), len(columns.numbers))
        return Rows(areas, columns.numbers, np.array(cells, order="C"), at_us)
    same_names(tensors, columns.numbers, "infer.inputs", columns.optional)
    names = (*columns.numbers, *(name for name in columns.optional if name in tensors))
    return rows_of_columns(areas, {name: _floats(tensors[name], len(areas)) for name in names}, at_us)


def same_names(got: Iterable[str], expected: Sequence[str], where: str, optional: Sequence[str] = ()) -> None:
    """Check that exactly the expected columns are there, and of the optional ones any.

    Raises:
        InvalidInput: an unknown one, with the nearest known, or a missing one.
    """
    known = set(got)
    for name in known - {*expected, *optional}:
        raise unknown_name("column", name, (*expected, *optional), where=where)
    missing = [name for name in expected if name not in known]
    if missing:
        raise InvalidInput("missing columns", got=missing[:10], expected=", ".join(expected), where=where)


def _floats(tensor: Tensor, count: int) -> FloatArray:
    numbers = tensor.floats()
    if numbers.size != count:
        raise InvalidInput(
            "another number of rows than 'area'", got=numbers.size, expected=str(count), where=tensor.name
        )
    return numbers


def _instants_of(at: Tensor, count: int) -> IntArray:
    if at.datatype == BYTES:
        return instants(at.texts(), at.name, count)
    if at.datatype != "INT64":
        raise InvalidInput("another datatype", got=at.datatype, expected="BYTES or INT64", where=at.name)
    numbers = at.floats() if isinstance(at.values, list) else at.values
    if numbers.size != count:
        raise InvalidInput("another number of rows than 'area'", got=numbers.size, expected=str(count), where=at.name)
    if not ((numbers >= FIRST_US) & (numbers <= LAST_US)).all():
        raise InvalidInput("a time outside the calendar", expected="years 1 to 9999 in UTC", where=at.name)
    result: IntArray = numbers.astype(np.int64)
    return result


def instants(texts: Sequence[str], name: str, count: int) -> IntArray:
    """Return times in ISO 8601 as microseconds since 1970 UTC.

    Raises:
        InvalidInput: another number than `count`, not a time, or outside the calendar.
    """
    if len(texts) != count:
        raise InvalidInput("another number of rows than 'area'", got=len(texts), expected=str(count), where=name)
    since = {text: parse_utc(text, name) - EPOCH for text in dict.fromkeys(texts)}
    us = {text: (d.days * 86_400 + d.seconds) * 1_000_000 + d.microseconds for text, d in since.items()}
    return np.array([us[text] for text in texts], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class RowAnswers:
    """A decision spread over the rows of the request, in their order.

    Attributes:
        mw: shape (n_rows, n_quantiles); NaN (null on the wire) where nobody could answer.
        served_by, release, reason: one text per row.
    """

    mw: FloatArray
    served_by: list[str]
    release: list[str]
    reason: list[str]


def rows_of(scoring: Scoring, batch: Batch, order: IntArray, n_quantiles: int) -> RowAnswers:
    """Put a decision back into the order of the request's rows."""
    if len(order) == 1:
        only = scoring.release[0]
        one = np.full((1, n_quantiles), np.nan) if only is None else scoring.answers[0][only]
        return RowAnswers(one, list(scoring.served_by), [only or ""], list(scoring.reason))
    mw = np.full((len(order), n_quantiles), np.nan)
    texts: tuple[list[str], ...] = tuple([""] * len(order) for _ in range(3))
    for index, release in enumerate(scoring.release):
        places = order[batch.rows_of(index)]
        if release is not None:
            mw[places] = scoring.answers[index][release]
        for place in places.tolist():
            texts[0][place], texts[1][place] = scoring.served_by[index], release or ""
            texts[2][place] = scoring.reason[index]
    return RowAnswers(mw, *texts)


@lru_cache(maxsize=16)
def quantile_names(quantiles: tuple[float, ...]) -> tuple[str, ...]:
    """Return the output names, e.g. ('q10', 'q50', 'q90')."""
    return tuple(f"q{100 * level:g}" for level in quantiles)


@lru_cache(maxsize=16)
def output_names(quantiles: tuple[float, ...]) -> tuple[str, ...]:
    """Return the names of all outputs, in order."""
    return (*quantile_names(quantiles), *TEXTS)


def outputs_of(rows: RowAnswers, quantiles: tuple[float, ...]) -> tuple[Tensor, ...]:
    """Return all output tensors of the answers, each of shape (n_rows,)."""
    shape = (len(rows.served_by),)
    numbers = [Tensor(name, "FP64", shape, mw) for name, mw in zip(quantile_names(quantiles), rows.mw.T, strict=True)]
    texts = [Tensor(name, BYTES, shape, getattr(rows, name)) for name in TEXTS]
    return (*numbers, *texts)


def tensors_of(
    columns: InputColumns, quantiles: tuple[float, ...]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the input and output tensors as model metadata names them."""
    texts = ["area", "at"] if columns.at else ["area"]
    inputs = [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in texts]
    inputs += [{"name": name, "datatype": "FP64", "shape": [-1]} for name in (*columns.numbers, *columns.optional)]
    outputs = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in quantile_names(quantiles)]
    outputs += [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in TEXTS]
    return inputs, outputs
