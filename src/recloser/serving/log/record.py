"""Owns the records of the prediction log: what one answer leaves behind, gaps, and their msgpack form. No I/O."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from recloser.core import FloatArray
from recloser.serving.answer import Scoring
from recloser.serving.batch import EPOCH, Batch, IntArray

Inputs = Literal["digest", "full", "none"]

_INT64, _FLOAT64 = np.dtype("<i8"), np.dtype("<f8")


class Decided(NamedTuple):
    """One answered request as the transport hands it over; encoded later, off the request's path.

    Attributes:
        request_id: the caller's id, empty if none was given.
        asked: model asked for; 'forecast' is by the route.
        epoch: of the route in force when the request came.
        made_at: when it was answered (aware UTC).
        latency_s: from decoded rows to decision.
        quantiles: levels of the answers.
        batch, scoring: inputs by area, and the decision about them.
        issued_at: the issue, where the request is about one.
    """

    request_id: str
    asked: str
    epoch: int
    made_at: datetime
    latency_s: float
    quantiles: tuple[float, ...]
    batch: Batch
    scoring: Scoring
    issued_at: datetime | None = None


class AreaAnswer(msgspec.Struct, array_like=True, frozen=True):
    """One area of a request; arrays are little-endian bytes.

    Attributes:
        area, release, served_by, reason: what was answered by whom; release None: nobody could.
        rows: number of targets.
        at_us: int64 microseconds since 1970 UTC of shape (rows,); empty if the caller gave no times.
        answers: model -> float64 MW of shape (rows, n_quantiles), refused answers included.
    """

    area: str
    release: str | None
    served_by: str
    reason: str
    rows: int
    at_us: bytes
    answers: dict[str, bytes]

    def targets_us(self) -> list[int] | None:
        """Return the targets in microseconds since 1970 UTC, None if the caller gave none."""
        targets: list[int] = np.frombuffer(self.at_us, _INT64).tolist()
        return targets or None

    def answer(self, release: str) -> FloatArray:
        """Return a model's answer in MW, shape (rows, n_quantiles)."""
        return np.frombuffer(self.answers[release], _FLOAT64).reshape(self.rows, -1)


class Held(msgspec.Struct, array_like=True, frozen=True):
    """One incident of the guard."""

    kind: str
    reason: str
    area: str | None
    release: str | None
    tier: str


class AnswerRecord(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """One answered request.

    Attributes:
        request_id, asked, epoch, quantiles: as in `Decided`.
        made_us, issued_us: instants in microseconds since 1970 UTC.
        latency_us: from decoded rows to decision.
        areas, incidents: answers of every model area by area, and what the guard held back.
        inputs_digest: see `inputs_digest`; empty if the policy keeps no inputs.
        columns, inputs: names, and cells of shape (n_rows, n_names) as float64 bytes in the order of the areas' rows;
            empty unless the policy keeps inputs in full.
    """

    request_id: str
    asked: str
    epoch: int
    made_us: int
    issued_us: int | None
    latency_us: int
    quantiles: tuple[float, ...]
    areas: list[AreaAnswer]
    incidents: list[Held]
    inputs_digest: bytes = b""
    columns: tuple[str, ...] = ()
    inputs: bytes = b""

    def table(self) -> FloatArray:
        """Return the inputs, shape (n_rows, n_names); no rows unless they were kept."""
        return np.frombuffer(self.inputs, dtype=_FLOAT64).reshape(-1, max(1, len(self.columns)))


class GapRecord(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Answers that were given but not logged: sequences first to last; last None: nobody knows how many."""

    first: int
    last: int | None
    from_us: int
    to_us: int
    reason: str


class CloseRecord(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """The process ended in order; nothing is missing before this."""

    at_us: int


Record = AnswerRecord | GapRecord | CloseRecord

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    """Return the body of a record."""
    return _ENCODER.encode(record)


def decode(body: bytes) -> Record | None:
    """Return the record of a body; None where it is of a form that this release does not know."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def microseconds(instant: datetime) -> int:
    """Return an aware instant as microseconds since 1970 UTC."""
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def inputs_digest(areas: tuple[str, ...], at_us: IntArray | None, names: tuple[str, ...], table: FloatArray) -> bytes:
    """Return the SHA-256 over the rows of a request in the order of its batch (by area, then target).

    Hashed are: areas and column names as one msgpack array of two; the targets as int64; the cells row by row as
    float64, little endian, columns in the order of their names (the gateway's order).
    """
    digest = hashlib.sha256(msgspec.msgpack.encode((areas, names)))
    if at_us is not None:
        digest.update(at_us.astype(_INT64, copy=False).tobytes())
    digest.update(table.astype(_FLOAT64, copy=False).tobytes())
    return digest.digest()


def weight_of(decided: Decided) -> int:
    """Return about how many bytes an answer that waits to be written holds in memory."""
    batch = decided.batch
    rows, models = int(batch.bounds[-1]), 1 + max(map(len, decided.scoring.answers), default=0)
    return 1_000 + 400 * len(batch.areas) + 8 * rows * (len(batch.names) + models * len(decided.quantiles) + 2)


def record_of(decided: Decided, inputs: Inputs) -> AnswerRecord:
    """Return the record of an answered request."""
    batch, scoring, made = decided.batch, decided.scoring, microseconds(decided.made_at)
    names, table = (batch.names, batch.table) if inputs != "none" else ((), None)
    return AnswerRecord(
        decided.request_id,
        decided.asked,
        decided.epoch,
        made,
        None if decided.issued_at is None else microseconds(decided.issued_at),
        round(decided.latency_s * 1e6),
        decided.quantiles,
        [_area_answer(batch, scoring, index) for index in range(len(batch.areas))],
        [Held(found.kind, found.reason, found.area, found.release, found.tier) for found in scoring.incidents],
        b"" if table is None else inputs_digest(batch.areas, batch.at_us, names, table),
        names if inputs == "full" else (),
        b"" if table is None or inputs != "full" else table.astype(_FLOAT64, copy=False).tobytes(),
    )


def _area_answer(batch: Batch, scoring: Scoring, index: int) -> AreaAnswer:
    rows = batch.rows_of(index)
    return AreaAnswer(
        batch.areas[index],
        scoring.release[index],
        scoring.served_by[index],
        scoring.reason[index],
        rows.stop - rows.start,
        b"" if batch.at_us is None else batch.at_us[rows].astype(_INT64, copy=False).tobytes(),
        {name: mw.astype(_FLOAT64, copy=False).tobytes() for name, mw in scoring.answers[index].items()},
    )
