"""Owns asking a release where it runs: rows out, numbers back, within a time limit. Judges no answer.

Numbers travel as their bytes, so that an answer has the bits that the model would give here.
"""

from __future__ import annotations

import http.client
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import polars as pl

from recloser.core import FloatArray, InvalidInput, ModelRows, RecloserError, Refused, Unavailable
from recloser.serving.predictor import PER_ROW_MS, Late
from recloser.serving.wire.tensors import BYTES, Tensor, from_raw, to_raw

HEADER = "inference-header-content-length"
MOST_BYTES = 64 * 1024 * 1024
AGAIN = (429, 502, 503, 504)
"""Statuses of a pod that cannot now, and of a proxy before it."""


@dataclass(frozen=True, slots=True)
class RemotePlan:
    """What is asked, and with which patience.

    Attributes:
        release: id; the model's name in the protocol.
        columns: numeric columns of a row, in the order of the tensor.
        outputs: names of the quantiles' tensors, in order.
        patience_ms: one request may take so long (and PER_ROW_MS for each row).
        first_wait_s, longest_wait_s: after a failure every request fails at once for so long; doubles with each.
        idle: connections that are kept.
    """

    release: str
    columns: tuple[str, ...]
    outputs: tuple[str, ...]
    patience_ms: float = 400.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 10.0
    idle: int = 8


