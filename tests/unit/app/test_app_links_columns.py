"""Blocks of readings become the rows that the same readings become one by one, whatever is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recloser.app.links.sink import TableSink
from recloser.connectors.cleaning import Cleaner, CleaningRules, ColumnCleaner
from recloser.connectors.points import BlockHead, Point, PointQuality, PointReading, ReadingBlock
from recloser.connectors.spool import Batch, Gap, LinkChange, Record
from recloser.core import Unavailable
from recloser.store import READING_SCHEMA, ReadingTable

S = 1_000_000_000
T0 = 1_700_000_000 * S
POINTS = {
    "F": Point("1", "F", "Hz", low=49.0, high=51.0, rate_per_s=5.0),
    "V": Point("2", "V", "kV", stuck_after_s=1.0),
    "A": Point("3", "A", "deg"),
}
HEAD = BlockHead("pdc", "test", ("F", "V", "A", "unknown"), ("Hz", "kV", "deg", ""))


def blocks(count: int, seed: int) -> list[ReadingBlock]:
    rng = np.random.default_rng(seed)
    number = np.stack(
        [
            50.0 + rng.normal(0, 0.01, count) + (rng.random(count) < 0.05) * 3.0,
            np.round(rng.normal(400.0, 0.4, count)),
            np.tile(rng.normal(0, 50, 12), count // 12 + 1)[:count],
            rng.normal(size=count),
        ],
        axis=1,
    )
    number[rng.random(number.shape) < 0.02] = np.nan
    number[100:200, 1] = 400.0
    quality = np.where(rng.random(number.shape) < 0.04, int(PointQuality.UNSYNCHRONISED), 0)
    quality |= np.where(np.isnan(number), int(PointQuality.INVALID), 0)
    source = T0 + np.arange(count) * (S // 50)
    source[count // 2] = source[count // 2 - 3]
    arrays = source, source + S // 20, number, quality.astype(np.int32), (quality * 7).astype(np.uint32)
    whole = ReadingBlock(HEAD, *arrays)
    cuts = [0, *sorted(rng.integers(1, count, 12).tolist()), count]
    found = [whole.rows(begin, end) for begin, end in pairwise(cuts) if end > begin]
    return [*found[:6], *found[4:]]  # two come twice


def records(parts: Sequence[ReadingBlock]) -> list[Record]:
    found: list[Record] = [LinkChange(1, "pdc", "up", T0, "connected")]
    for number, part in enumerate(parts, 2):
        found.append(Batch(number, part))
    offline = PointReading(
        "pdc", "A", None, T0, None, "deg", PointQuality.OFFLINE, 0, "c37118:not in the configuration"
    )
    stale = [replace(reading, quality=reading.quality | PointQuality.STALE) for reading in parts[-1].rows(-1)]
    found += [
        Gap(len(found) + 1, "pdc", T0, T0 + S, "3 frames are missing"),
        Batch(len(found) + 2, (offline, *stale, *parts[2])),
    ]
    return found


def one_by_one(found: Sequence[Record]) -> list[Record]:
    return [replace(one, readings=tuple(one.readings)) if isinstance(one, Batch) else one for one in found]


def stored(table: ReadingTable) -> pl.DataFrame:
    return table.read().select(*READING_SCHEMA)


@pytest.mark.parametrize("rules", [None, CleaningRules(unit_check=False, cycle_check=False)])
def test_the_same_rows_with_the_same_marks_and_reasons(tmp_path: Path, rules: CleaningRules | None) -> None:
    told = records(blocks(400, 5))
    single, columns = ReadingTable(tmp_path / "single"), ReadingTable(tmp_path / "columns")
    sinks = [
        TableSink(single, "pdc", lambda: Cleaner(POINTS, rules)),
        TableSink(columns, "pdc", lambda: ColumnCleaner(POINTS, rules)),
    ]
    for begin in range(0, len(told), 4):
        sinks[0].store("spool:x", one_by_one(told[begin : begin + 4]))
        sinks[1].store("spool:x", told[begin : begin + 4])
    rows = stored(columns)
    assert rows.equals(stored(single))
    assert sinks[0].counts == sinks[1].counts
    assert sinks[0].earliest_ns == sinks[1].earliest_ns
    assert rows.height == sum(len(one.readings) if isinstance(one, Batch) else 1 for one in told)
    assert set(rows["kind"]) == {"reading", "confirmed", "repeated", "gap", "link"}
    reasons = " ".join(rows["reason"].drop_nulls())
    for word in ("outside", "faster than", "for 1 s", "said before"):
        assert word in reasons
    assert rules is not None or "again and again" in reasons


def test_a_cleaner_of_single_readings_takes_blocks_as_well(tmp_path: Path) -> None:
    told = records(blocks(60, 2))
    tables = [ReadingTable(tmp_path / name) for name in ("a", "b")]
    for table, found in zip(tables, (told, one_by_one(told)), strict=True):
        TableSink(table, "pdc", lambda: Cleaner(POINTS)).store("spool:x", found)
    assert stored(tables[0]).equals(stored(tables[1]))


class Failing(ReadingTable):
    fails = False

    def append(self, rows: pl.DataFrame, source: str, sequence: int) -> bool:
        done = super().append(rows, source, sequence)
        if self.fails:
            raise Unavailable("the process ended after the commit")
        return done


def test_a_process_that_ends_after_a_commit_goes_on_with_the_same_memory(tmp_path: Path) -> None:
    told = records(blocks(400, 9))
    whole, torn = ReadingTable(tmp_path / "whole"), Failing(tmp_path / "torn")
    sinks = [TableSink(table, "pdc", lambda: ColumnCleaner(POINTS)) for table in (whole, torn)]
    sinks[0].store("spool:x", told[:8])
    sinks[0].store("spool:x", told[8:])
    torn.fails = True
    with pytest.raises(Unavailable):
        sinks[1].store("spool:x", told[:8])
    torn.fails = False
    sinks[1].store("spool:x", told[:8])
    again = TableSink(ReadingTable(tmp_path / "torn"), "pdc", lambda: ColumnCleaner(POINTS))
    assert again.committed("spool:x") == told[7].sequence
    again.store("spool:x", told[8:])
    assert stored(torn).equals(stored(whole))


def test_what_is_remembered_of_a_wide_stream_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recloser.app.links.sink.MOST_RECALLED", 400)
    table, told = ReadingTable(tmp_path), records(blocks(400, 5))[:-2]
    TableSink(table, "pdc", lambda: ColumnCleaner(POINTS)).store("spool:x", told)
    remembered: list[PointReading] = []

    class Listening(ColumnCleaner):
        def recall(self, earlier: Iterable[PointReading]) -> None:
            remembered.extend(earlier)

    later = replace(blocks(400, 6)[0], source_ns=blocks(400, 6)[0].source_ns + 60 * S)
    TableSink(table, "pdc", lambda: Listening(POINTS)).store("spool:x", [Batch(999, later)])
    assert 300 <= len(remembered) <= 500
    assert max(reading.receive_ns for reading in remembered) == T0 + 399 * (S // 50) + S // 20
