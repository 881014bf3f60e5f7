"""A new project takes its interval length from its first file, and its holidays from its time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from recloser.app import Platform, ingest_file
from recloser.app.project.resolution import write_resolution
from recloser.app.project.scaffold import country_of, scaffold
from recloser.app.project.settings import load_project, parse_project
from recloser.core import InvalidInput
from recloser.features import FeatureSet

COLUMNS = {"time": "time", "load": "load"}


def csv(path: Path, minutes: int, rows: int = 200, *, zone: str | None = None, start: datetime | None = None) -> Path:
    at = start or datetime(2023, 10, 20, tzinfo=UTC)
    lines = ["time,load"]
    for k in range(rows):
        when = at + k * timedelta(minutes=minutes)
        text = when.isoformat() if zone is None else f"{when.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"
        lines.append(f"{text},{10 + k % 7}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def fresh(tmp_path: Path, zone: str = "Australia/Melbourne", **extra: Any) -> Path:
    scaffold(tmp_path / "grid", areas=["VIC"], time_zone=zone, **extra)
    return tmp_path / "grid"


@pytest.mark.parametrize("minutes", [5, 15, 30, 60])
def test_the_first_file_sets_the_interval_and_the_next_must_fit(tmp_path: Path, minutes: int) -> None:
    project = fresh(tmp_path)
    assert load_project(project).project.resolution_minutes is None
    found = ingest_file(project, csv(tmp_path / "load.csv", minutes), COLUMNS)
    assert (found["rows"], found["accepted"]) == (200, 200)
    assert f"intervals are {minutes} minutes long" in found["notes"][-1]
    assert f"resolution_minutes = {minutes}   # as found" in (project / "recloser.toml").read_text(encoding="utf-8")
    with Platform.open(project) as platform:
        assert platform.project.resolution == timedelta(minutes=minutes)
        assert isinstance(platform.features, FeatureSet)
    again = ingest_file(project, csv(tmp_path / "load.csv", minutes), COLUMNS)
    assert (again["accepted"], again["duplicates"], again["notes"]) == (0, 200, [])
    with pytest.raises(InvalidInput, match="off the grid"):
        ingest_file(project, csv(tmp_path / "odd.csv", 7), COLUMNS)


def test_stamps_without_an_offset_are_said_to_be_read_as_utc_unless_somebody_said_so(tmp_path: Path) -> None:
    file = csv(tmp_path / "load.csv", 30, zone="Etc/UTC")
    told = "read as UTC; say --time-zone"
    project = fresh(tmp_path)
    assert any(told in note for note in ingest_file(project, file, COLUMNS)["notes"])
    assert not any(told in note for note in ingest_file(project, file, COLUMNS | {"time_zone": "UTC"})["notes"])
    assert not any(told in note for note in ingest_file(fresh(tmp_path / "utc", "UTC"), file, COLUMNS)["notes"])


def test_local_stamps_over_the_end_of_summer_time_tell_it_too(tmp_path: Path) -> None:
    project = fresh(tmp_path, "Europe/Amsterdam")
    file = csv(tmp_path / "load.csv", 30, 600, zone="Europe/Amsterdam")
    found = ingest_file(project, file, COLUMNS | {"time_zone": "Europe/Amsterdam"})
    assert found["accepted"] == 600
    assert load_project(project).project.resolution_minutes == 30


def test_a_file_that_is_refused_sets_nothing(tmp_path: Path) -> None:
    project = fresh(tmp_path)
    before = (project / "recloser.toml").read_text(encoding="utf-8")
    bad = csv(tmp_path / "bad.csv", 30)
    bad.write_text(bad.read_text(encoding="utf-8").replace(",12\n", ",twelve\n", 1), encoding="utf-8")
    with pytest.raises(InvalidInput, match="twelve"):
        ingest_file(project, bad, COLUMNS)
    with pytest.raises(InvalidInput, match="off the grid"):
        ingest_file(project, csv(tmp_path / "odd.csv", 7), COLUMNS)
    assert (project / "recloser.toml").read_text(encoding="utf-8") == before


def test_a_given_interval_is_kept(tmp_path: Path) -> None:
    project = fresh(tmp_path, resolution_minutes=60)
    with pytest.raises(InvalidInput, match="usual step is 0:30:00"):
        ingest_file(project, csv(tmp_path / "load.csv", 30), COLUMNS)


def test_a_project_file_of_ones_own_gets_the_line_below_its_table(tmp_path: Path) -> None:
    text = '# mine\n[project] # here\nareas = ["A"]\ntime_zone = "Asia/Kolkata"\n'
    (tmp_path / "recloser.toml").write_text(text, encoding="utf-8")
    assert parse_project(text, "x").resolution == timedelta(minutes=30)  # local days begin on half hours
    write_resolution(tmp_path, timedelta(minutes=15))
    assert load_project(tmp_path).resolution == timedelta(minutes=15)
    assert (tmp_path / "recloser.toml").read_text(encoding="utf-8").startswith("# mine\n[project] # here\nresolution")


@pytest.mark.parametrize(
    ("zone", "country"),
    [("Australia/Melbourne", "AU"), ("America/New_York", "US"), ("Europe/Amsterdam", "NL"), ("UTC", None)],
)
def test_holidays_are_those_of_the_zones_country_unless_told(tmp_path: Path, zone: str, country: str | None) -> None:
    assert country_of(zone) == country
    assert load_project(fresh(tmp_path, zone)).project.country == country
    scaffold(tmp_path / "other", areas=["A"], time_zone=zone, country="AU", subdivision="VIC")
    section = load_project(tmp_path / "other").project
    assert (section.country, section.subdivision) == ("AU", "VIC")
