"""Owns the JSON of the Open Inference Protocol v2 and of MLflow's /invocations. Knows no web framework."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np

from recloser.core import FloatArray, InvalidInput, parse_utc, unknown_name
from recloser.serving.answer import Scoring
from recloser.serving.batch import EPOCH, SCALE, Batch, IntArray, batch_from_arrays

T = TypeVar("T")
Number = float | None
NUMERIC = ("FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")


@dataclass(frozen=True, slots=True)
class InputColumns:
    """What a row over the wire consists of, besides its area.

    Attributes:
        numbers: numeric columns in the order of the single tensor; must hold 'scale_mw'.
        at: True if every row must say its target time, as text in ISO 8601; then ramps are guarded too.

    Raises:
        InvalidInput: 'scale_mw' is not among the columns, or a name twice.
    """

    numbers: tuple[str, ...]
    at: bool = True

    def __post_init__(self) -> None:
        if SCALE not in self.numbers or len(set(self.numbers)) != len(self.numbers):
            raise InvalidInput("unusable input columns", got=self.numbers, expected=f"distinct names with {SCALE!r}")


class MalformedBody(InvalidInput):
    """The body is not JSON at all."""


class Tensor(msgspec.Struct, forbid_unknown_fields=True):
    """One input tensor of a request; its data are decoded by its datatype."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw
    parameters: dict[str, bool | int | float | str] = {}


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """One output a request asks for."""

    name: str
    parameters: dict[str, bool | int | float | str] = {}


class InferRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of an inference request of the Open Inference Protocol v2."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[Wanted] = []
    parameters: dict[str, bool | int | float | str] = {}


class Split(msgspec.Struct, forbid_unknown_fields=True):
    """A data frame as MLflow's dataframe_split."""

    columns: list[str]
    data: list[list[float | str | None]]
    index: list[int | str] = []


