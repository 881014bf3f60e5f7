"""Owns reading many data frames of one configuration at once, as arrays. One frame with little delay: `../data.py`.

The bytes of all frames are one matrix of 16-bit words (every field stands at an even place); the words of all fields of
one kind are gathered in one step, whatever the number of PMUs.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.c37118.frame import SYNC
from recloser.connectors.c37118.layout import Field, Layout
from recloser.core import InvalidInput

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
BILLION = 1_000_000_000
HEAD = np.arange(3, 7)  # words of SOC and FRACSEC


@dataclass(frozen=True, slots=True)
class DataBatch:
    """The numbers of n data frames of one configuration.

    Attributes:
        layout: what the columns mean.
        t_ns: (n,) nanoseconds since 1970 UTC.
        time_quality: (n,) leap-second bits and clock quality.
        stats: (n, PMUs) STAT words.
        phasors: (n, phasors, 2) as sent: magnitude and angle (rad), or real and imaginary; NaN where absent.
        frequencies: (n, PMUs, 2) Hz and Hz/s.
        analogs: (n, analogs) scaled values.
        raw_analogs: (n, analogs) as sent.
        digitals: (n, words).
        crc_ok: (n,) whether each check word is right.
    """

    layout: Layout
    t_ns: Integers
    time_quality: NDArray[np.uint8]
    stats: NDArray[np.uint16]
    phasors: Floats
    frequencies: Floats
    analogs: Floats
    raw_analogs: Floats
    digitals: NDArray[np.uint16]
    crc_ok: NDArray[np.bool_]

    def rows(self, which: NDArray[np.bool_]) -> DataBatch:
        """Return the frames that `which` (n,) says."""
        return DataBatch(
            self.layout,
            self.t_ns[which],
            self.time_quality[which],
            self.stats[which],
            self.phasors[which],
            self.frequencies[which],
            self.analogs[which],
            self.raw_analogs[which],
            self.digitals[which],
            self.crc_ok[which],
        )


@dataclass(frozen=True, slots=True)
class _Gather:
    """How to take the fields of one code out of the word matrix."""

    words: NDArray[np.intp]  # columns of the word matrix
    code: str  # dtype of the fields
    columns: NDArray[np.intp]  # where they go
    multiplier: Floats
    divisor: Floats
    offset: Floats
    absent: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where everything stands, by column of the word matrix.

    Attributes:
        gathers: phasors, frequencies and analogs, in this order, as one array.
        width: of this array; `frequencies` and `analogs`: where these begin in it.
        raw_analogs: analogs as sent; None where that is no other number.
        stats, digitals: words.
        absent: angle columns that may be absent, and their magnitudes.
    """

    gathers: tuple[_Gather, ...]
    width: int
    frequencies: int
    analogs: int
    raw_analogs: tuple[_Gather, ...] | None
    stats: NDArray[np.intp]
    digitals: NDArray[np.intp]
    absent: tuple[NDArray[np.intp], NDArray[np.intp]] | None


