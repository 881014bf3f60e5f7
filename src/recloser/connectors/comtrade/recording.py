"""Owns reading a COMTRADE recording, as CFG and DAT or as one CFF: all of it or a clear error.

Source: IEEE C37.111-2013, clauses 8 (DAT) and 9 (CFF).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.comtrade.configuration import ComtradeConfiguration, lines_of, read_configuration
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
        t_ns: (n,) nanoseconds since 1970; by sample number and sampling rate where one is told, else by the stamps.
        values: (n, analogs) in the channels' units; NaN where missing.
        statuses: (n, statuses) 0 or 1.
        notes: what was noticed: samples fewer than told, numbers or stamps missing.
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
        InvalidInput: a file that is not there or no recording, or data that do not fit their configuration.
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
    """Sample numbers (NaN: none), stamps (-1: none), counts (NaN: missing) and status bits, as the data have them."""

    numbers: NDArray[np.float64]
    stamps: NDArray[np.int64]
    counts: NDArray[np.float64]
    statuses: NDArray[np.uint8]


def _bytes(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except FileNotFoundError as error:
        whole = "NAME.cff" if place.suffix.lower() == ".cff" else f"{place.stem}.cfg and {place.stem}.dat side by side"
        raise InvalidInput(
            "a recording's file is not there",
            got=str(place),
            expected=whole,
            next_step="Check the path, or copy both files.",
        ) from error
    except OSError as error:
        raise Unavailable(
            "a recording's file cannot be read",
            got=error.strerror,
            where=place.name,
            next_step="Check its permissions.",
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
    whole = whole.removeprefix(codecs.BOM_UTF8)
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
    for number, line in enumerate(lines_of(data.decode("latin-1")), 1):
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
    return _Raw(table[:, 0], stamps, counts, np.nan_to_num(table[:, 2 + analogs :]).astype(np.uint8))


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
    return _Raw(table["n"].astype(np.float64), stamps, counts, bits.reshape(len(table), -1)[:, :statuses])


def _recording(configuration: ComtradeConfiguration, raw: _Raw) -> Recording:
    multiplier = np.array([channel.multiplier for channel in configuration.analogs])
    offset = np.array([channel.offset for channel in configuration.analogs])
    told, count = configuration.rates[-1][1], len(raw.stamps)
    notes = [] if told == count else [f"The configuration tells {told} samples, the data hold {count}."]
    times, noticed = _by_rate(configuration, raw.numbers) or _by_stamp(configuration, raw.stamps)
    values = raw.counts * multiplier + offset
    return Recording(configuration, configuration.start_ns + times, values, raw.statuses, (*notes, *noticed))


Times = tuple[NDArray[np.int64], list[str]]
"""Nanoseconds after the start, and what was noticed."""


def _by_rate(configuration: ComtradeConfiguration, numbers: NDArray[np.float64]) -> Times | None:
    """Return the times that sample numbers have at the rates told; None where no rate is told.

    Sample n comes (n - 1) / rate after the first, and a rate holds up to the number of its last sample
    (clauses 7 and 8).
    """
    if not all(rate > 0 for rate, _ in configuration.rates):
        return None
    places, notes = _places(numbers)
    times, done, base = np.zeros(len(places)), 0, 0.0
    for rate, last in configuration.rates:
        later = places >= done  # the last rate holds to the end
        times[later] = base + (places[later] - done) * 1e9 / rate
        base, done = base + max(last - done, 0) * 1e9 / rate, max(last, done)
    return np.round(times).astype(np.int64), notes


def _places(numbers: NDArray[np.float64]) -> Times:
    """Return how many samples stand, or are missing, before each; numbers count from the first one on."""
    count = len(numbers)
    if not np.isfinite(numbers).all() or not (np.diff(numbers) > 0).all():
        return np.arange(count), ["Sample numbers do not rise; samples are counted as they stand."]
    places = (numbers - numbers[:1]).astype(np.int64)
    missing = int(places[-1]) + 1 - count if count else 0
    return places, [f"{missing} sample number(s) are missing; times follow the numbers."] if missing else []


def _by_stamp(configuration: ComtradeConfiguration, stamps: NDArray[np.int64]) -> Times:
    """Return the times of the stamps; a sample without one has that of the sample before."""
    count, absent = len(stamps), stamps < 0
    known = np.maximum.accumulate(np.where(absent, 0, np.arange(count))) if count else np.zeros(0, np.intp)
    filled = np.maximum(stamps[known], 0) if count else stamps
    missing = int(absent.sum())
    notes = [f"{missing} sample(s) without a stamp; their times follow the samples before."] if missing else []
    return np.round(filled * configuration.stamp_ns).astype(np.int64), notes