class RemotePredictor:
    """A predictor whose model runs elsewhere; conforms to `recloser.serving.Predictor`. Thread safe.

    A pod that is gone, hangs or answers nonsense fails that request within its patience, and those after it at once
    until the wait is over, so that the next rung answers in the same request.

    Args:
        url: where the release runs, without a path.
        plan: what is asked.
        timer: monotonic seconds.

    Raises:
        InvalidInput: not a URL.
    """

    def __init__(self, url: str, plan: RemotePlan, timer: Callable[[], float] = time.monotonic) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise InvalidInput("not where a release runs", got=url, expected="http://HOST[:PORT]", where=plan.release)
        self.url, self.release = url, plan.release
        self._host, self._port = parts.hostname, parts.port or 80
        self._plan, self._timer = plan, timer
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._wait_s, self._shut_until = plan.first_wait_s, 0.0
        weakref.finalize(self, _close, self._idle)

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return what the model answers, MW, shape (n_rows, n_quantiles).

        Raises:
            Late: no answer within the patience.
            Unavailable: nobody answers there, or did not a moment ago.
            InvalidInput: rows that the model does not take.
        """
        names = self._plan.columns
        absent = [name for name in names if name not in rows.columns]
        if absent:
            raise InvalidInput("rows lack columns that the model needs", got=absent[:5], where=self.release)
        numbers = rows.select(names).cast(pl.Float64).fill_null(float("nan")).to_numpy()
        at_us = rows["at"].dt.epoch("us").to_numpy() if "at" in rows.columns else None
        return self._answer(rows["area"].to_list(), np.ascontiguousarray(numbers), at_us)

    def predict_rows(self, rows: ModelRows) -> FloatArray:
        """Return the same for rows given as arrays; see `predict`."""
        return self._answer(rows.areas, rows.select_exact(self._plan.columns), rows.at_us)

    def close(self) -> None:
        """Give back the connections that are kept."""
        _close(self._idle)

    def _answer(self, areas: Sequence[str], numbers: FloatArray, at_us: Any) -> FloatArray:
        if self._timer() < self._shut_until:
            raise Unavailable("it did not answer a moment ago", where=self.url)
        body, header = encode(areas, numbers, at_us)
        limit_s = (self._plan.patience_ms + len(areas) * PER_ROW_MS) / 1000.0
        try:
            content, length = self._exchange(body, header, self._timer() + limit_s)
            answer = decode(content, length, self._plan.outputs, len(areas))
        except TimeoutError as error:
            self._failed()
            raise Late(f"no answer within {1000.0 * limit_s:g} ms", where=self.url) from error
        except (OSError, http.client.HTTPException, Unavailable) as error:
            self._failed()
            if isinstance(error, RecloserError):
                raise
            raise Unavailable("nobody answers", got=str(error) or type(error).__name__, where=self.url) from error
        self._wait_s, self._shut_until = self._plan.first_wait_s, 0.0
        return answer

    def _failed(self) -> None:
        with self._lock:
            self._shut_until = self._timer() + self._wait_s
            self._wait_s = min(2.0 * self._wait_s, self._plan.longest_wait_s)
        self.close()

    def _exchange(self, body: bytes, header: int, end: float) -> tuple[bytes, str | None]:
        """Return body and header length of an answer; a kept connection that was closed meanwhile is no failure."""
        while True:
            with self._lock:
                link, kept = (self._idle.pop(), True) if self._idle else (None, False)
            link = link or http.client.HTTPConnection(self._host, self._port)
            try:
                return self._once(link, body, header, end)
            except (ConnectionError, http.client.BadStatusLine):
                link.close()
                if not kept:
                    raise
            except BaseException:
                link.close()
                raise

    def _once(self, link: http.client.HTTPConnection, body: bytes, header: int, end: float) -> tuple[bytes, str | None]:
        link.timeout = self._left(end)
        if link.sock is not None:
            link.sock.settimeout(link.timeout)
        headers = {"content-type": "application/octet-stream", HEADER: str(header)}
        link.request("POST", f"/v2/models/{self.release}/infer", body, headers)
        self._limit(link, end)
        response = link.getresponse()
        parts, size = [], 0
        while True:
            self._limit(link, end)
            part = response.read1(1 << 20)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise Unavailable("an answer without end", where=self.url)
        content = b"".join(parts)
        if response.length:
            raise http.client.IncompleteRead(content, response.length)
        response.close()
        if response.status != http.client.OK:
            raise _error(response.status, content, self.url)
        length = response.getheader(HEADER)
        with self._lock:
            if not response.will_close and len(self._idle) < self._plan.idle:
                self._idle.append(link)
            else:
                link.close()
        return content, length

    def _limit(self, link: http.client.HTTPConnection, end: float) -> None:
        if link.sock is not None:
            link.sock.settimeout(self._left(end))

    def _left(self, end: float) -> float:
        left = end - self._timer()
        if left <= 0:
            raise TimeoutError
        return left


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model that answers from its InferenceService; conforms to `recloser.models.Model`.

    Attributes:
        kind: 'kserve'.
        quantiles: levels.
        predictor: asks it.
    """

    quantiles: tuple[float, ...]
    predictor: RemotePredictor
    kind: str = "kserve"

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles); raises as `RemotePredictor.predict`."""
        return self.predictor.predict(rows)

    def predict_rows(self, rows: ModelRows) -> FloatArray:
        """Return the same for rows given as arrays."""
        return self.predictor.predict_rows(rows)

    def save(self, folder: Any) -> None:
        """Refuse: it is used, not made, here.

        Raises:
            Refused: always.
        """
        raise Refused("a model that runs elsewhere is not saved", where=str(folder), next_step="Copy its package.")


def _close(idle: list[http.client.HTTPConnection]) -> None:
    while idle:
        with suppress(IndexError):  # somebody else took the last one
            idle.pop().close()


def encode(areas: Sequence[str], numbers: FloatArray, at_us: Any) -> tuple[bytes, int]:
    """Return an infer request with binary tensors, and the length of its JSON header.

    Args:
        areas: of each row.
        numbers: float64, C-ordered, shape (n_rows, n_columns); NaN is missing.
        at_us: targets in microseconds since 1970 UTC, shape (n_rows,), or None.
    """
    tensors = [Tensor("area", BYTES, (len(areas),), list(areas))]
    if at_us is not None:
        tensors.append(Tensor("at", "INT64", (len(areas),), at_us))
    tensors.append(Tensor("rows", "FP64", numbers.shape, numbers))
    raw = [to_raw(tensor) for tensor in tensors]
    inputs = [
        {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "datatype": tensor.datatype,
            "parameters": {"binary_data_size": len(content)},
        }
        for tensor, content in zip(tensors, raw, strict=True)
    ]
    header = msgspec.json.encode({"inputs": inputs, "parameters": {"binary_data_output": True}})
    return b"".join((header, *raw)), len(header)


def decode(content: bytes, length: str | None, names: Sequence[str], n_rows: int) -> FloatArray:
    """Return MW of shape (n_rows, n_names) of an answer with binary tensors.

    Raises:
        Unavailable: it is none.
    """
    try:
        at = int(length or "")
        document = msgspec.json.decode(content[:at])
        found: dict[str, FloatArray] = {}
        for item in document["outputs"]:
            size = int(item["parameters"]["binary_data_size"])
            tensor = from_raw(item["name"], item["datatype"], item["shape"], memoryview(content)[at : at + size])
            at += size
            found[tensor.name] = tensor.floats()
        table = np.stack([found[name] for name in names], axis=1)
    except (ValueError, KeyError, TypeError, AttributeError, msgspec.MsgspecError, InvalidInput) as error:
        raise Unavailable("an answer that cannot be read", got=f"{type(error).__name__}: {error}"[:200]) from error
    if table.shape != (n_rows, len(names)):
        raise Unavailable("an answer of another shape", got=table.shape, expected=str((n_rows, len(names))))
    return table


def _error(status: int, content: bytes, where: str) -> RecloserError:
    try:
        said: Any = msgspec.json.decode(content)
    except msgspec.MsgspecError:
        said = {}
    detail = said.get("error") or said.get("detail") if isinstance(said, Mapping) else None
    got = f"{status} {detail or content[:200].decode(errors='replace')}".strip()
    if status in AGAIN or status >= 500 or status < 400:
        return Unavailable("it cannot answer now", got=got, where=where)
    return InvalidInput("it does not take the rows", got=got, where=where)