class Invocation(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a request to /invocations: exactly one of the two frames."""

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, float | str | None]] | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Decoded rows: area of each, the numeric columns (NaN is missing) and target times in microseconds or None."""

    areas: list[str]
    numbers: Mapping[str, FloatArray]
    at_us: IntArray | None

    def batch(self) -> tuple[Batch, IntArray]:
        """Return the rows grouped by area, and which request row each batch row is."""
        return batch_from_arrays(self.areas, self.numbers, self.at_us)


def decode(body: bytes | msgspec.Raw, kind: type[T], where: str) -> T:
    """Decode strict JSON into `kind`; numbers that JSON does not know (NaN, Infinity) are errors.

    Raises:
        MalformedBody: not JSON, not UTF-8 or nested too deep.
        InvalidInput: JSON of another form.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"a body of another form: {str(error)[:300]}", where=where) from error
    except UnicodeDecodeError as error:
        raise MalformedBody("a body that is not UTF-8", where=where) from error
    except RecursionError as error:
        raise MalformedBody("a body nested too deep", where=where) from error
    except msgspec.DecodeError as error:
        hint = "Missing numbers are null; NaN and Infinity are not JSON."
        raise MalformedBody(f"a body that is not JSON: {error}", where=where, next_step=hint) from error


def decode_infer(body: bytes, columns: InputColumns) -> tuple[InferRequest, Rows]:
    """Read the rows of an Open Inference Protocol v2 request.

    Inputs are 'area' (BYTES), 'at' (BYTES, ISO 8601) and either one numeric tensor per column or a single one of
    shape (n_rows, n_columns).

    Raises:
        InvalidInput: a missing, unknown or repeated tensor, a wrong datatype or a shape that does not fit the data.
    """
    request = decode(body, InferRequest, "infer")
    tensors = {tensor.name: tensor for tensor in request.inputs}
    if len(tensors) != len(request.inputs):
        raise InvalidInput(
            "an input tensor twice", got=[tensor.name for tensor in request.inputs], where="infer.inputs"
        )
    area = tensors.pop("area", None)
    if area is None:
        raise InvalidInput(
            "no input tensor 'area'", got=list(tensors), expected="BYTES, shape [n]", where="infer.inputs"
        )
    areas = _texts(area)
    at = tensors.pop("at", None)
    at_us = None if at is None else _instants(_texts(at), "at", len(areas))
    if at_us is None and columns.at:
        raise InvalidInput("no input tensor 'at'", expected="BYTES, ISO 8601, shape [n]", where="infer.inputs")
    wide = next(iter(tensors.values())) if len(tensors) == 1 else None
    if wide is not None and len(wide.shape) == 2 and wide.shape[1] == len(columns.numbers):
        table = _floats(wide, len(areas) * len(columns.numbers)).reshape(len(areas), len(columns.numbers))
        return request, Rows(areas, dict(zip(columns.numbers, table.T.copy(), strict=True)), at_us)
    _same_names(tensors, columns.numbers, "infer.inputs")
    return request, Rows(areas, {name: _floats(tensors[name], len(areas)) for name in columns.numbers}, at_us)


def decode_invocation(body: bytes, columns: InputColumns) -> Rows:
    """Read the rows of an MLflow scoring request; columns are 'area', 'at' and the numeric ones, in any order.

    Raises:
        InvalidInput: both or neither frame, ragged rows, missing or unknown columns, text where a number belongs.
    """
    request = decode(body, Invocation, "invocations")
    if (request.dataframe_split is None) == (request.dataframe_records is None):
        raise InvalidInput("not exactly one of dataframe_split and dataframe_records", where="invocations")
    if request.dataframe_split is not None:
        names, data = request.dataframe_split.columns, request.dataframe_split.data
        if any(len(row) != len(names) for row in data) or len(set(names)) != len(names):
            raise InvalidInput("ragged rows or a column twice", where="invocations.dataframe_split")
        cells = {name: [row[k] for row in data] for k, name in enumerate(names)}
    else:
        records = request.dataframe_records or []
        names = list(dict.fromkeys(name for record in records for name in record))
        cells = {name: [record.get(name) for record in records] for name in names}
    times = ("at",) if columns.at or "at" in cells else ()
    _same_names(cells, ("area", *times, *columns.numbers), "invocations")
    areas = _all_text(cells["area"], "area")
    at_us = _instants(_all_text(cells["at"], "at"), "at", len(areas)) if times else None
    return Rows(areas, {name: _all_numbers(cells[name], name) for name in columns.numbers}, at_us)


def _same_names(got: Iterable[str], expected: Sequence[str], where: str) -> None:
    known = set(got)
    for name in known - set(expected):
        raise unknown_name("column", name, expected, where=where)
    missing = [name for name in expected if name not in known]
    if missing:
        raise InvalidInput("missing columns", got=missing[:10], expected=", ".join(expected), where=where)


def _texts(tensor: Tensor) -> list[str]:
    if tensor.datatype != "BYTES":
        raise InvalidInput("another datatype", got=tensor.datatype, expected="BYTES", where=tensor.name)
    texts: list[str] = _flat(tensor, list[str], list[list[str]])
    return texts


def _floats(tensor: Tensor, count: int) -> FloatArray:
    if tensor.datatype not in NUMERIC:
        raise InvalidInput("another datatype", got=tensor.datatype, expected=", ".join(NUMERIC), where=tensor.name)
    numbers = np.array(_flat(tensor, list[Number], list[list[Number]]), dtype=np.float64)
    if numbers.size != count:
        raise InvalidInput(
            "another number of rows than 'area'", got=numbers.size, expected=str(count), where=tensor.name
        )
    return numbers


def _flat(tensor: Tensor, flat: Any, nested: Any) -> list[Any]:
    """Return the tensor's data in row order, whether written flat or nested."""
    text = bytes(tensor.data)
    is_nested = text.lstrip()[1:].lstrip()[:1] == b"["
    data = decode(tensor.data, nested if is_nested else flat, tensor.name)
    cells = [cell for row in data for cell in row] if is_nested else data
    if any(size < 0 for size in tensor.shape) or not tensor.shape or math.prod(tensor.shape) != len(cells):
        raise InvalidInput(
            "a shape that does not fit the data", got=tensor.shape, expected=str(len(cells)), where=tensor.name
        )
    return list(cells)


def _instants(texts: Sequence[str], name: str, count: int) -> IntArray:
    if len(texts) != count:
        raise InvalidInput("another number of rows than 'area'", got=len(texts), expected=str(count), where=name)
    try:
        since = [parse_utc(text, name) - EPOCH for text in texts]
    except OverflowError as error:
        raise InvalidInput("a time outside the calendar", expected="years 1 to 9999 in UTC", where=name) from error
    return np.array([(d.days * 86_400 + d.seconds) * 1_000_000 + d.microseconds for d in since], dtype=np.int64)


def _all_text(cells: Sequence[float | str | None], name: str) -> list[str]:
    texts = [cell for cell in cells if isinstance(cell, str)]
    if len(texts) != len(cells):
        raise InvalidInput("a cell that is not text", where=name)
    return texts


def _all_numbers(cells: Sequence[float | str | None], name: str) -> FloatArray:
    numbers = [cell for cell in cells if not isinstance(cell, str)]
    if len(numbers) != len(cells):
        raise InvalidInput("text where a number belongs", expected="numbers or null", where=name)
    return np.array(numbers, dtype=np.float64)


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


def quantile_names(quantiles: Sequence[float]) -> list[str]:
    """Return the output names, e.g. ['q10', 'q50', 'q90']."""
    return [f"q{100 * level:g}" for level in quantiles]


def infer_response(
    request: InferRequest, model: tuple[str, str], rows: RowAnswers, quantiles: Sequence[float]
) -> bytes:
    """Return the body of an Open Inference Protocol v2 answer; `model` is (name, version).

    Raises:
        InvalidInput: the request asks for an output there is not.
    """
    n = len(rows.served_by)
    outputs = {
        name: {"name": name, "shape": [n], "datatype": "FP64", "data": rows.mw[:, k].tolist()}
        for k, name in enumerate(quantile_names(quantiles))
    }
    for name in ("served_by", "release", "reason"):
        outputs[name] = {"name": name, "shape": [n], "datatype": "BYTES", "data": getattr(rows, name)}
    for wanted in request.outputs:
        if wanted.name not in outputs:
            raise unknown_name("output", wanted.name, outputs, where="infer.outputs")
    names = [wanted.name for wanted in request.outputs] or list(outputs)
    body = {"model_name": model[0], "model_version": model[1], "outputs": [outputs[name] for name in names]}
    return msgspec.json.encode(body if request.id is None else {**body, "id": request.id})


def invocation_response(rows: RowAnswers, quantiles: Sequence[float]) -> bytes:
    """Return MLflow's answer: one record per row with the quantiles in MW and who answered why."""
    names = quantile_names(quantiles)
    texts = zip(rows.mw.tolist(), rows.served_by, rows.release, rows.reason, strict=True)
    records = [
        {**dict(zip(names, mw, strict=True)), "served_by": by, "release": release, "reason": reason}
        for mw, by, release, reason in texts
    ]
    return msgspec.json.encode({"predictions": records})


def tensors_of(columns: InputColumns, quantiles: Sequence[float]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the input and output tensors as model metadata names them."""
    texts = ["area", "at"] if columns.at else ["area"]
    inputs = [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in texts]
    inputs += [{"name": name, "datatype": "FP64", "shape": [-1]} for name in columns.numbers]
    outputs = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in quantile_names(quantiles)]
    outputs += [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in ("served_by", "release", "reason")]
    return inputs, outputs
