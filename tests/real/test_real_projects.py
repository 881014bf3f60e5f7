"""Whole projects on real data through the command line, their scores computed again from the files themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from recloser.app import Platform
from recloser.cli import main
from recloser.ledger import ForecastRecord

pytestmark = pytest.mark.real

DATA = Path(__file__).parents[2].parent / "shared" / "data"
VICTORIA = DATA / "vic_elec_2012_2014.parquet"
EIA = DATA / "eia930_load_dayahead_5areas_2015_2018.parquet"
AT = pl.Datetime("us", "UTC")
# A tenth of the default recipe: what is tested is the bookkeeping; benchmarks/accuracy measures the accuracy.
RECIPE = """
[model]
history_days = 365
trees = 60
leaves = 31
learning_rate = 0.1
max_rows = 15000
calibration_days = 28

[registry]
kind = "folder"
"""


@dataclass(frozen=True)
class Replayed:
    """A replay of one policy and its report."""

    project: Path
    out: Path
    report: dict[str, Any]


def replayed(folder: Path, init: list[str], ingest: list[str], window: list[str]) -> Replayed:
    """Run init, ingest and replay as a user would."""
    project, out = folder / "project", folder / "out"
    assert main(["init", str(project), *init]) == 0
    settings = project / "recloser.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + RECIPE, encoding="utf-8")
    assert main(["ingest", *ingest, "--project", str(project)]) == 0
    assert main(["replay", *window, "--policy", "recloser", "--out", str(out), "--project", str(project)]) == 0
    return Replayed(project, out, json.loads((out / "report.json").read_text(encoding="utf-8")))


def present(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"the real data is not beside the project: {path}")
    return path


def words(path: Path, area: str, time: str, load: str) -> list[str]:
    return [str(present(path)), "--area", area, "--time", time, "--load", load]


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    zone = ["--time-zone", "Australia/Melbourne", "--country", "AU", "--subdivision", "VIC"]
    return replayed(
        tmp_path_factory.mktemp("victoria"),
        ["--area", "VIC", *zone, "--resolution-minutes", "30"],
        [*words(VICTORIA, "=VIC", "utc", "demand_mwh_per_30min"), "--temperature", "temperature_c"],
        ["--from", "2014-03-01", "--to", "2014-04-14"],
    )


@pytest.fixture(scope="module")
def eia(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    return replayed(
        tmp_path_factory.mktemp("eia"),
        ["--area", "TVA", "--area", "NYIS", "--time-zone", "America/New_York", "--country", "US"],
        [
            *words(EIA, "ba", "utc_hour_ending", "demand_mw"),
            *("--stamp", "end", "--incumbent", "forecast_da_mw"),
            *("--quality", "category", "--good-quality", "OKAY"),
        ],
        ["--from", "2017-03-01", "--to", "2017-04-12"],
    )


def forecasts(replay: Replayed, step: timedelta) -> pl.DataFrame:
    """The one valid answer for every interval, from the ledger of the replay."""
    rows = []
    with Platform.open(replay.out / "work" / "recloser", isolated=True) as platform:
        assert platform.ledger.verify().ok
        for record in platform.ledger.find(ForecastRecord):
            for text, answer in zip(record.targets, record.answers[record.release], strict=True):
                at = datetime.fromisoformat(text)
                if record.void_at is None or at + step <= record.void_at:
                    rows.append((record.area, at, *answer))
    frame = pl.DataFrame(rows, schema=["area", "at", "low", "middle", "high"], orient="row")
    assert not frame.select(pl.struct("area", "at").is_duplicated().any()).item()
    return frame.with_columns(pl.col("at").cast(AT))


def months(frame: pl.DataFrame, zone: str) -> list[tuple[str, str, pl.DataFrame]]:
    """Rows by local month and area, in order."""
    dated = frame.with_columns(month=pl.col("at").dt.convert_time_zone(zone).dt.strftime("%Y-%m"))
    return sorted(((str(m), str(a), rows) for (m, a), rows in dated.group_by("month", "area")), key=lambda row: row[:2])


def check(rows: list[dict[str, Any]], again: list[tuple[str, str, pl.DataFrame]], *, band: bool = True) -> None:
    """Compare a section of the report with plain numpy on forecasts and truth."""
    assert [(row["month"], row["area"]) for row in rows] == [(month, area) for month, area, _ in again]
    for row, (_, _, frame) in zip(rows, again, strict=True):
        truth, low, middle, high = (frame[name].to_numpy() for name in ("truth", "low", "middle", "high"))
        assert row["n"] == len(truth)
        assert row["mape"] == pytest.approx(100 * np.mean(np.abs(middle - truth) / truth), rel=1e-9)
        assert row["wmape"] == pytest.approx(100 * np.abs(middle - truth).sum() / truth.sum(), rel=1e-9)
        assert row["bias_pct"] == pytest.approx(100 * (middle - truth).sum() / truth.sum(), rel=1e-9, abs=1e-9)
        if band:
            assert row["coverage80"] == pytest.approx(100 * np.mean((truth >= low) & (truth <= high)), rel=1e-9)


def test_victoria_half_hourly_with_temperature(victoria: Replayed) -> None:
    raw = pl.read_parquet(VICTORIA).select(at=pl.col("utc").cast(AT), truth=pl.col("demand_mwh_per_30min"))
    joined = forecasts(victoria, timedelta(minutes=30)).join(raw, on="at")
    loop = victoria.report["policies"]["recloser"]
    check(loop["months"], months(joined, "Australia/Melbourne"))
    days = joined["at"].dt.convert_time_zone("Australia/Melbourne").dt.date()
    lengths = joined.with_columns(day=days).group_by("day").len()
    # The clock goes back on 6 April 2014: that day has 25 hours.
    assert {str(day): count for day, count in lengths.iter_rows() if count != 48} == {"2014-04-06": 50}
    assert loop["total"]["n"] == joined.height
    assert loop["total"]["mape"] < victoria.report["naive"]["total"]["mape"]
    assert 2.0 < loop["total"]["mape"] < 8.0
    assert 60.0 < loop["total"]["coverage80"] < 95.0
    assert "incumbent" not in victoria.report
    assert loop["runs"][0]["verdict"] == "pass"


def test_eia_two_areas_beside_the_operators_own_forecast(eia: Replayed) -> None:
    raw = (
        pl.read_parquet(EIA)
        .with_columns(pl.col("ba", "category").cast(pl.String))
        .filter(pl.col("ba").is_in(["TVA", "NYIS"]))
        .select(
            area="ba",
            at=pl.col("utc_hour_ending").cast(AT) - timedelta(hours=1),
            truth=pl.when(pl.col("category") == "OKAY").then(pl.col("demand_mw")).cast(pl.Float64),
            own=pl.col("forecast_da_mw").cast(pl.Float64),
        )
    )
    joined = forecasts(eia, timedelta(hours=1)).join(raw, on=["area", "at"])
    scored = joined.filter(pl.col("truth").is_not_null())
    loop = eia.report["policies"]["recloser"]
    check(loop["months"], months(scored, "America/New_York"))
    operator = scored.filter(pl.col("own").is_not_null())
    flat = operator.with_columns(low="own", middle="own", high="own")
    check(eia.report["incumbent"]["months"], months(flat, "America/New_York"), band=False)
    assert loop["total"]["mape"] < eia.report["naive"]["total"]["mape"]
    assert set(eia.report["areas"]) == {"TVA", "NYIS"}
    spring = datetime(2017, 3, 12, tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)  # a day of 23 hours
    day = scored.filter(
        (pl.col("area") == "NYIS") & pl.col("at").is_between(spring, spring + timedelta(hours=23), "left")
    )
    assert day.height == 23


def test_what_a_project_on_real_data_tells_about_itself(eia: Replayed, capsys: pytest.CaptureFixture[str]) -> None:
    """The project was only read by the replay; run and forecast work on it beside the replay's results."""
    words = ["--as-of", "2017-04-12T12:00:00Z", "--project", str(eia.project), "--json"]
    capsys.readouterr()
    assert main(["run", *words]) == 0
    ran = json.loads(capsys.readouterr().out)
    assert main(["forecast", *words]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["areas"]) == {"NYIS", "TVA"}
    for area in told["areas"].values():
        assert area["release"] == ran["candidate"]
        assert len(area["points"]) == 24
        assert area["points"][0]["at"] == "2017-04-12T04:00:00Z"  # midnight in New York, of the day after the issue
    assert main(["doctor", "--project", str(eia.project), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
