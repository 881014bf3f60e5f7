"""Owns reading a COMTRADE recording, as CFG and DAT or as one CFF: all of it or a clear error.

Source: IEEE C37.111-2013, clauses 8 (DAT) and 9 (CFF).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.comtrade.configuration import ComtradeConfiguration, read_configuration
from recloser.core import InvalidInput, Unavailable

SECTION = re.compile(
    rb"^---\s*file type:\s*(CFG|INF|HDR|DAT)\s*(ASCII|BINARY32|BINARY|FLOAT32)?\s*(?::\s*(\d+)\s*)?---\s*?\r?\n",
    re.IGNORECASE | re.MULTILINE,
)
NUMBERS = {"BINARY": ("<i2", -32_768), "BINARY32": ("<i4", -(2**31)), "FLOAT32": ("<f4", None)}
NO_STAMP = 0xFFFFFFFF
MISSING_TEXT = 99_999


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording of n samples.

    Attributes:
        configuration: what its CFG says.
        t_ns: (n,) nanoseconds since 1970; by sampling rate where one is told, else by the stamps.
        values: (n, analogs) in the channels' units; NaN where missing.
        statuses: (n, statuses) 0 or 1.
        notes: what was noticed: samples fewer than told, stamps missing.
    """

    configuration: ComtradeConfiguration
    t_ns: NDArray[np.int64]
    values: NDArray[np.float64]
    statuses: NDArray[np.uint8]
    notes: tuple[str, ...]


def read_comtrade(path: Path | str, encoding: str | None = None) -> Recording:
    """Read a recording by its .cfg (the .dat stands beside it) or its .cff.

    Args:
        path: the .cfg or .cff.
        encoding: of the text; None takes UTF-8 where it fits, else ISO 8859-1.

    Raises:
        InvalidInput: a file that is no recording, or data that do not fit their configuration.
        Unavailable: a file that cannot be read now.
    """
    place = Path(path)
    if place.suffix.lower() == ".cff":
        sections = _sections(_bytes(place), place.name)
        text, data = sections["CFG"], sections["DAT"]
    else:
        text, data = _bytes(place), _bytes(_beside(place))
    configuration = read_configuration(_text(text, encoding), place.name)
    reader: Callable[[bytes, ComtradeConfiguration, str], _Raw] = _ascii if configuration.form == "ASCII" else _binary
    raw = reader(data, configuration, place.name)
    return _recording(configuration, raw)


@dataclass(frozen=True, slots=True)
class _Raw:
    """Sample numbers, stamps (-1: none), counts (NaN: missing) and status bits, as they stand in the data."""

    stamps: NDArray[np.int64]
    counts: NDArray[np.float64]
    statuses: NDArray[np.uint8]


