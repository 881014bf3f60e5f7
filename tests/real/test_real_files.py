"""The file connector and the store on real grid data: EIA 930 (with the operators' own forecast) and Victoria."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recloser.connectors import FileMapping, read_file
from recloser.core import Quality
from recloser.store import Store

pytestmark = pytest.mark.real

DATA = Path(__file__).parents[2].parent / "shared" / "data"
EIA = DATA / "eia930_load_dayahead_5areas_2015_2018.parquet"
VICTORIA = DATA / "vic_elec_2012_2014.parquet"
SUBSTATIONS = DATA / "substations_15min_2021.parquet"
FEEDERS = DATA / "feeders_model_input_15min_2020_2021.parquet"
HOUR = timedelta(hours=1)
LATER = datetime(2030, 1, 1, tzinfo=UTC)

EIA_MAPPING = FileMapping(
    time="utc_hour_ending",
    load="demand_mw",
    area="ba",
    resolution=HOUR,
    stamp="end",
    incumbent="forecast_da_mw",
    quality="category",
)
VICTORIA_MAPPING = FileMapping(
    time="utc",
    load="demand_mwh_per_30min",
    area="=VIC",
    resolution=timedelta(minutes=30),
    temperature="temperature_c",
    weather="actual_as_forecast",
)


def present(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"the real data is not beside the project: {path}")
    return path


def test_eia_through_the_store(tmp_path: Path) -> None:
    raw = pl.read_parquet(present(EIA)).with_columns(pl.col("ba", "category").cast(pl.String))
    reading = read_file(EIA, EIA_MAPPING)
    assert reading.frame.height == 2 * raw.height
    store = Store.open(tmp_path, HOUR)
    result = store.append(reading.frame, reading.source)
    assert (result.accepted, result.duplicates) == (2 * raw.height, 0)
    assert result.flagged == int((reading.frame["quality"] != 0).sum())
    doubted = (pl.col("category") != "OKAY") | pl.col("demand_mw").is_null() | pl.col("forecast_da_mw").is_null()
    assert reading.flagged == raw.filter(doubted.fill_null(value=True)).height
    assert store.append(reading.frame, reading.source).duplicates == 2 * raw.height
    assert store.areas() == ["BPAT", "MISO", "NYIS", "PJM", "TVA"]
    wide = store.read(as_of=LATER).wide()
    trusted = raw.filter(pl.col("category") == "OKAY")
    assert wide["load_mw"].count() == trusted.height
    assert wide["load_mw"].sum() == pytest.approx(float(trusted["demand_mw"].cast(pl.Int64).sum()))
    assert wide["incumbent_mw"].count() == raw["forecast_da_mw"].count()
    one = raw.filter((pl.col("ba") == "PJM") & (pl.col("utc_hour_ending") == datetime(2017, 7, 1, 18, tzinfo=UTC)))
    got = wide.filter((pl.col("area") == "PJM") & (pl.col("at") == datetime(2017, 7, 1, 17, tzinfo=UTC)))
    assert got["load_mw"][0] == one["demand_mw"][0]
    assert got["incumbent_mw"][0] == one["forecast_da_mw"][0]


def test_eia_as_of_shows_the_incumbent_a_day_ahead_and_no_load_of_the_future(tmp_path: Path) -> None:
    reading = read_file(present(EIA), EIA_MAPPING)
    store = Store.open(tmp_path, HOUR)
    store.append(reading.frame.filter(pl.col("area") == "PJM"), reading.source)
    issue = datetime(2017, 7, 1, 14, tzinfo=UTC)
    frame = store.read(["PJM"], start=issue - 2 * HOUR, end=issue + timedelta(days=3), as_of=issue).frame
    last = dict(frame.group_by("quantity").agg(pl.col("at").max()).iter_rows())
    assert last == {"load_mw": issue - HOUR, "incumbent_mw": issue + timedelta(days=1)}


def test_every_category_of_eia_that_is_not_okay_is_unusable() -> None:
    raw = pl.read_parquet(present(EIA)).with_columns(pl.col("category").cast(pl.String))
    load = read_file(EIA, EIA_MAPPING).frame.filter(pl.col("quantity") == "load_mw")
    unusable = (load["quality"].cast(pl.Int64) & int(Quality.UNUSABLE)) != 0
    assert (unusable == (raw["category"] != "OKAY")).all()


def test_victoria_from_parquet_and_from_a_local_csv_is_the_same(tmp_path: Path) -> None:
    """Three years in Melbourne wall time, six clock changes: written as naive local CSV, read back to the instant."""
    reading = read_file(present(VICTORIA), VICTORIA_MAPPING)
    assert (reading.flagged, reading.frame.height) == (0, 2 * 52_608)
    raw = pl.read_parquet(VICTORIA)
    local = raw.select(
        zeit=pl.col("utc").dt.convert_time_zone("Australia/Melbourne").dt.strftime("%d.%m.%Y %H:%M"),
        last=(pl.col("demand_mwh_per_30min") * 1000).cast(pl.String).str.replace(".", ",", literal=True),
        temperatur=(pl.col("temperature_c") * 1.8 + 32).cast(pl.String).str.replace(".", ",", literal=True),
    )
    path = tmp_path / "vic.csv"
    path.write_bytes(b"\xef\xbb\xbf" + local.write_csv(separator=";").encode())
    mapping = FileMapping(
        time="zeit",
        load="last",
        load_unit="kW",
        area="=VIC",
        resolution=timedelta(minutes=30),
        temperature="temperatur",
        temperature_unit="degF",
        weather="actual_as_forecast",
        time_zone="Australia/Melbourne",
        time_format="%d.%m.%Y %H:%M",
    )
    from_csv = read_file(path, mapping).frame
    assert from_csv["at"].equals(reading.frame["at"])
    assert (from_csv["value"] - reading.frame["value"]).abs().max() < 1e-9 * 10_000


def test_dutch_substations_and_feeders_read_with_their_gaps(tmp_path: Path) -> None:
    quarter = timedelta(minutes=15)
    stations = read_file(
        present(SUBSTATIONS),
        FileMapping(
            time="utc",
            load="net_load_mw",
            area="station",
            resolution=quarter,
            extra={"radiation": ("radiation_w_m2", "W/m2"), "windspeed_100m": ("wind_m_s", "m/s")},
        ),
    )
    raw = pl.read_parquet(SUBSTATIONS)
    load = stations.frame.filter(pl.col("quantity") == "load_mw")
    assert load["value"].null_count() == raw["net_load_mw"].is_nan().sum() + raw["net_load_mw"].null_count()
    result = Store.open(tmp_path, quarter).append(stations.frame, stations.source)
    assert result.accepted + result.duplicates == stations.frame.height
    feeders = read_file(
        present(FEEDERS),
        FileMapping(
            time="utc",
            load="load",
            area="pid",
            resolution=quarter,
            temperature="temp",
            temperature_unit="degC",
            weather="forecast",
        ),
    )
    assert feeders.frame["area"].n_unique() == 4
    load = feeders.frame.filter(pl.col("quantity") == "load_mw")
    assert load["value"].null_count() == pl.read_parquet(FEEDERS)["load"].null_count() == 774
