"""Owns MLflow's scoring documents: the frames and tensors of /invocations, and its answer. Uses no MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from recloser.core import FloatArray, InvalidInput, unknown_name
from recloser.serving.wire.rows import (
    TEXTS,
    InputColumns,
    RowAnswers,
    Rows,
    instants,
    quantile_names,
    rows_of_columns,
    same_names,
)
from recloser.serving.wire.strict import decode

Cell = float | str | None
Columns = Mapping[str, Sequence[Cell]]
FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")


class Split(msgspec.Struct, forbid_unknown_fields=True):
    """A data frame as MLflow's dataframe_split."""

    columns: list[str]
    data: list[list[Cell]]
    index: list[int | str] = []


class Invocation(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a request to /invocations: exactly one of the four forms, and parameters.

    `inputs` are columns by name, or rows; `instances` are rows. A row is a list in the order of the model's inputs, or
    names with cells.
    """

    dataframe_split: Split | UnsetType = UNSET
    dataframe_records: list[dict[str, Cell]] | UnsetType = UNSET
    inputs: dict[str, list[Cell]] | list[dict[str, Cell] | list[Cell]] | UnsetType = UNSET
    instances: list[dict[str, Cell] | list[Cell]] | UnsetType = UNSET
    params: dict[str, Any] | None = None


INVOCATION = msgspec.json.Decoder(Invocation)


@dataclass(frozen=True, slots=True)
class Scored:
    """A scoring request: the rows, and the model asked for by `params`, or None for the route's."""

    rows: Rows
    model: str | None = None


def read_invocation(body: bytes, columns: InputColumns) -> Scored:
    """Read an MLflow scoring request; columns are 'area', 'at' and the numeric ones, named in any order.

    Raises:
        InvalidInput: not exactly one form, ragged rows, missing or unknown columns, text where a number belongs, a
            parameter there is not.
    """
    request = decode(body, INVOCATION, "invocations")
    given = [form for form in FORMS if getattr(request, form) is not UNSET]
    if len(given) != 1:
        raise InvalidInput("not exactly one form of rows", got=given, expected=", ".join(FORMS), where="invocations")
    order = ("area", *(("at",) if columns.at else ()), *columns.numbers)
    match getattr(request, given[0]):
        case Split(columns=names, data=data):
            cells = _by_position(names, data, given[0])
        case dict() as named:
            cells = _same_length(named)
        case rows:
            cells = _from_rows(rows, order, given[0])
    return Scored(_rows(cells, columns), _model(request.params or {}))


def invocation_response(rows: RowAnswers, quantiles: tuple[float, ...]) -> bytes:
    """Return MLflow's answer: one record per row with the quantiles in MW and who answered why."""
    names = quantile_names(quantiles)
    cells = zip(rows.mw.tolist(), *(getattr(rows, name) for name in TEXTS), strict=True)
    records = [{**dict(zip(names, mw, strict=True)), **dict(zip(TEXTS, texts, strict=True))} for mw, *texts in cells]
    return msgspec.json.encode({"predictions": records})


def _model(params: Mapping[str, Any]) -> str | None:
    for name in params:
        if name != "model":
            raise unknown_name("parameter", name, ("model",), where="invocations.params")
    model = params.get("model")
    if model is not None and not isinstance(model, str):
        raise InvalidInput("a model that is no name", got=model, expected="text", where="invocations.params.model")
    return model


def _by_position(names: Sequence[str], data: Sequence[Sequence[Cell]], form: str) -> Columns:
    if any(len(row) != len(names) for row in data) or len(set(names)) != len(names):
        expected = f"{len(names)} cells: {', '.join(names)}"[:300]
        raise InvalidInput("ragged rows or a column twice", expected=expected, where=f"invocations.{form}")
    return {name: [row[k] for row in data] for k, name in enumerate(names)}


def _from_rows(rows: Sequence[dict[str, Cell] | list[Cell]], order: Sequence[str], form: str) -> Columns:
    by_position = [row for row in rows if isinstance(row, list)]
    by_name = [row for row in rows if isinstance(row, dict)]
    if by_position and by_name:
        raise InvalidInput("rows of both kinds", expected="all lists or all by name", where=f"invocations.{form}")
    if by_position:
        return _by_position(order, by_position, form)
    known = {*order, "at"}
    for row in by_name:  # before a table is made: rows of ever other names would make it as wide as long
        for name in row.keys() - known:
            raise unknown_name("column", name, order, where=f"invocations.{form}")
    names = list(dict.fromkeys(name for row in by_name for name in row))
    return {name: [row.get(name) for row in by_name] for name in names}


def _same_length(named: Columns) -> Columns:
    if len({len(cells) for cells in named.values()}) > 1:
        lengths = {name: len(cells) for name, cells in list(named.items())[:10]}
        raise InvalidInput("columns of different lengths", got=lengths, where="invocations.inputs")
    return named


def _rows(cells: Columns, columns: InputColumns) -> Rows:
    times = ("at",) if columns.at or "at" in cells else ()
    same_names(cells, ("area", *times, *columns.numbers), "invocations", columns.optional)
    names = (*columns.numbers, *(name for name in columns.optional if name in cells))
    areas = _all_text(cells["area"], "area")
    at_us = instants(_all_text(cells["at"], "at"), "at", len(areas)) if times else None
    return rows_of_columns(areas, {name: _all_numbers(cells[name], name) for name in names}, at_us)


def _all_text(cells: Sequence[Cell], name: str) -> list[str]:
    texts = [cell for cell in cells if isinstance(cell, str)]
    if len(texts) != len(cells):
        raise InvalidInput("a cell that is not text", where=name)
    return texts


def _all_numbers(cells: Sequence[Cell], name: str) -> FloatArray:
    numbers = [cell for cell in cells if not isinstance(cell, str)]
    if len(numbers) != len(cells):
        raise InvalidInput("text where a number belongs", expected="numbers or null", where=name)
    return np.array(numbers, dtype=np.float64)
