"""Local time: the hour that comes twice, the one that never comes, and files that do not tell."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.connectors import FileMapping, Reading, read_file
from recloser.core import InvalidInput

HALF_HOUR = timedelta(minutes=30)
AMSTERDAM = "Europe/Amsterdam"
AUTUMN = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]


def read(tmp_path: Path, rows: list[str], **changes: Any) -> Reading:
    path = tmp_path / "x.csv"
    path.write_text("a,t,l\n" + "\n".join(rows) + "\n")
    facts: dict[str, Any] = {
        "time": "t",
        "load": "l",
        "area": "a",
        "resolution": HALF_HOUR,
        "time_zone": AMSTERDAM,
    }
    return read_file(path, FileMapping(**{**facts, **changes}))


def autumn(clock: list[str], area: str = "A") -> list[str]:
    return [f"{area},2021-10-31 {text},{number}" for number, text in enumerate(clock)]


def instants(reading: Reading) -> list[str]:
    return [at.strftime("%H:%M") for at in reading.frame["at"]]


def test_the_hour_that_comes_twice_follows_the_order_of_rows(tmp_path: Path) -> None:
    expected = ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"]
    assert instants(read(tmp_path, autumn(AUTUMN))) == expected
    assert instants(read(tmp_path, autumn(AUTUMN)[::-1])) == expected[::-1]
    both = [row for pair in zip(autumn(AUTUMN), autumn(AUTUMN, "B"), strict=True) for row in pair]
    assert instants(read(tmp_path, both)) == [text for text in expected for _ in "AB"]
    with_gap = autumn(["01:30", "02:00", "02:30", "02:30", "03:00"])
    with pytest.raises(InvalidInput, match="comes twice"):  # a repetition, or a gap in the second pass?
        read(tmp_path, with_gap)
    assert instants(read(tmp_path, autumn(["01:30", "02:00", "02:30", "02:00", "03:00"]))) == [
        *expected[:4],
        "02:00",
    ]


@pytest.mark.parametrize(
    "clock",
    [
        ["01:30", "02:00", "02:30", "03:00"],  # one pass only
        ["02:00", "05:00", "01:00", "02:00", "03:00"],  # not in time order
        ["02:00", "02:30", "02:00", "02:30", "02:00"],  # three passes
    ],
)
def test_rows_that_do_not_tell_are_refused_unless_a_rule_is_said(tmp_path: Path, clock: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, autumn(clock))
    assert "row" in str(caught.value.where)
    assert "ambiguous='earliest'" in str(caught.value.next_step)


def test_the_rule_can_be_said(tmp_path: Path) -> None:
    rows = autumn(["02:00", "02:30"])
    assert instants(read(tmp_path, rows, ambiguous="earliest")) == ["00:00", "00:30"]
    assert instants(read(tmp_path, rows, ambiguous="latest")) == ["01:00", "01:30"]


def test_the_hour_that_never_comes(tmp_path: Path) -> None:
    rows = ["A,2021-03-28 01:30,1", "A,2021-03-28 02:00,2", "A,2021-03-28 03:00,3"]
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, rows)
    assert caught.value.where == "x.csv, row 3, column 't'"
    assert caught.value.got == "2021-03-28 02:00"
    assert "Etc/GMT-1" in str(caught.value.next_step)
    assert instants(read(tmp_path, rows, time_zone="Etc/GMT-1")) == ["00:30", "01:00", "02:00"]
    rows[1] = "A,2021-03-28 02:00,"
    skipped = read(tmp_path, rows)  # exports with 48 rows a day have such a row, without a value
    assert instants(skipped) == ["00:30", "01:00"]
    assert "do not exist" in skipped.notes[0]


def test_end_stamps_are_instants(tmp_path: Path) -> None:
    rows = autumn(["02:00", "02:30", "02:00", "02:30", "03:00"])
    assert instants(read(tmp_path, rows, stamp="end")) == ["23:30", "00:00", "00:30", "01:00", "01:30"]


ZONES = st.sampled_from([AMSTERDAM, "Australia/Melbourne", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])


@settings(max_examples=20, deadline=None)
@given(ZONES, st.integers(0, 364), st.integers(2, 400), st.sampled_from([1, -1]))
def test_local_clock_and_back_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, zone: str, day: int, length: int, direction: int
) -> None:
    """Half hours written in local wall time come back as the same instants, if they begin and end outside a fold."""
    start = datetime(2021, 1, 1, tzinfo=UTC) + timedelta(days=day)
    true = [start + HALF_HOUR * i for i in range(length)]
    local = [at.astimezone(ZoneInfo(zone)) for at in true]
    cut = 4
    while true and _folded(local[0]):
        true, local = true[1:], local[1:]
    while true and _folded(local[-1]):
        true, local = true[:-1], local[:-1]
    rows = [f"A,{at:%Y-%m-%d %H:%M},{i}" for i, at in enumerate(local)][::direction]
    if len(rows) < cut:
        return
    reading = read(tmp_path_factory.mktemp("t"), rows, time_zone=zone)
    assert reading.frame["at"].to_list() == true[::direction]


def _folded(local: datetime) -> bool:
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


@pytest.mark.parametrize(
    ("stamp", "changes"),
    [
        ("0000-01-01T00:00Z", {}),
        ("9999-12-31T23:00-05:00", {}),
        ("1601-01-01 00:00", {}),
        ("253402300800", {"time_format": "unix_s"}),
        ("1704067200000", {"time_format": "unix_s"}),
        ("9223372036854775807", {"time_format": "unix_ms"}),
        ("01/01/2999", {"time_format": "%d/%m/%Y"}),
    ],
)
def test_a_time_of_no_grid_is_refused_by_its_row(tmp_path: Path, stamp: str, changes: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="cannot be meant") as raised:
        read(tmp_path, [f"A,{stamp},1"], **changes)
    assert "row 2" in raised.value.explain()
    assert stamp in raised.value.explain()


@pytest.mark.parametrize("unit", ["ms", "us"])
def test_a_time_of_no_calendar_in_a_parquet_file_is_refused(tmp_path: Path, unit: str) -> None:
    stamps = pl.Series([2**62]).cast(pl.Datetime("ms" if unit == "ms" else "us", "UTC"))
    pl.DataFrame({"t": stamps, "l": [1.0]}).write_parquet(tmp_path / "x.parquet")
    mapping = FileMapping(time="t", load="l", area="=A", resolution=HALF_HOUR)
    with pytest.raises(InvalidInput, match="cannot be meant"):
        read_file(tmp_path / "x.parquet", mapping)
