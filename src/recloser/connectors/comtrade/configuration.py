"""Owns the configuration of a COMTRADE recording: channels, rates, times, form of the data. Does not read data.

Source: IEEE C37.111-1991, -1999 and -2013, clause 7 (CFG).
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from recloser.core import InvalidInput

FORMS = ("ASCII", "BINARY", "BINARY32", "FLOAT32")
END_OF_FILE = "\x1a"  # of DOS, which many devices write
MOST_CHANNELS = 100_000


@dataclass(frozen=True, slots=True)
class Analog:
    """An analog channel; `multiplier` x raw + `offset` is the value in `unit`.

    Attributes:
        name: as the device calls it.
        phase: of the network.
        component: what is monitored.
        unit: as written, such as kV.
        multiplier: unit per count.
        offset: addend.
        skew_us: time of sampling after the sample's own, microseconds.
        primary: primary rating of the transformer; None where not told.
        secondary: its secondary rating.
        side: 'P' or 'S': whether values are primary or secondary.
    """

    name: str
    phase: str
    component: str
    unit: str
    multiplier: float
    offset: float
    skew_us: float
    primary: float | None
    secondary: float | None
    side: str


@dataclass(frozen=True, slots=True)
class Status:
    """A status channel and its normal state."""

    name: str
    phase: str
    component: str
    normal: int


@dataclass(frozen=True, slots=True)
class ComtradeConfiguration:
    """What a CFG says.

    Attributes:
        station, device: names; revision: 1991, 1999 or 2013.
        analogs, statuses: the channels.
        frequency_hz: nominal; None where not told.
        rates: (samples per second, last sample at this rate); a rate of 0 means that stamps rule.
        start_ns: time of the first sample, nanoseconds since 1970; UTC where the time code is told, else as written.
        trigger_ns: time of the trigger, likewise.
        stamp_ns: nanoseconds of one unit of the data's time stamps.
        form: ASCII, BINARY, BINARY32 or FLOAT32.
        utc_offset_min: the time code in minutes; None where it is not told.
        time_quality: of the clock, as written (2013); leap: leap second code (2013).
    """

    station: str
    device: str
    revision: int
    analogs: tuple[Analog, ...]
    statuses: tuple[Status, ...]
    frequency_hz: float | None
    rates: tuple[tuple[float, int], ...]
    start_ns: int
    trigger_ns: int
    stamp_ns: float
    form: str
    utc_offset_min: int | None = None
    time_quality: str = ""
    leap: str = ""


class _Lines:
    """Hands out the lines of a CFG, and knows where it is for errors."""

    def __init__(self, text: str, where: str) -> None:
        self._lines = lines_of(text)
        self._where = where
        self.place = 0

    def next(self, least: int) -> list[str]:
        if self.place >= len(self._lines):
            raise self.error("the configuration ends too early", "another line")
        cells = [cell.strip() for cell in self._lines[self.place].split(",")]
        self.place += 1
        if len(cells) < least:
            raise self.error("a line with too few fields", f"at least {least}")
        return cells

    def rest(self) -> Iterator[list[str]]:
        while self.place < len(self._lines):
            yield self.next(1)

    def number(self, cell: str, kind: type[int | float] = float) -> float:
        try:
            return kind(cell)
        except ValueError:
            raise self.error("not a number", "a number", cell) from None

    def error(self, what: str, expected: str, got: str | None = None) -> InvalidInput:
        shown = self._lines[self.place - 1] if got is None and 0 < self.place <= len(self._lines) else got
        place = f"{self._where} line {self.place}"
        return InvalidInput(what, got=shown, expected=expected, where=place, next_step="Export the recording again.")


def lines_of(text: str) -> list[str]:
    """Return the lines of a recording's text up to its end; only CR and LF end one, no other control character."""
    told = text.partition(END_OF_FILE)[0].rstrip("\r\n")
    return re.split(r"\r\n|\r|\n", told) if told else []


