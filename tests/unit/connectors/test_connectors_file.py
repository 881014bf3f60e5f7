"""Reading files: units, stamps, quality, gaps, dialects; every fault names file, row, column and the next step."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.connectors import FileMapping, Reading, read_file, usual_step
from recloser.core import SAMPLE_SCHEMA, InvalidInput, Quality

HOUR = timedelta(hours=1)


def read(tmp_path: Path, content: str | bytes, name: str = "x.csv", **changes: Any) -> Reading:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    facts: dict[str, Any] = {"time": "t", "load": "l", "area": "=A", "resolution": HOUR}
    return read_file(path, FileMapping(**{**facts, **changes}))


def values(reading: Reading, quantity: str = "load_mw") -> list[float | None]:
    return reading.frame.filter(pl.col("quantity") == quantity)["value"].to_list()


PLAIN = "t,l\n2020-01-01 00:00,1.5\n2020-01-01 01:00,2\n"

DIALECTS: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "plain": (PLAIN, {}),
    "byte order mark": (b"\xef\xbb\xbf" + PLAIN.encode(), {}),
    "utf-16": (PLAIN.encode("utf-16"), {}),
    "windows line ends": (PLAIN.replace("\n", "\r\n"), {}),
    "no last line end": (PLAIN.rstrip(), {}),
    "semicolon, decimal comma": (PLAIN.replace(",", ";").replace("1.5", "1,5"), {}),
    "tab": (PLAIN.replace(",", "\t"), {}),
    "told delimiter": (PLAIN.replace(",", "#"), {"delimiter": "#"}),
    "quoted decimal comma": (PLAIN.replace("1.5", '"1,5"'), {"decimal": ","}),
    "spaces": (PLAIN.replace(",", " , "), {}),
    "T": (PLAIN.replace(" 0", "T0"), {}),
    "seconds and fraction": (PLAIN.replace(":00,", ":00:00.000,"), {}),
    "offset": (PLAIN.replace(" 00:00", " 02:00+02:00").replace(" 01:00", " 03:00+02:00"), {}),
    "Z": (PLAIN.replace(":00,", ":00Z,"), {}),
    "slashes, year first": (PLAIN.replace("-", "/"), {}),
    "day first, told": (PLAIN.replace("2020-01-01", "01.01.2020"), {"time_format": "%d.%m.%Y %H:%M"}),
    "ranges": (
        "t,l\n01.01.2020 00:00 - 01.01.2020 01:00,1.5\n01.01.2020 01:00 - 01.01.2020 02:00,2\n",
        {"time_format": "%d.%m.%Y %H:%M"},
    ),
    "ranges, their ends": (
        "t,l\n2020-01-01 00:00 - 2020-01-01 01:00,1.5\n2020-01-01 01:00 - 2020-01-01 02:00,2\n",
        {"stamp": "end"},
    ),
    "ranges with the name of the zone": (
        "t,l\n2020-01-01 01:00 (CET) - 2020-01-01 02:00 (CET),1.5\n2020-01-01 02:00 - 2020-01-01 03:00,2\n",
        {"time_zone": "Europe/Berlin"},
    ),
    "a pattern with a dash": (
        "t,l\n01.01.2020 - 00:00,1.5\n01.01.2020 - 01:00,2\n",
        {"time_format": "%d.%m.%Y - %H:%M"},
    ),
    "numbered hours": ("t,n,l\n2020-01-01,1,1.5\n2020-01-01,2,2\n", {"period": "n"}),
    "numbered hours elsewhere": (
        "t,n,l\n01-JAN-2020, 2,1.5\n01-JAN-2020, 3,2\n",
        {"period": "n", "time_zone": "Europe/Berlin", "time_format": "%d-%b-%Y"},
    ),
    "unix seconds": ("t,l\n1577836800,1.5\n1577840400,2\n", {"time_format": "unix_s"}),
    "end stamps": (PLAIN.replace("01:00", "02:00").replace("00:00", "01:00"), {"stamp": "end"}),
    "preamble": ("# export\n# of today\n" + PLAIN, {"skip_lines": 2}),
    "other columns": ("n,t,l,m\n" + PLAIN[4:].replace("2020", "x,2020").replace("\n", ",y\n"), {}),
    "blank lines": (PLAIN + "\n\n", {}),
    "kilowatt": (PLAIN.replace("1.5", "1500").replace(",2", ",2e3"), {"load_unit": "kW"}),
    "zone without summer time": (PLAIN.replace("01:00", "02:00").replace("00:00", "01:00"), {"time_zone": "Etc/GMT-1"}),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_gives_the_same_samples(tmp_path: Path, name: str) -> None:
    content, changes = DIALECTS[name]
    reading = read(tmp_path, content, **changes)
    assert values(reading) == [1.5, 2.0]
    assert reading.frame["at"].to_list() == [datetime(2020, 1, 1, hour, tzinfo=UTC) for hour in (0, 1)]
    assert reading.frame.schema == pl.Schema(SAMPLE_SCHEMA)
    assert (reading.flagged, reading.source) == (0, "file:x.csv")


def test_compressed_csv_and_parquet(tmp_path: Path) -> None:
    assert values(read(tmp_path, gzip.compress(PLAIN.encode()), "x.csv.gz")) == [1.5, 2.0]
    frame = pl.read_csv(PLAIN.encode(), try_parse_dates=True)
    for stamps in (pl.col("t"), pl.col("t").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")):
        frame.with_columns(stamps).write_parquet(tmp_path / "x.parquet")
        assert values(read(tmp_path, (tmp_path / "x.parquet").read_bytes(), "x.parquet")) == [1.5, 2.0]


FAULTS: dict[str, tuple[str | bytes, dict[str, Any], list[str]]] = {
    "misspelt column": (PLAIN.replace("l\n", "load\n"), {"load": "laod"}, ["x.csv", "'laod'", "Did you mean 'load'"]),
    "unreadable time": (PLAIN + "soon,3\n", {}, ["x.csv", "row 4", "'t'", "'soon'", "ISO 8601", "time_format"]),
    "day first": (PLAIN + "01/02/2020 00:00,3\n", {}, ["row 4", "'01/02/2020 00:00'", "time_format"]),
    "no such day": (PLAIN + "2020-02-30 00:00,3\n", {}, ["row 4", "unreadable time"]),
    "no time": (PLAIN + ",3\n", {}, ["row 4", "'t'", "no time"]),
    "unreadable number": (PLAIN + "2020-01-01 02:00,3x\n", {}, ["row 4", "'l'", "'3x'", "not a number"]),
    "infinite": (PLAIN + "2020-01-01 02:00,inf\n", {}, ["row 4", "'inf'"]),
    "thousands": (PLAIN + '2020-01-01 02:00,"1,234"\n', {}, ["row 4", "'1,234'", "Thousands"]),
    "point under a comma": ("t;l\n2020-01-01 00:00;1.234\n", {"decimal": ","}, ["row 2", "'1.234'"]),
    "comma or thousands": ("t;l\n2020-01-01 00:00;1,234\n", {}, ["decimal commas or thousands"]),
    "a word among offsets": (
        PLAIN.replace(":00,", ":00Z,") + "soon,3\n",
        {},
        ["row 4", "unreadable time", "'soon'", "ISO 8601"],
    ),
    "seconds since 1970": ("t,l\n1577836800,1\n", {}, ["row 2", "'1577836800'", "time_format='unix_s'"]),
    "milliseconds since 1970": ("t,l\n1577836800000,1\n", {}, ["row 2", "time_format='unix_ms'"]),
    "too large in its unit": (PLAIN + "2020-01-01 02:00,1e308\n", {"load_unit": "GW"}, ["row 4", "'1e308'", "GW"]),
    "some with an offset": (PLAIN + "2020-01-01 02:00Z,3\n", {}, ["without an offset", "2 rows: 2, 3"]),
    "off the grid": (PLAIN + "2020-01-01 02:10,3\n", {}, ["row 4", "off the grid", "1:00:00"]),
    "same time, other value": (PLAIN + "2020-01-01 01:00,3\n", {}, ["row 3", "rows [3, 4]", "repeated='last'"]),
    "too many cells": (PLAIN + "2020-01-01 02:00,3,5\n", {}, ["row 4", "3 cells"]),
    "unclosed quote": (PLAIN + '2020-01-01 02:00,"3\n', {}, ["x.csv", "quote"]),
    "a quote that hides rows": ('t,l,c\n1,1,"a\n2,2,b\n3,3,c"\n', {}, ["line breaks", "multiline"]),
    "column twice": (PLAIN.replace("t,l", "t,l,l"), {}, ["twice"]),
    "not UTF-8": ("t,l\n2020-01-01 00:00,1\xb0\n".encode("latin-1"), {}, ["not utf-8", "cp1252"]),
    "empty": ("", {}, ["no header"]),
    "header only": ("t,l\n", {}, ["no rows"]),
    "old line ends": (PLAIN.replace("\n", "\r"), {}, ["LF"]),
    "no area": ("a,t,l\n,2020-01-01 00:00,1\n", {"area": "a"}, ["row 2", "no area"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_says_where_and_what_next(tmp_path: Path, name: str) -> None:
    content, changes, told = FAULTS[name]
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, content, **changes)
    for part in told:
        assert part in caught.value.explain()
    assert caught.value.next_step or caught.value.expected


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["row", "__row", "text", "area", "at", "value", "known_at", "load_mw", "c0"])
def test_columns_may_be_called_anything(tmp_path: Path, name: str, suffix: str) -> None:
    frame = pl.DataFrame({"t": ["2020-01-01T00:00Z", "2020-01-01T01:00Z"], "l": [1.5, 2.0]})
    for renamed in ("t", "l"):
        file = tmp_path / f"x.{suffix}"
        table = frame.rename({renamed: name})
        table.write_csv(file) if suffix == "csv" else table.write_parquet(file)
        changes = {"time" if renamed == "t" else "load": name}
        assert values(read(tmp_path, file.read_bytes(), file.name, **changes)) == [1.5, 2.0]


def test_hourly_rows_in_a_project_of_half_hours_are_noted(tmp_path: Path) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    lines = [f"{(start + hour * HOUR).isoformat()},1" for hour in range(60)]
    reading = read(tmp_path, "t,l\n" + "\n".join(lines), resolution=HOUR / 2)
    assert any("1:00:00 apart" in note for note in reading.notes)
    assert read(tmp_path, "t,l\n" + "\n".join(lines)).notes == []


def test_the_rows_of_samples_are_told(tmp_path: Path) -> None:
    content = "t,l,c\n2020-01-01 00:00,1,5\n2020-01-01 01:00,,6\n"
    reading = read(tmp_path, content, temperature="c", weather="measured")
    assert reading.rows.to_list() == [2, 3, 2, 3]
    assert reading.flagged == 1


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    mapping = FileMapping(time="t", load="l", area="=A", resolution=HOUR)
    (tmp_path / "load.csv").write_text(PLAIN)
    with pytest.raises(InvalidInput, match=r"Did you mean .*load\.csv"):
        read_file(tmp_path / "laod.csv", mapping)
    with pytest.raises(InvalidInput, match="not a file"):
        read_file(tmp_path, mapping)
    for name, content in {"x.xlsx": b"PK\x03\x04..", "x.parquet": b"PAR1....PAR1", "y.parquet": b""}.items():
        with pytest.raises(InvalidInput, match="not a readable"):
            read(tmp_path, content, name)
    with pytest.raises(InvalidInput, match="gzip"):
        read(tmp_path, gzip.compress(PLAIN.encode())[:-9], "x.csv.gz")


def test_a_truncated_parquet_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"t": ["2020-01-01"], "l": [1.0]}).write_parquet(tmp_path / "x.parquet")
    whole = (tmp_path / "x.parquet").read_bytes()
    with pytest.raises(InvalidInput, match="Parquet"):
        read(tmp_path, whole[: len(whole) // 2], "x.parquet")


def test_gaps_are_data(tmp_path: Path) -> None:
    marks = ["", "NaN", "NA", "null", "-"]
    content = "t,l,f\n" + "".join(f"2020-01-01 {i:02d}:00,{mark},5\n" for i, mark in enumerate(marks))
    reading = read(tmp_path, content, incumbent="f")
    load = reading.frame.filter(pl.col("quantity") == "load_mw")
    assert load["value"].to_list() == [None] * 5
    assert load["quality"].to_list() == [int(Quality.MISSING)] * 5
    assert reading.flagged == 5


def test_when_each_quantity_is_known(tmp_path: Path) -> None:
    content = "t,l,f,c,w\n2020-01-03 00:00,1,2,50,3\n"
    facts: dict[str, Any] = {
        "incumbent": "f",
        "incumbent_unit": "GW",
        "temperature": "c",
        "temperature_unit": "degF",
        "extra": {"w": ("wind_m_s", "m/s")},
        "availability_delay": timedelta(minutes=15),
    }
    at = datetime(2020, 1, 3, tzinfo=UTC)
    measured = at + HOUR + timedelta(minutes=15)
    reading = read(tmp_path, content, weather="forecast", weather_lead=timedelta(hours=40), **facts)
    known = dict(reading.frame.select("quantity", "available_at").iter_rows())
    assert known == {
        "load_mw": measured,
        "temperature_c": at - timedelta(hours=40),
        "incumbent_mw": at - timedelta(days=1),
        "wind_m_s": measured,
    }
    amounts = {"load_mw": 1.0, "temperature_c": pytest.approx(10.0), "incumbent_mw": 2000.0, "wind_m_s": 3.0}
    assert dict(reading.frame.select("quantity", "value").iter_rows()) == amounts
    actual = read(tmp_path, content, weather="measured", **facts)
    assert actual.frame.filter(pl.col("quantity") == "temperature_c")["available_at"].to_list() == [measured]
    assert read(tmp_path, content, weather="actual_as_forecast", **facts).notes[-1].startswith("Measured temperature")
    ahead = read(tmp_path, content, extra={"w": ("wind_m_s", "m/s")}, extra_lead={"wind_m_s": HOUR})
    assert ahead.frame["available_at"].to_list() == [at + HOUR, at - HOUR]


def test_a_column_may_say_when_a_row_was_known(tmp_path: Path) -> None:
    reading = read(tmp_path, "t,l,k\n2020-01-01 00:00,1,2020-02-01 12:00\n", available_at="k")
    assert reading.frame["available_at"].to_list() == [datetime(2020, 2, 1, 12, tzinfo=UTC)]
    with pytest.raises(InvalidInput, match="no time of availability"):
        read(tmp_path, "t,l,k\n2020-01-01 00:00,1,\n", available_at="k")


def test_words_of_quality(tmp_path: Path) -> None:
    words = ["OKAY", "MISSING", "IDENTICAL_RUN", "DELTA", "nonsense", ""]
    content = "t,l,q,f\n" + "".join(f"2020-01-01 {i:02d}:00,{i},{word},9\n" for i, word in enumerate(words))
    reading = read(tmp_path, content, quality="q", incumbent="f")
    load = reading.frame.filter(pl.col("quantity") == "load_mw")["quality"]
    usable = [int(bits) & int(Quality.UNUSABLE) == 0 for bits in load]
    assert usable == [True, False, False, False, False, False]
    assert Quality(load[2]) & Quality.STUCK
    assert Quality(load[4]) & Quality.QUESTIONABLE
    assert set(reading.frame.filter(pl.col("quantity") == "incumbent_mw")["quality"]) == {0}
    codes = read(
        tmp_path,
        content.replace("OKAY", "192").replace("nonsense", "64"),
        quality="q",
        good=frozenset({"192"}),
        quality_meaning={"64": Quality.ESTIMATED},
    )
    assert codes.frame["quality"].to_list()[0::4] == [0, int(Quality.ESTIMATED)]


def test_repeated_rows(tmp_path: Path) -> None:
    content = PLAIN + "2020-01-01 01:00,9\n"
    last = read(tmp_path, content, repeated="last")
    assert values(last) == [1.5, 9.0]
    assert any("last" in note for note in last.notes)
    assert values(read(tmp_path, PLAIN + "2020-01-01 01:00,2.0\n")) == [1.5, 2.0, 2.0]  # the store counts it


WRONG_MAPPINGS: list[tuple[dict[str, Any], str]] = [
    ({"load_unit": "kV"}, "voltage"),
    ({"load_unit": "kw"}, "kW"),
    ({"time_zone": "Mars/Olympus"}, "time zone"),
    ({"stamp": "middle"}, "stamp"),
    ({"temperature": "c"}, "actual_as_forecast"),
    ({"extra": {"c": ("wind", "m/s")}}, "suffix"),
    ({"extra": {"c": ("load_mw", "MW")}}, "twice"),
    ({"extra_lead": {"wind_m_s": HOUR}}, "unknown quantity"),
    ({"availability_delay": -HOUR}, "negative"),
    ({"resolution": timedelta(0)}, "resolution"),
    ({"delimiter": ";;"}, "one character"),
    ({"area": "="}, "empty name"),
]


@pytest.mark.parametrize(("changes", "told"), WRONG_MAPPINGS)
def test_a_wrong_mapping_is_refused_before_any_file(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        FileMapping(**{"time": "t", "load": "l", "area": "=A", "resolution": HOUR, **changes})


NUMBERS = st.lists(st.floats(-1e9, 1e9) | st.none(), min_size=1, max_size=20)


@settings(max_examples=25, deadline=None)
@given(NUMBERS, st.sampled_from([",", ";", "\t"]), st.booleans())
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, numbers, delimiter, parquet) -> None:
    start = datetime(2020, 1, 1)  # noqa: DTZ001
    at = [start + HOUR * i for i in range(len(numbers))]
    frame = pl.DataFrame({"a": ["x"] * len(numbers), "t": at, "l": pl.Series(numbers, dtype=pl.Float64)})
    path = tmp_path_factory.mktemp("f") / ("x.parquet" if parquet else "x.csv")
    if parquet:
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator=delimiter)
    reading = read_file(path, FileMapping(time="t", load="l", area="a", resolution=HOUR))
    assert values(reading) == numbers
    assert reading.flagged == numbers.count(None)


@pytest.mark.parametrize(
    ("day", "periods", "start"),
    [
        ("2024-03-31", 46, "2024-03-31T00:00"),
        ("2024-10-27", 50, "2024-10-26T23:00"),
        ("2024-06-01", 48, "2024-05-31T23:00"),
    ],
)
@pytest.mark.parametrize("parquet", [False, True])
def test_settlement_periods_pass_without_a_hole_through_changes_of_the_clock(
    tmp_path: Path, day: str, periods: int, start: str, *, parquet: bool
) -> None:
    rows = pl.DataFrame({"d": [day] * periods, "n": range(1, periods + 1), "l": range(periods)})
    half, path = timedelta(minutes=30), tmp_path / ("x.parquet" if parquet else "x.csv")
    rows.write_parquet(path) if parquet else rows.write_csv(path)
    mapping = FileMapping("d", "l", "=GB", half, period="n", time_zone="Europe/London")
    at = read_file(path, mapping).frame["at"].to_list()
    first = datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert at == [first + place * half for place in range(periods)]
    rows.with_columns(n=pl.col("n") + 1).write_csv(tmp_path / "more.csv")
    with pytest.raises(InvalidInput, match=f"row {periods + 1}.*no period of its day"):
        read_file(tmp_path / "more.csv", mapping)


@pytest.mark.parametrize("wrong", ["0", "1.5", "", "x"])
def test_a_number_that_is_no_period_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(InvalidInput, match=r"row 3.*no period"):
        read(tmp_path, f"t,n,l\n2020-01-01,1,1.5\n2020-01-01,{wrong},2\n", period="n")


def test_periods_stand_beside_days_only(tmp_path: Path) -> None:
    for stamp in ("2020-01-01 01:00", "2020-01-01T00:00Z"):
        with pytest.raises(InvalidInput, match="beside numbered periods"):
            read(tmp_path, f"t,n,l\n{stamp},1,1.5\n", period="n")
    with pytest.raises(InvalidInput, match="end stamp"):
        read(tmp_path, PLAIN, period="l", stamp="end")


def test_the_usual_step_of_numbered_periods(tmp_path: Path) -> None:
    days = [("2024-03-30", 48), ("2024-03-31", 46), ("2024-04-01", 48), ("2024-04-02", 3)]
    lines = [f"{day},{number},1\n" for day, count in days for number in range(1, count + 1)]
    (tmp_path / "x.csv").write_text("t,n,l\n" + "".join(lines))
    mapping = FileMapping("t", "l", "=GB", HOUR, period="n", time_zone="Europe/London")
    assert usual_step(tmp_path / "x.csv", mapping) == timedelta(minutes=30)
    (tmp_path / "y.csv").write_text("t,n,l\n2024-04-02,1,1\n")
    assert usual_step(tmp_path / "y.csv", mapping) is None


def test_ranges_in_some_rows_only_are_no_ranges(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="unreadable time"):
        read(tmp_path, "t,l\n2020-01-01 00:00 - 2020-01-01 01:00,1\n2020-01-01 01:00,2\n")
