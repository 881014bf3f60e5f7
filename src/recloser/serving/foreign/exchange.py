"""Owns what the two processes say to each other: a fixed header, then Arrow or raw numbers; no pickles."""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from recloser.core import FloatArray, Unavailable

HEADER = struct.Struct("<4scIIQ")
MAGIC = b"RCL1"
READY, ROWS, ANSWER, ERROR = b"H", b"R", b"A", b"E"
MOST_BYTES = 1 << 30

Kind = Literal[b"H", b"R", b"A", b"E"]


class Disturbed(Exception):
    """The other side ended, was too slow, or says what is not understood."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its kind, the shape of an answer (rows, columns) and the bytes."""

    kind: bytes
    shape: tuple[int, int]
    payload: bytes


def send(link: socket.socket, kind: bytes, payload: bytes, shape: tuple[int, int] = (0, 0)) -> None:
    """Write one message.

    Raises:
        Disturbed: the other side is gone or does not read in time.
    """
    try:
        link.sendall(HEADER.pack(MAGIC, kind, *shape, len(payload)))
        link.sendall(payload)
    except OSError as error:
        raise Disturbed(str(error)) from error


def receive(link: socket.socket) -> Message:
    """Read one message, waiting as long as the socket's timeout says for each part.

    Raises:
        Disturbed: as said; TimeoutError is its cause if it took too long.
    """
    magic, kind, rows, columns, length = HEADER.unpack(_exactly(link, HEADER.size))
    if magic != MAGIC or length > MOST_BYTES:
        raise Disturbed("not a message of ours")
    return Message(kind, (rows, columns), _exactly(link, length))


def _exactly(link: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        try:
            part = link.recv(min(count - len(parts), 1 << 20))
        except OSError as error:
            raise Disturbed(type(error).__name__) from error
        if not part:
            raise Disturbed("the other side ended")
        parts += part
    return bytes(parts)


def rows_to_bytes(rows: pl.DataFrame) -> bytes:
    """Return a feature frame as an Arrow stream."""
    buffer = io.BytesIO()
    rows.write_ipc_stream(buffer, compat_level=pl.CompatLevel.oldest())
    return buffer.getvalue()


def rows_from_bytes(payload: bytes) -> pl.DataFrame:
    """Return the feature frame of an Arrow stream."""
    return pl.read_ipc_stream(io.BytesIO(payload))


def answer_from(message: Message) -> FloatArray:
    """Return the numbers of an answer, shape as the header says.

    Raises:
        Unavailable: the model raised; the error holds its words.
        Disturbed: another message, or a shape that does not fit.
    """
    if message.kind == ERROR:
        raise Unavailable("the model failed", got=message.payload.decode(errors="replace")[:300])
    if message.kind != ANSWER or len(message.payload) != 8 * message.shape[0] * message.shape[1]:
        raise Disturbed("an answer that cannot be read")
    numbers: FloatArray = np.frombuffer(message.payload, dtype=np.float64).reshape(message.shape)
    return numbers


def answer_requests(link: socket.socket, predict: Callable[[pl.DataFrame], FloatArray]) -> None:
    """Answer requests until the other side ends; the loop of the model's process.

    A model that fails is told as its words; one that ran out of memory ends the process, so that a clean one starts.
    """
    link.settimeout(None)
    send(link, READY, b"")
    while True:
        try:
            request = receive(link)
        except Disturbed:
            return
        try:
            raw = np.asarray(predict(rows_from_bytes(request.payload)))
            if raw.dtype.kind not in "fiu" or raw.ndim != 2:
                send(link, ERROR, f"not a table of numbers: {raw.dtype}, shape {raw.shape}".encode())
                continue
            mw = np.ascontiguousarray(raw, dtype=np.float64)
            send(link, ANSWER, mw.tobytes(), (mw.shape[0], mw.shape[1]))
        except Disturbed:
            return
        except MemoryError:
            raise
        # The outermost loop of the process: whatever foreign code raises is told and judged on the other side.
        except Exception as error:  # noqa: BLE001
            send(link, ERROR, f"{type(error).__name__}: {error}"[:300].encode(errors="replace"))
