"""Owns which registers are read in which request, and what the words of an answer mean. No I/O; reads only."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recloser.connectors.points import REGISTERS, Point, PointRegistry

FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
FORMS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "u64": ">Q", "i64": ">q", "f32": ">f", "f64": ">d"}
MOST_REGISTERS, MOST_BITS, BRIDGED = 125, 2_000, 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where a point stands: first register or bit, how many, form of its bytes, and whether low words come first."""

    point: Point
    start: int
    length: int
    form: str
    swapped: bool


@dataclass(frozen=True, slots=True)
class ModbusRead:
    """One request: unit, function (1 to 4), first register or bit, how many, and the points in it."""

    unit: int
    function: int
    start: int
    count: int
    places: tuple[Place, ...]

    def request(self, transaction: int) -> bytes:
        """Return the frame that asks for it."""
        return struct.pack(">HHHBBHH", transaction, 0, 6, self.unit, self.function, self.start, self.count)


def plan_reads(registry: PointRegistry) -> list[ModbusRead]:
    """Return the requests that read all points; near neighbours share one, within the protocol's limits."""
    groups: dict[tuple[int, int], list[Place]] = {}
    for point in registry.points:
        unit, table, start, *rest = point.address.split(":")
        function = FUNCTIONS[table]
        form = "bit" if function <= 2 else (rest[0] if rest else "u16")
        length = 1 if form == "bit" else REGISTERS[form]
        place = Place(point, int(start), length, form, rest[-1:] == ["swap"])
        groups.setdefault((int(unit), function), []).append(place)
    return [read for key, places in sorted(groups.items()) for read in _merged(key, places)]


def split_read(read: ModbusRead) -> list[ModbusRead]:
    """Return smaller requests for the same points: without what only bridged a hole, else halves; itself for one."""
    key, runs, end = (read.unit, read.function), [], None
    for place in read.places:
        if end is None or place.start > end:
            runs.append([place])
        else:
            runs[-1].append(place)
        end = max(end or 0, place.start + place.length)
    if len(runs) == 1 and len(read.places) > 1:
        middle = len(read.places) // 2
        runs = [list(read.places[:middle]), list(read.places[middle:])]
    return [_read(key, run) for run in runs]


def _merged(key: tuple[int, int], places: list[Place]) -> Iterator[ModbusRead]:
    most = MOST_BITS if key[1] <= 2 else MOST_REGISTERS
    run: list[Place] = []
    for place in sorted(places, key=lambda item: (item.start, item.length)):
        if run:
            end = max(item.start + item.length for item in run)
            if place.start > end + BRIDGED or max(end, place.start + place.length) - run[0].start > most:
                yield _read(key, run)
                run = []
        run.append(place)
    if run:
        yield _read(key, run)


def _read(key: tuple[int, int], run: list[Place]) -> ModbusRead:
    end = max(place.start + place.length for place in run)
    return ModbusRead(*key, run[0].start, end - run[0].start, tuple(run))


def value_of(place: Place, first: int, values: Sequence[int]) -> float:
    """Return the raw number of a place in an answer that begins at `first`."""
    words = list(values[place.start - first : place.start - first + place.length])
    if place.form == "bit":
        return float(words[0])
    if place.swapped:
        words.reverse()
    (number,) = struct.unpack(FORMS[place.form], struct.pack(f">{len(words)}H", *words))
    return float(number)