def read_configuration(text: str, where: str = "CFG") -> ComtradeConfiguration:
    """Return what the text of a CFG says.

    Raises:
        InvalidInput: a line that does not fit; the message names it.
    """
    lines = _Lines(text, where)
    head = lines.next(2)
    revision = int(lines.number(head[2], int)) if len(head) > 2 and head[2] else 1991
    counts = lines.next(3)
    analog_count, status_count = _count(lines, counts, "A"), _count(lines, counts, "D")
    analogs = tuple(_analog(lines) for _ in range(analog_count))
    statuses = tuple(_status(lines) for _ in range(status_count))
    frequency = lines.next(1)[0]
    rate_count = max(int(lines.number(lines.next(1)[0], int)), 1)
    if rate_count > MOST_CHANNELS:
        raise lines.error("too many sampling rates", f"at most {MOST_CHANNELS}")
    rates = tuple(_rate(lines) for _ in range(rate_count))
    start, fine = _moment(lines, revision)
    trigger, fine_trigger = _moment(lines, revision)
    form = lines.next(1)[0].upper()
    if form not in FORMS:
        raise lines.error("an unknown form of data", " or ".join(FORMS))
    tail = list(lines.rest())
    multiplier = lines.number(tail[0][0]) if tail and tail[0][0] else 1.0
    offset = _offset(tail[1][0]) if len(tail) > 1 else None
    shift = (offset or 0) * 60_000_000_000
    quality = [*tail[2], "", ""][:2] if len(tail) > 2 else ["", ""]
    return ComtradeConfiguration(
        station=head[0],
        device=head[1],
        revision=revision,
        analogs=analogs,
        statuses=statuses,
        frequency_hz=lines.number(frequency) if frequency else None,
        rates=rates,
        start_ns=start - shift,
        trigger_ns=trigger - shift,
        stamp_ns=(1 if fine or fine_trigger else 1_000) * multiplier,
        form=form,
        utc_offset_min=offset,
        time_quality=quality[0],
        leap=quality[1],
    )


def _count(lines: _Lines, cells: list[str], letter: str) -> int:
    for cell in cells[1:]:
        if cell.upper().endswith(letter):
            count = int(lines.number(cell[:-1], int))
            if 0 <= count <= MOST_CHANNELS:
                return count
    raise lines.error(f"no count of channels with {letter}", "such as 8,4A,4D")


def _analog(lines: _Lines) -> Analog:
    cells = lines.next(10)
    rated = len(cells) >= 13
    return Analog(
        name=cells[1],
        phase=cells[2],
        component=cells[3],
        unit=cells[4],
        multiplier=lines.number(cells[5]),
        offset=lines.number(cells[6] or "0"),
        skew_us=lines.number(cells[7] or "0"),
        primary=lines.number(cells[10]) if rated and cells[10] else None,
        secondary=lines.number(cells[11]) if rated and cells[11] else None,
        side=cells[12].upper() if rated else "",
    )


def _status(lines: _Lines) -> Status:
    cells = lines.next(2)
    middle = [*cells[2:-1], "", ""]
    last = cells[-1] if len(cells) > 2 else ""
    return Status(cells[1], middle[0], middle[1], int(lines.number(last, int)) if last else 0)


def _rate(lines: _Lines) -> tuple[float, int]:
    cells = lines.next(2)
    return lines.number(cells[0] or "0"), int(lines.number(cells[1], int))


def _moment(lines: _Lines, revision: int) -> tuple[int, bool]:
    """Return a time in nanoseconds, and whether it was written with more than microseconds."""
    cells = lines.next(2)
    date = [part for part in re.split(r"[/.\-]", cells[0]) if part]
    clock = re.fullmatch(r"(\d+):(\d+):(\d+)(?:\.(\d+))?", cells[1])
    if len(date) != 3 or clock is None or not all(part.isdecimal() for part in date):
        raise lines.error("not a date and time", "such as 12/01/2011,05:55:30.075011")
    month_first = revision == 1991
    day, month = (int(date[1]), int(date[0])) if month_first else (int(date[0]), int(date[1]))
    if month > 12 >= day:
        day, month = month, day  # many devices write the other revision's order
    year = int(date[2]) if len(date[2]) > 2 else 1900 + int(date[2]) + 100 * (int(date[2]) < 70)
    hour, minute, second = (int(part) for part in clock.groups()[:3])
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59))  # noqa: DTZ001 - the zone stands elsewhere
    except ValueError:
        raise lines.error("not a date and time", "a day that exists") from None
    fraction = (clock[4] or "").ljust(9, "0")[:9]
    whole = timegm(moment.timetuple()) + max(second - 59, 0)
    return whole * 1_000_000_000 + int(fraction), len(clock[4] or "") > 6


def _offset(code: str) -> int | None:
    """Return a time code such as -5h30, +10 or 0 in minutes; None for 'x' or what is no code."""
    found = re.fullmatch(r"([+-]?)(\d{1,2})(?:h(\d{2}))?", code)
    if found is None:
        return None
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    return -minutes if found[1] == "-" else minutes
