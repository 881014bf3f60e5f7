"""The table of predictions: each sequence once, durable, and read by area and time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recloser.core import InvalidInput, Unavailable
from recloser.store import PREDICTION_SCHEMA, PredictionTable

START = datetime(2020, 3, 1, 23, tzinfo=UTC)


def rows(sequence: int, area: str | None = "a", hours: int = 0) -> pl.DataFrame:
    cells = {
        "kind": "gap" if area is None else "answer",
        "stream": "s",
        "sequence": sequence,
        "made_at": START + timedelta(hours=hours),
        "area": area,
        "row": 0,
        "quantiles": [0.1, 0.9],
        "mw": [1.0, float("nan")],
        "inputs": b"\x00\xff",
    }
    return pl.DataFrame([{name: cells.get(name) for name in PREDICTION_SCHEMA}], schema=PREDICTION_SCHEMA)


def test_an_empty_table_is_read_as_no_rows(tmp_path: Path) -> None:
    table = PredictionTable(tmp_path)
    assert dict(table.read().schema) == PREDICTION_SCHEMA
    assert table.sequence("s") is None
    assert table.read().is_empty()


def test_a_sequence_is_stored_once_by_whichever_process(tmp_path: Path) -> None:
    table, other = PredictionTable(tmp_path), PredictionTable(tmp_path)
    assert table.append(rows(1), "s", 5)
    assert not other.append(rows(1), "s", 5)
    assert not other.append(rows(1), "s", 4)
    assert other.append(rows(6), "s", 6)
    assert other.append(rows(1), "t", 1)
    assert (table.sequence("s"), table.sequence("t"), table.sequence("u")) == (6, 1, None)
    assert table.read()["sequence"].to_list() == [1, 1, 6]


def test_reads_choose_by_area_and_time(tmp_path: Path) -> None:
    table = PredictionTable(tmp_path)
    for sequence, (area, hours) in enumerate([("a", 0), ("b", 0), (None, 1), ("a", 2)], start=1):
        table.append(rows(sequence, area, hours), "s", sequence)

    def numbers(**choice: object) -> list[int]:
        return table.read(**choice)["sequence"].to_list()  # type: ignore[arg-type]

    assert numbers() == [1, 2, 3, 4]
    assert numbers(areas=["a"]) == [1, 4]
    assert numbers(areas=[]) == []
    assert numbers(start=START + timedelta(hours=1)) == [3, 4]
    assert numbers(end=START + timedelta(hours=1)) == [1, 2]
    assert numbers(areas=["a"], start=START, end=START + timedelta(hours=2)) == [1]
    with pytest.raises(InvalidInput):
        table.read(start=datetime(2020, 3, 1))  # noqa: DTZ001 - a naive time is the point


def test_what_comes_back_is_what_was_given(tmp_path: Path) -> None:
    table = PredictionTable(tmp_path)
    table.append(rows(1), "s", 1)
    assert PredictionTable(tmp_path).read().equals(rows(1))


def test_other_columns_are_refused(tmp_path: Path) -> None:
    table = PredictionTable(tmp_path)
    with pytest.raises(InvalidInput, match="other columns"):
        table.append(rows(1).drop("mw"), "s", 1)
    assert table.read().is_empty()


def test_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    table = PredictionTable(tmp_path)
    table.append(rows(1), "s", 1)
    for path in (tmp_path / "predictions").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(Unavailable, match="cannot be read"):
        table.read()