def _bytes(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError as error:
        raise Unavailable(
            "a recording's file cannot be read",
            got=error.strerror,
            where=place.name,
            next_step="Put it beside the CFG.",
        ) from error


def _beside(place: Path) -> Path:
    names = [place.with_suffix(suffix) for suffix in (".dat", ".DAT", ".Dat")]
    return next((name for name in names if name.exists()), names[0])


def _text(raw: bytes, encoding: str | None) -> str:
    if encoding is not None:
        return raw.decode(encoding, errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _sections(whole: bytes, name: str) -> dict[str, bytes]:
    found = list(SECTION.finditer(whole))
    sections: dict[str, bytes] = {}
    for index, head in enumerate(found):
        end = found[index + 1].start() if index + 1 < len(found) else len(whole)
        if head[3] is not None:
            end = min(head.end() + int(head[3]), len(whole))
        kind = head[1].decode().upper()
        sections.setdefault(kind, whole[head.end() : end])
        if kind == "DAT":
            break  # binary data may look like a section
    missing = {"CFG", "DAT"} - sections.keys()
    if missing:
        raise InvalidInput(
            "a CFF without a section", got=sorted(sections), expected=", ".join(sorted(missing)), where=name
        )
    return sections


def _ascii(data: bytes, configuration: ComtradeConfiguration, name: str) -> _Raw:
    analogs, statuses = len(configuration.analogs), len(configuration.statuses)
    width = 2 + analogs + statuses
    rows = []
    for number, line in enumerate(data.decode("latin-1").replace("\x1a", "").splitlines(), 1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == width + 1 and not cells[-1]:
            cells.pop()
        try:
            numbers = [float(cell) if cell else np.nan for cell in cells]
        except ValueError:
            numbers = []
        if len(numbers) != width:
            place = f"{name} sample line {number}"
            raise InvalidInput("a sample that does not fit", got=line[:80], expected=f"{width} numbers", where=place)
        rows.append(numbers)
    table = np.array(rows, np.float64).reshape(-1, width)
    counts = table[:, 2 : 2 + analogs].copy()
    if configuration.revision < 2013:
        counts[counts == MISSING_TEXT] = np.nan
    stamps = np.where(np.isnan(table[:, 1]), -1, table[:, 1]).astype(np.int64)
    return _Raw(stamps, counts, np.nan_to_num(table[:, 2 + analogs :]).astype(np.uint8))


def _binary(data: bytes, configuration: ComtradeConfiguration, name: str) -> _Raw:
    analogs, statuses = len(configuration.analogs), len(configuration.statuses)
    code, missing = NUMBERS[configuration.form]
    words = (statuses + 15) // 16
    form = np.dtype([("n", "<u4"), ("stamp", "<u4"), ("a", code, (analogs,)), ("d", "<u2", (words,))])
    rest = len(data) % form.itemsize
    if rest and data[len(data) - rest :].strip(b"\r\n\x1a\0"):
        raise InvalidInput(
            "data that end inside a sample",
            got=f"{len(data)} bytes",
            expected=f"a multiple of {form.itemsize}",
            where=name,
            next_step="Copy the recording again.",
        )
    table = np.frombuffer(data, form, len(data) // form.itemsize)
    counts = table["a"].astype(np.float64)
    if missing is not None:
        counts[table["a"] == missing] = np.nan
    bits = np.unpackbits(np.ascontiguousarray(table["d"]).view(np.uint8), axis=1, bitorder="little")
    stamps = np.where(table["stamp"] == NO_STAMP, -1, table["stamp"]).astype(np.int64)
    return _Raw(stamps, counts, bits.reshape(len(table), -1)[:, :statuses])


def _recording(configuration: ComtradeConfiguration, raw: _Raw) -> Recording:
    multiplier = np.array([channel.multiplier for channel in configuration.analogs])
    offset = np.array([channel.offset for channel in configuration.analogs])
    told, count = configuration.rates[-1][1], len(raw.stamps)
    notes = [] if told == count else [f"The configuration tells {told} samples, the data hold {count}."]
    times, missing = _times(configuration, raw.stamps)
    if missing:
        notes.append(f"{missing} sample(s) without a stamp; their times follow the samples before.")
    values = raw.counts * multiplier + offset
    return Recording(configuration, configuration.start_ns + times, values, raw.statuses, tuple(notes))


def _times(configuration: ComtradeConfiguration, stamps: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return nanoseconds after the start, and how many stamps were needed and missing."""
    count = len(stamps)
    if all(rate > 0 for rate, _ in configuration.rates):
        times, done, base = np.zeros(count, np.int64), 0, 0.0
        for rate, last in configuration.rates:
            end = count if last == configuration.rates[-1][1] else min(last, count)
            steps = np.arange(end - done)
            times[done:end] = np.round(base + steps * 1e9 / rate).astype(np.int64)
            base, done = base + max(end - done, 0) * 1e9 / rate, max(end, done)
        return times, 0
    absent = stamps < 0
    known = np.maximum.accumulate(np.where(absent, 0, np.arange(count))) if count else np.zeros(0, np.intp)
    filled = np.maximum(stamps[known], 0) if count else stamps
    return np.round(filled * configuration.stamp_ns).astype(np.int64), int(absent.sum())