def read_batch(frames: Sequence[bytes] | bytes, layout: Layout) -> DataBatch:
    """Return the numbers of whole data frames of one configuration; check words are looked at, not acted on.

    Args:
        frames: the frames, or their bytes one after another.
        layout: of their configuration.

    Raises:
        InvalidInput: a frame whose size does not fit the configuration.
    """
    size = layout.size
    data = frames if isinstance(frames, bytes) else b"".join(frames)
    fits = len(data) % size == 0 if isinstance(frames, bytes) else all(len(frame) == size for frame in frames)
    if not fits:
        raise InvalidInput("data frames that do not fit their configuration", expected=f"{size} bytes each")
    count = len(data) // size
    words = np.frombuffer(data, ">u2").reshape(count, size // 2)
    head = words.take(HEAD, axis=1).view(">u4").astype(np.int64)
    fraction = head[:, 1]
    plan = _plan(layout)
    values = _values(words, plan.gathers, plan.width)
    if plan.absent is not None:
        angles, magnitudes = plan.absent
        values[:, magnitudes] = np.where(np.isnan(values[:, angles]), np.nan, values[:, magnitudes])
    analogs = values[:, plan.analogs :]
    raw = plan.raw_analogs
    return DataBatch(
        layout,
        head[:, 0] * BILLION + (fraction & 0xFFFFFF) * BILLION // layout.configuration.time_base,
        (fraction >> 24).astype(np.uint8),
        words.take(plan.stats, axis=1).astype(np.uint16),
        values[:, : plan.frequencies].reshape(count, -1, 2),
        values[:, plan.frequencies : plan.analogs].reshape(count, -1, 2),
        analogs,
        analogs if raw is None else _values(words, raw, len(layout.analogs), scaled=False),
        words.take(plan.digitals, axis=1).astype(np.uint16),
        _good(frames, size),
    )


def _good(frames: Sequence[bytes] | bytes, size: int) -> NDArray[np.bool_]:
    """Return whether each check word is right."""
    if isinstance(frames, bytes):
        view = memoryview(frames)
        return np.array([not crc_hqx(view[at : at + size], 0xFFFF) for at in range(0, len(frames), size)], bool)
    return np.array([not crc_hqx(frame, 0xFFFF) for frame in frames], bool)


def leading_frames(data: bytes | bytearray, layout: Layout) -> int:
    """Return how many whole data frames of this layout stand at the front of a stream's bytes, one after another.

    They may be given to `read_batch` as they are; what follows them is for the framer.
    """
    count = len(data) // layout.size
    if not count:
        return 0
    heads = np.frombuffer(data, np.uint8, count * layout.size).reshape(count, layout.size)[:, :6]
    known = layout.configuration.idcode
    expected = np.frombuffer(layout.size.to_bytes(2) + known.to_bytes(2), np.uint8)
    fits = (heads[:, 0] == SYNC) & (heads[:, 1] >> 4 == 0) & (heads[:, 2:] == expected).all(axis=1)
    return count if fits.all() else int(fits.argmin())


def begins_frame(data: bytes, layout: Layout) -> bool:
    """Return whether bytes are none, or the beginning of one more data frame of this layout."""
    if len(data) >= layout.size:
        return False
    head = bytes([SYNC]) + data[1:2] + layout.size.to_bytes(2) + layout.configuration.idcode.to_bytes(2)
    return data[:6] == head[: len(data)][:6] and (len(data) < 2 or data[1] >> 4 == 0)


def _values(words: NDArray[np.uint16], gathers: tuple[_Gather, ...], width: int, *, scaled: bool = True) -> Floats:
    if len(gathers) == 1 and gathers[0].code == ">f4":  # the usual case: all in floating point
        return words.take(gathers[0].words, axis=1).view(">f4").astype(np.float64)
    values = np.empty((len(words), width))
    for gather in gathers:
        raw = words.take(gather.words, axis=1).view(gather.code)
        if not scaled or gather.code == ">f4":
            values[:, gather.columns] = raw
            continue
        numbers = raw * gather.multiplier / gather.divisor + gather.offset
        if gather.absent.any():
            numbers[(raw == -32768) & gather.absent] = np.nan
        values[:, gather.columns] = numbers
    return values


@lru_cache(maxsize=256)
def _plan(layout: Layout) -> _Plan:
    fields = layout.fields
    phasors = [fields[index] for index in layout.phasors]
    frequencies = [fields[index] for index in layout.frequencies]
    analogs = [fields[index] for index in layout.analogs]
    angles = np.array(
        [i for i in range(1, len(phasors), 2) if phasors[i].absent is not None and phasors[i - 1].code == "H"], np.intp
    )
    every = phasors + frequencies + analogs
    return _Plan(
        _gathers(every),
        len(every),
        len(phasors),
        len(phasors) + len(frequencies),
        None if all(field.code == "f" for field in analogs) else _gathers(analogs),
        np.array([fields[index].place // 2 for index in layout.stats], np.intp),
        np.array([fields[index].place // 2 for index in layout.digitals], np.intp),
        (angles, angles - 1) if len(angles) else None,
    )


def _gathers(fields: list[Field]) -> tuple[_Gather, ...]:
    gathers = []
    for letter, code in (("f", ">f4"), ("h", ">i2"), ("H", ">u2")):
        columns = [index for index, field in enumerate(fields) if field.code == letter]
        if not columns:
            continue
        chosen = [fields[index] for index in columns]
        width = 2 if letter == "f" else 1
        words = [field.place // 2 + step for field in chosen for step in range(width)]
        multiplier, divisor, offset = np.array([field.linear for field in chosen]).T
        absent = np.array([field.absent is not None for field in chosen])
        place = np.array(columns, np.intp)
        gathers.append(_Gather(np.array(words, np.intp), code, place, multiplier, divisor, offset, absent))
    return tuple(gathers)
