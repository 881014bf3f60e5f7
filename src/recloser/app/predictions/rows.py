"""Owns the rows of the predictions table that a log segment becomes. Reads and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl

from recloser.core import TIME
from recloser.serving.log import AnswerRecord, AreaAnswer, Contents, GapRecord
from recloser.store import PREDICTION_SCHEMA

DAMAGED = "damaged: these records of the log cannot be read; their bytes are in its quarantine"

Row = dict[str, Any]
INSTANTS = ("made_at", "issued_at", "at")


def rows_of(stream: str, contents: Contents, first: int, end: int | None, now: datetime) -> pl.DataFrame:
    """Return the rows of one segment: answers, gaps it tells of, and a gap for whatever cannot be read.

    Args:
        stream: name of the log.
        contents: of the segment.
        first: lowest sequence the segment may hold.
        end: lowest sequence of the next segment, None if there is none.
        now: the instant at which damage is noted (aware UTC).
    """
    rows: list[Row] = []
    for sequence, record in contents.records:
        if isinstance(record, AnswerRecord):
            rows += _answer_rows(stream, sequence, record)
        elif isinstance(record, GapRecord):
            instant = record.to_us
            rows.append(_gap_row(stream, sequence, instant, (record.first, record.last), record.reason))
    now_us = int(now.timestamp() * 1e6)
    for low, high in holes(contents, first, end):
        rows.append(_gap_row(stream, low, now_us, (low, high), DAMAGED))
    return _frame(rows)


def holes(contents: Contents, first: int, end: int | None) -> list[tuple[int, int]]:
    """Return the runs of sequences, ends included, that neither a record nor a gap record accounts for."""
    known = {sequence for sequence, _ in contents.records}
    for _, record in contents.records:
        if isinstance(record, GapRecord) and record.last is not None:
            known.update(range(record.first, record.last + 1))
    newest = contents.newest
    stop = max(first if newest is None else newest + 1, first if end is None else end)
    found: list[tuple[int, int]] = []
    for sequence in range(first, stop):
        if sequence in known:
            continue
        if found and found[-1][1] == sequence - 1:
            found[-1] = (found[-1][0], sequence)
        else:
            found.append((sequence, sequence))
    return found


def _frame(rows: list[Row]) -> pl.DataFrame:
    columns = {}
    for name, kind in PREDICTION_SCHEMA.items():
        cells = [row.get(name) for row in rows]
        column = pl.Series(name, cells, dtype=pl.Int64() if name in INSTANTS else kind)
        columns[name] = column.cast(TIME) if name in INSTANTS else column
    return pl.DataFrame(columns)


def _gap_row(stream: str, sequence: int, at_us: int, span: tuple[int, int | None], reason: str) -> Row:
    return {
        "kind": "gap",
        "stream": stream,
        "sequence": sequence,
        "made_at": at_us,
        "reason": reason,
        "gap_first": span[0],
        "gap_last": span[1],
    }


def _answer_rows(stream: str, sequence: int, record: AnswerRecord) -> Iterator[Row]:
    shared = {
        "kind": "answer",
        "stream": stream,
        "sequence": sequence,
        "request_id": record.request_id,
        "asked": record.asked,
        "epoch": record.epoch,
        "made_at": record.made_us,
        "issued_at": record.issued_us,
        "latency_us": record.latency_us,
        "quantiles": list(record.quantiles),
        "inputs_digest": record.inputs_digest.hex() or None,
    }
    inputs = msgspec.msgpack.encode((record.columns, record.inputs)) if record.columns else None
    for area in record.areas:
        for row in _area_rows(area, _faults(record, area.area)):
            yield {**shared, **row, "inputs": inputs}
            inputs = None  # once a request, beside its first row


def _faults(record: AnswerRecord, area: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for held in record.incidents:
        if held.area == area and held.release is not None:
            told = f"{held.kind}: {held.reason}"
            found[held.release] = f"{found[held.release]}; {told}" if held.release in found else told
    return found


def _area_rows(area: AreaAnswer, faults: dict[str, str]) -> Iterator[Row]:
    """Yield a row per model and target; models that failed without numbers, or nobody at all, get rows without MW."""
    targets: Iterable[int | None] = area.targets_us() or [None] * area.rows
    silent: list[str | None] = [name for name in faults if name not in area.answers]
    models: list[str | None] = [*area.answers, *silent]
    for model in models or [None]:
        cells = area.answer(model).tolist() if model is not None and model in area.answers else [None] * area.rows
        for row, (at, mw) in enumerate(zip(targets, cells, strict=True)):
            yield {
                "area": area.area,
                "row": row,
                "at": at,
                "served_by": area.served_by,
                "release": area.release,
                "reason": area.reason,
                "model": model,
                "fault": faults.get(model or "", ""),
                "mw": mw,
            }


def inputs_of(content: bytes) -> dict[str, list[float]]:
    """Return the columns of a row's `inputs`, in the order of the request's areas and targets; NaN is missing."""
    names, cells = msgspec.msgpack.decode(content, type=tuple[tuple[str, ...], bytes])
    table = np.frombuffer(cells, "<f8").reshape(-1, len(names))
    return {name: table[:, index].tolist() for index, name in enumerate(names)}
