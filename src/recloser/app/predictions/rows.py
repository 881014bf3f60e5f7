"""Owns the rows of the predictions table that a log segment becomes. Reads and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from recloser.core import TIME
from recloser.serving.log import AnswerRecord, AreaAnswer, Contents, GapRecord
from recloser.store import PREDICTION_SCHEMA

DAMAGED = "damaged: these records of the log cannot be read; their bytes are in its quarantine"

INSTANTS = ("made_at", "issued_at", "at")


class Row(NamedTuple):
    """One row of the table, columns in the order of PREDICTION_SCHEMA, instants in microseconds since 1970 UTC."""

    kind: str
    stream: str
    sequence: int
    request_id: str | None = None
    asked: str | None = None
    epoch: int | None = None
    made_at: int = 0
    issued_at: int | None = None
    latency_us: int | None = None
    area: str | None = None
    row: int | None = None
    at: int | None = None
    served_by: str | None = None
    release: str | None = None
    reason: str = ""
    model: str | None = None
    fault: str | None = None
    quantiles: list[float] | None = None
    mw: list[float] | None = None
    inputs_digest: str | None = None
    inputs: bytes | None = None
    gap_first: int | None = None
    gap_last: int | None = None


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
            rows.append(_gap_row(stream, sequence, record.to_us, (record.first, record.last), record.reason))
    now_us = int(now.timestamp() * 1e6)
    rows += [_gap_row(stream, low, now_us, (low, high), DAMAGED) for low, high in holes(contents, first, end)]
    schema = {name: pl.Int64() if name in INSTANTS else kind for name, kind in PREDICTION_SCHEMA.items()}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col(INSTANTS).cast(TIME))


def holes(contents: Contents, first: int, end: int | None) -> list[tuple[int, int]]:
    """Return the runs of sequences, ends included, that neither a record nor a gap record accounts for."""
    spans = [(sequence, sequence) for sequence, _ in contents.records]
    spans += [(r.first, r.last) for _, r in contents.records if isinstance(r, GapRecord) and r.last is not None]
    newest = contents.newest
    stop = max(first if newest is None else newest + 1, first if end is None else end)
    found, reached = [], first
    for low, high in [*sorted(spans), (stop, stop)]:
        if low > reached:
            found.append((reached, low - 1))
        reached = max(reached, high + 1)
    return found


def _gap_row(stream: str, sequence: int, at_us: int, span: tuple[int, int | None], reason: str) -> Row:
    return Row("gap", stream, sequence, made_at=at_us, reason=reason, gap_first=span[0], gap_last=span[1])


def _answer_rows(stream: str, sequence: int, record: AnswerRecord) -> Iterator[Row]:
    """Yield the rows of a request; its inputs stand once, beside the first row."""
    head = (
        *("answer", stream, sequence, record.request_id, record.asked, record.epoch),
        *(record.made_us, record.issued_us, record.latency_us),
    )
    quantiles, digest = list(record.quantiles), record.inputs_digest.hex() or None
    inputs = msgspec.msgpack.encode((record.columns, record.inputs)) if record.columns else None
    for area in record.areas:
        faults = _faults(record, area.area)
        for model, row, at, mw in _cells(area, faults):
            fault = faults.get(model or "", "")
            who = (area.area, row, at, area.served_by, area.release, area.reason)
            yield Row(*head, *who, model, fault, quantiles, mw, digest, inputs)
            inputs = None


def _faults(record: AnswerRecord, area: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for held in record.incidents:
        if held.area == area and held.release is not None:
            told = f"{held.kind}: {held.reason}"
            found[held.release] = f"{found[held.release]}; {told}" if held.release in found else told
    return found


def _cells(
    area: AreaAnswer, faults: dict[str, str]
) -> Iterator[tuple[str | None, int, int | None, list[float] | None]]:
    """Yield model, row, target and MW; models that failed without numbers, or nobody at all, come without MW."""
    targets: Iterable[int | None] = area.targets_us() or [None] * area.rows
    silent: list[str | None] = [name for name in faults if name not in area.answers]
    models: list[str | None] = [*area.answers, *silent]
    for model in models or [None]:
        given = model is not None and model in area.answers
        cells = area.answer(model).tolist() if given and model is not None else [None] * area.rows
        for row, (at, mw) in enumerate(zip(targets, cells, strict=True)):
            yield model, row, at, mw


def inputs_of(content: bytes) -> dict[str, list[float]]:
    """Return the columns of a row's `inputs`, in the order of the request's areas and targets; NaN is missing."""
    names, cells = msgspec.msgpack.decode(content, type=tuple[tuple[str, ...], bytes])
    table = np.frombuffer(cells, "<f8").reshape(-1, len(names))
    return {name: table[:, index].tolist() for index, name in enumerate(names)}
