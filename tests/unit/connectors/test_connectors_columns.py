"""Blocks of readings mean what single readings mean: in the spool, to the cleaner, out of phasor data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.connectors.cleaning import Cleaned, Cleaner, CleaningRules, ColumnCleaner
from recloser.connectors.points import BlockHead, Point, PointQuality, PointReading, ReadingBlock, gathered
from recloser.connectors.spool.record import Batch, decode, encode_readings
from recloser.core import InvalidInput

S = 1_000_000_000
HOUR = 3_600 * S
T0 = 1_700_000_000 * S
POINTS = (
    Point("1", "A", "MW", low=0.0, high=100.0, rate_per_s=5.0, stuck_after_s=0.7),
    Point("2", "B", "Hz"),
    Point("3", "C", "kV", high=50.0, rate_per_s=0.0),
    Point("4", "D", "", stuck_after_s=0.5),
)
NAMES = {point.name: point for point in POINTS}
FLAGS = (0, 0, 0, 0, *(int(flag) for flag in PointQuality if flag <= PointQuality.STALE))
NUMBERS = (0.0, -0.0, 1.0, -1.0, -2.0, 2.0, 20.0, 21.0, 60.0, 2_000.0, 20_000.0, 0.02, 1e-6, math.nan)


def head_of(points: Iterable[str], origin: str = "test") -> BlockHead:
    names = tuple(points)
    return BlockHead("pdc", origin, names, tuple(NAMES[name].unit if name in NAMES else "" for name in names))


def block_of(head: BlockHead, rows: list[tuple[int, int, list[tuple[float, int]]]]) -> ReadingBlock:
    """Rows of (source ns, receive ns, [(number, quality) for each point])."""
    shape = len(rows), len(head.points)
    return ReadingBlock(
        head,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([[number for number, _ in row[2]] for row in rows], np.float64).reshape(shape),
        np.array([[quality for _, quality in row[2]] for row in rows], np.int32).reshape(shape),
        np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(shape),
    )


def both(readings: Sequence[ReadingBlock | PointReading], rules: CleaningRules | None = None) -> None:
    """Assert that the cleaner of columns says of readings, one after another, what the cleaner of readings says."""
    single, columns = Cleaner(NAMES, rules), ColumnCleaner(NAMES, rules)
    for item in readings:
        if isinstance(item, PointReading):
            assert columns.clean(item) == single.clean(item)
        else:
            assert told(columns, item) == single.clean_all(item)


def test_readings_that_came_together_are_gathered_and_nothing_else() -> None:
    rows = list(
        block_of(head_of("ABC"), [(T0 + n, T0 + n + 1, [(float(n), 0), (math.nan, 4), (1.0, 0)]) for n in (0, 1)])
    )
    odd = [
        replace(rows[0], source_ns=None),
        replace(rows[1], raw=3.0),
        replace(rows[2], raw_flags=-1),
        rows[0],
        rows[0],
    ]
    found = list(gathered([*rows, *odd]))
    assert [isinstance(item, ReadingBlock) for item in found] == [True, True, *[False] * 5]
    flat = [one for item in found for one in (item if isinstance(item, ReadingBlock) else [item])]
    assert flat == [*rows, *odd]
    assert ColumnCleaner(NAMES).clean_all([*rows, *odd]) == Cleaner(NAMES).clean_all([*rows, *odd])


def told(cleaner: ColumnCleaner, block: ReadingBlock) -> list[Cleaned]:
    return list(cleaner.clean_block(block))


numbers = st.one_of(st.sampled_from(NUMBERS), st.floats(-1e4, 1e4, width=32))
lags = st.sampled_from((S // 5, S // 5, 0, HOUR, HOUR + S, -2 * HOUR, -90 * S, HOUR // 2, 10_000 * HOUR))
steps = st.sampled_from((S, S, S, S // 10, 0, -S, 60 * S))


@st.composite
def traffic(draw: st.DrawFn) -> list[ReadingBlock | PointReading]:
    heads = [head_of("ABCD"), head_of("DBCA"), head_of("BX"), head_of("A")]
    pool = draw(st.lists(numbers, min_size=1, max_size=6))
    items: list[ReadingBlock | PointReading] = []
    now = T0
    for _ in range(draw(st.integers(1, 6))):
        head, rows = draw(st.sampled_from(heads)), []
        for _ in range(draw(st.integers(1, 12))):
            now += draw(steps)
            cells = [
                (draw(st.sampled_from(pool)), draw(st.sampled_from(FLAGS)) if draw(st.booleans()) else 0)
                for _ in head.points
            ]
            rows.append((now, now + draw(lags), cells))
        block = block_of(head, rows)
        items.append(block)
        if draw(st.booleans()):
            again = list(block)[: draw(st.integers(1, 3))]
            items += [replace(one, receive_ns=one.receive_ns + S) for one in again]
        if draw(st.booleans()):
            items.append(PointReading("pdc", "A", None, now, draw(st.sampled_from((None, 1.0))), "MW"))
        if draw(st.booleans()):
            items.append(items[draw(st.integers(0, len(items) - 1))])
    return items


@settings(max_examples=300, deadline=None)
@given(items=traffic(), confirmed_by=st.integers(1, 4))
def test_columns_are_cleaned_as_single_readings_are(
    items: list[ReadingBlock | PointReading], confirmed_by: int
) -> None:
    both(items, CleaningRules(confirmed_by=confirmed_by))


@pytest.mark.parametrize("rules", [None, CleaningRules(unit_check=False, cycle_check=False, shift_within_s=0.0)])
def test_long_streams_are_cleaned_alike(rules: CleaningRules | None) -> None:
    """Noise, noise around zero, steps, coarse numbers, a recording played again, factors of a thousand, holes."""
    rng = np.random.default_rng(11)
    count = 900
    noise = rng.normal(50.0, 0.01, count)
    around = rng.normal(0.0, 1.0, count).round(3)
    played = np.concatenate([rng.normal(20.0, 5.0, 100), np.tile(rng.normal(20.0, 1.0, 17), 30)])
    played = np.concatenate([played, rng.integers(0, 3, count - len(played)).astype(float)])
    steps_ = np.repeat(rng.normal(30.0, 10.0, count // 30), 30)
    steps_[::97] *= 1000.0
    wild = np.stack([steps_, played, noise, around], axis=1)
    often = np.array([1.0, 0.1, 1.0, 1.0])
    wild[rng.random(wild.shape) < 0.02 * often] = np.nan
    quality = np.where(rng.random(wild.shape) < 0.03 * often, int(PointQuality.INVALID), 0).astype(np.int32)
    source = T0 + np.arange(count) * (S // 30) + rng.integers(-1, 2, count) * (S // 40)
    source[500:600] += HOUR
    head = head_of("ABCD")
    whole = ReadingBlock(
        head,
        source,
        source + S // 10 - np.where(np.arange(count) // 100 == 5, HOUR, 0),
        wild,
        quality,
        np.zeros(wild.shape, np.uint32),
    )
    parts: list[ReadingBlock] = []
    begin = 0
    while begin < count:
        size = int(rng.integers(1, 40))
        parts.append(whole.rows(begin, begin + size))
        begin += size - int(rng.random() < 0.1)  # now and then a time comes twice
    both(parts, rules)
    cleaner, marks = ColumnCleaner(NAMES, rules), PointQuality.GOOD
    for part in parts:
        for one in told(cleaner, part):
            marks |= one.reading.quality
    always = PointQuality.OUT_OF_LIMITS | PointQuality.JUMP | PointQuality.UNCHANGED | PointQuality.CLOCK_SUSPECT
    assert marks & always == always
    assert (PointQuality.UNIT_SUSPECT | PointQuality.CYCLING in marks) == (rules is None)


def test_what_came_long_ago_is_no_repetition_and_of_the_latest_512_all_are() -> None:
    head = head_of("AB")
    rows = [(T0 + n * S, T0 + n * S, [(float(n % 7), 0), (n / 9, 0)]) for n in range(600)]
    again = [rows[n] for n in (599, 400, 88, 87, 10, 598)]
    both([block_of(head, rows), block_of(head, again), block_of(head, [*again, *rows[80:100]])])


def test_memory_is_restored_alike() -> None:
    rng = np.random.default_rng(3)
    rows = [
        (T0 + n * S, T0 + n * S, [(20.0 if n > 30 else float(rng.normal(20, 0.1)), 0), (float(n % 5), 0)])
        for n in range(200)
    ]
    head = head_of("AB")
    first = Cleaner(NAMES)
    stored = [first.clean(reading).reading for reading in block_of(head, rows[:150])]
    single, columns = Cleaner(NAMES), ColumnCleaner(NAMES)
    single.recall(stored)
    columns.recall(stored)
    later = block_of(head, rows[140:])
    expected = [single.clean(reading) for reading in later]
    assert told(columns, later) == expected
    assert expected[-1].reason or expected[-2].reason


@given(items=traffic())
def test_a_block_comes_back_from_the_spool_as_it_was(items: list[ReadingBlock | PointReading]) -> None:
    for item in items:
        if isinstance(item, ReadingBlock):
            found = decode(7, encode_readings(item))
            assert isinstance(found, Batch)
            assert (found.sequence, list(found.readings)) == (7, list(item))


def test_a_block_whose_parts_do_not_fit_is_a_record_that_is_not_known() -> None:
    body = encode_readings(block_of(head_of("AB"), [(T0, T0, [(1.0, 0), (2.0, 4)])]))
    fields: list[Any] = msgspec.msgpack.decode(body)
    for place, bad in ((1, b"\0" * 9), (2, b""), (4, b"\0" * 8), (5, b"\0" * 12), (6, b"\0" * 16), (1, fields[1][:-3])):
        changed = [*fields]
        changed[place] = bad
        with pytest.raises(msgspec.MsgspecError):
            decode(1, msgspec.msgpack.encode(changed))


def test_a_head_names_each_point_once() -> None:
    with pytest.raises(InvalidInput, match="each point once"):
        BlockHead("pdc", "test", ("A", "A"), ("", ""))
    with pytest.raises(InvalidInput, match="each point once"):
        BlockHead("pdc", "test", ("A", "B"), ("",))
