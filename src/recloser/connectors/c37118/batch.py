"""Owns reading many data frames of one configuration at once, as arrays. One frame with little delay: `data.py`.

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
    """The gathers of the phasors, frequencies and analogs, and the words of stats and digitals."""

    phasors: tuple[_Gather, ...]
    frequencies: tuple[_Gather, ...]
    analogs: tuple[_Gather, ...]
    stats: NDArray[np.intp]
    digitals: NDArray[np.intp]
    absent_angles: tuple[NDArray[np.intp], NDArray[np.intp]]  # angle columns that may be absent, their magnitudes


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
    view = memoryview(data)
    good = np.fromiter((crc_hqx(view[i * size : (i + 1) * size], 0xFFFF) == 0 for i in range(count)), bool, count)
    words = np.frombuffer(data, ">u2").reshape(count, size // 2)
    head = np.frombuffer(data, np.uint8).reshape(count, size)[:, 6:14].copy().view(">u4")
    fraction = head[:, 1].astype(np.int64)
    base = layout.configuration.time_base
    plan = _plan(layout)
    phasors = _values(words, plan.phasors, len(layout.phasors))
    angles, magnitudes = plan.absent_angles
    if len(angles):
        phasors[:, magnitudes] = np.where(np.isnan(phasors[:, angles]), np.nan, phasors[:, magnitudes])
    return DataBatch(
        layout,
        head[:, 0].astype(np.int64) * BILLION + (fraction & 0xFFFFFF) * BILLION // base,
        (fraction >> 24).astype(np.uint8),
        words[:, plan.stats].astype(np.uint16),
        phasors.reshape(count, -1, 2),
        _values(words, plan.frequencies, len(layout.frequencies)).reshape(count, -1, 2),
        _values(words, plan.analogs, len(layout.analogs)),
        _values(words, plan.analogs, len(layout.analogs), scaled=False),
        words[:, plan.digitals].astype(np.uint16),
        good,
    )


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
    values = np.empty((len(words), width))
    for gather in gathers:
        raw = np.ascontiguousarray(words[:, gather.words]).view(gather.code)
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
    phasors = [layout.fields[index] for index in layout.phasors]
    angles = np.array(
        [i for i in range(1, len(phasors), 2) if phasors[i].absent is not None and phasors[i - 1].code == "H"], np.intp
    )
    return _Plan(
        _gathers(phasors),
        _gathers([layout.fields[index] for index in layout.frequencies]),
        _gathers([layout.fields[index] for index in layout.analogs]),
        np.array([layout.fields[index].place // 2 for index in layout.stats], np.intp),
        np.array([layout.fields[index].place // 2 for index in layout.digitals], np.intp),
        (angles, angles - 1),
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
