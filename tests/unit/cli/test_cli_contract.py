"""The verbs do what CONTRACT.md promises to other programs: keys, exit codes, one JSON document on stdout."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recloser.core import LOAD
from recloser.testing import load_file, small_grid, small_project

INGEST = (
    "--area",
    "area",
    "--time",
    "at",
    "--load",
    "load_mw",
    "--temperature",
    "temperature_c",
    "--weather",
    "forecast",
)


def test_from_nothing_to_a_forecast(call: Any, tmp_path: Path) -> None:
    """The ten-minute tour: init, ingest a CSV, run, forecast, status; JSON at every step."""
    folder, file = tmp_path / "grid", load_file(tmp_path / "load.csv", small_grid().frame())
    made = call("init", folder, "--area", "F01", "--area", "F02", "--time-zone", "Europe/Amsterdam", "--json")
    assert made.code == 0
    assert {Path(path).name for path in made.document["written"]} == {"recloser.toml", "pipeline.py"}
    settings = folder / "recloser.toml"
    quick = settings.read_text().replace("holdout_days = 56", "holdout_days = 28")
    settings.write_text(quick + '\n[model]\ntrees = 20\nleaves = 7\nmax_rows = 5000\n[registry]\nkind = "folder"\n')

    first = call("ingest", file, *INGEST, "--project", folder, "--json")
    assert first.code == 0
    rows = 2 * 120 * 24  # of the file; each holds a load and a temperature
    assert {key: first.document[key] for key in ("rows", "accepted", "duplicates", "corrected", "flagged")} == {
        "rows": rows,
        "accepted": rows,
        "duplicates": 0,
        "corrected": 0,
        "flagged": 0,
    }
    again = call("ingest", file, *INGEST, "--project", folder, "--json").document
    assert (again["accepted"], again["duplicates"], again["version"]) == (0, rows, first.document["version"])

    ran = call("run", "--project", folder, "--json")
    assert ran.code == 0, ran.document
    assert ran.document["verdict"] == "pass"
    assert ran.document["run"].startswith("run-")
    assert ran.document["candidate"].startswith("rel-")
    assert all({"name", "verdict", "reason", "numbers"} <= set(check) for check in ran.document["checks"])

    told = call("forecast", "--project", folder, "--json")
    assert told.code == 0
    assert set(told.document["areas"]) == {"F01", "F02"}
    for area in told.document["areas"].values():
        assert (area["release"], area["served_by"]) == (ran.document["candidate"], "champion")
        assert area["issued_at"] == "2020-04-29T07:00:00Z"
        assert next(point["at"] for point in area["points"]) == "2020-04-29T22:00:00Z"
        assert len(area["points"]) == 24
        assert len({point["id"] for point in area["points"]}) == 24
        for point in area["points"]:
            assert set(point) == {"id", "at", "q10", "q50", "q90", "void"}
            assert point["q10"] <= point["q50"] <= point["q90"]
            assert point["void"] is False
    one = call("forecast", "--area", "F02", "--project", folder, "--json").document
    assert one["areas"] == {"F02": told.document["areas"]["F02"]}  # the same issue is not issued twice

    status = call("status", "--project", folder, "--json")
    assert status.document["route"]["champion"] == ran.document["candidate"]
    assert status.document["last_run"]["verdict"] == "pass"


def test_parquet_and_csv_give_the_same_store(call: Any, tmp_path: Path) -> None:
    frame = small_grid(days=3).frame()
    versions = []
    for suffix in ("csv", "parquet"):
        folder = tmp_path / suffix
        call("init", folder, "--area", "F01", "--area", "F02", "--time-zone", "Europe/Amsterdam")
        file = load_file(tmp_path / f"load.{suffix}", frame)
        versions.append(call("ingest", file, *INGEST, "--project", folder, "--json").document)
    assert versions[0] == versions[1]
    assert versions[0]["accepted"] == 3 * 24 * 2


def test_the_mapping_may_stand_in_the_project_file(call: Any, tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    call("init", folder, "--area", "F01", "--area", "F02", "--time-zone", "Europe/Amsterdam")
    settings = folder / "recloser.toml"
    lines = '[data]\ntime = "at"\nload = "load_mw"\narea = "area"\n#'
    settings.write_text(settings.read_text().replace("[data]", lines))
    file = load_file(tmp_path / "load.csv", small_grid(days=2).frame())
    assert call("ingest", file, "--project", folder, "--json").document["accepted"] == 2 * 24 * 2


def test_a_correction_and_an_unknown_area_are_told(call: Any, ingested: Path, tmp_path: Path) -> None:
    frame = small_grid().frame().filter(pl.col("at") < pl.datetime(2020, 1, 3, time_zone="UTC"))
    higher = pl.when(pl.col("quantity") == LOAD).then(pl.col("value") + 1).otherwise(pl.col("value"))
    other = frame.filter(pl.col("area") == "F01").with_columns(area=pl.lit("F99"))
    file = load_file(tmp_path / "late.csv", pl.concat([frame.with_columns(value=higher), other]))
    told = call("ingest", file, *INGEST, "--project", ingested, "--json").document
    assert (told["rows"], told["duplicates"]) == (3 * 48, 0)
    assert (told["accepted"], told["corrected"]) == (3 * 48, 2 * 48)
    assert any("F99" in note for note in told["notes"])


def test_running_again_on_the_same_data_is_the_same_run(call: Any, served: Path) -> None:
    first = call("run", "--project", served, "--json").document
    again = call("run", "--project", served, "--json").document
    assert first == again
    assert len(list((served / "state" / "packages").glob("rel-*"))) == 1


def test_a_refused_candidate_ends_with_one_and_explains_itself(call: Any, tmp_path: Path) -> None:
    """A third of the history was sent in kW: the gate says so, the ledger keeps it, `gate explain` tells it."""
    spoilt = (pl.col("quantity") == LOAD) & (pl.col("at") > pl.datetime(2020, 3, 20, time_zone="UTC"))
    frame = (
        small_grid().frame().with_columns(value=pl.when(spoilt).then(pl.col("value") * 1000).otherwise(pl.col("value")))
    )
    folder = small_project(tmp_path / "spoilt", frame=frame)
    ran = call("run", "--project", folder, "--json")
    assert (ran.code, ran.document["verdict"]) == (1, "refuse")
    refusing = {check["name"] for check in ran.document["checks"] if check["verdict"] == "refuse"}
    assert refusing
    explained = call("gate", "explain", ran.document["candidate"], "--project", folder, "--json")
    assert explained.code == 0
    assert explained.document["verdict"] == "refuse"
    assert explained.document["reason"] == ran.document["reason"]
    assert {c["name"] for c in explained.document["checks"] if c["verdict"] == "refuse"} == refusing
    by_run = call("gate", "explain", ran.document["run"], "--project", folder, "--json").document
    assert by_run == explained.document
    text = call("gate", "explain", ran.document["candidate"], "--project", folder).out
    assert text.startswith(f"{ran.document['candidate']}: REFUSE - ")
    assert call("forecast", "--project", folder, "--json").code == 3  # nothing serves
    assert call("audit", "verify", "--project", folder, "--json").document["ok"] is True


def test_audit_verify_finds_an_edit(call: Any, served: Path) -> None:
    sound = call("audit", "verify", "--project", served, "--json")
    assert sound.code == 0
    assert set(sound.document) >= {"entries", "ok", "first_bad"}
    assert sound.document["ok"] is True
    assert sound.document["first_bad"] is None
    with sqlite3.connect(served / "state" / "ledger.db") as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        audit = next(name for name in tables if "entr" in name or "audit" in name)
        for (name,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            database.execute(f"drop trigger {name}")
        database.execute(f"update {audit} set subject = 'nobody' where seq = 3")  # noqa: S608 - names of our schema
    database.close()
    broken = call("audit", "verify", "--project", served, "--json")
    assert broken.code == 1
    assert (broken.document["ok"], broken.document["first_bad"]) == (False, 3)
    assert "BROKEN at entry 3" in call("audit", "verify", "--project", served).out


def test_rollout_explain_by_id_and_by_release(call: Any, served: Path) -> None:
    release = call("status", "--project", served, "--json").document["route"]["champion"]
    by_release = call("rollout", "explain", release, "--project", served, "--json").document
    assert by_release["state"] == "champion"
    assert by_release["release"] == release
    by_id = call("rollout", "explain", by_release["rollout"], "--project", served, "--json").document
    assert by_id["state"] == "champion"
    assert call("rollout", "explain", release, "--project", served).out.startswith(f"{release}: champion since")


def test_rollback_stops_the_model_and_the_ladder_serves(call: Any, served: Path) -> None:
    before = call("forecast", "--project", served, "--json").document
    release = before["areas"]["F01"]["release"]
    rolled = call("rollback", "--project", served, "--reason", "looks wrong on F01", "--json")
    assert rolled.code == 0
    assert rolled.document["from"] == release
    assert rolled.document["to"] != release
    status = call("status", "--project", served, "--json").document
    assert status["route"]["champion"] == rolled.document["to"]
    assert status["last_trip"]["release"] == release
    assert (
        "looks wrong on F01" in call("rollout", "explain", release, "--project", served).out + status["route"]["reason"]
    )
    assert call("audit", "verify", "--project", served).code == 0


def test_an_id_that_nothing_bears_is_bad_input(call: Any, served: Path) -> None:
    release = call("status", "--project", served, "--json").document["route"]["champion"]
    wrong = release[:-1] + ("0" if release[-1] != "0" else "1")
    for words in (("rollback", "--reason", "x", "--to"), ("gate", "explain"), ("rollout", "explain")):
        told = call(*words, wrong, "--project", served, "--json")
        assert (told.code, told.document["got"]) == (2, repr(wrong))
        assert told.document["next_step"] == f"Did you mean {release!r}?"
    assert call("status", "--project", served, "--json").document["route"]["champion"] == release


def test_an_explanation_before_the_first_run_says_what_to_do(call: Any, ingested: Path) -> None:
    for verb in ("gate", "rollout"):
        told = call(verb, "explain", "rel-1", "--project", ingested, "--json")
        assert (told.code, told.document["next_step"]) == (2, "Run: recloser run")


def test_a_run_long_after_the_data_is_refused_before_it_starts(call: Any, ingested: Path) -> None:
    told = call("run", "--as-of", "2030-01-01", "--project", ingested, "--json")
    assert (told.code, told.document["where"]) == (2, "--as-of")
    assert call("status", "--project", ingested, "--json").document["last_run"] is None


def test_rollback_without_anything_serving_is_refused(call: Any, ingested: Path) -> None:
    told = call("rollback", "--project", ingested, "--reason", "why not", "--json")
    assert told.code == 1
    assert told.document["error"] == "Refused"


def test_forecast_before_the_first_run_is_unavailable(call: Any, ingested: Path) -> None:
    told = call("forecast", "--project", ingested, "--json")
    assert told.code == 3
    assert told.document["error"] == "Unavailable"
    assert "recloser run" in told.document["next_step"]


@pytest.mark.slow
@pytest.mark.story
def test_mlflow_mirrors_the_run_and_stdout_stays_one_document(tmp_path: Path) -> None:
    """The default registry, as a user's shell sees it: a real process, its stdout parsed as it is."""
    folder = small_project(tmp_path / "grid")
    settings = folder / "recloser.toml"
    settings.write_text(settings.read_text().replace('kind = "folder"', 'kind = "mlflow"'))
    pipeline = folder / "pipeline.py"
    noisy = pipeline.read_text().replace(
        "    return train_lightgbm(", "    print('chatter')\n    return train_lightgbm("
    )
    pipeline.write_text(noisy)
    words = [sys.executable, "-m", "recloser", "run", "--project", str(folder), "--json"]
    script = [sys.executable, "-c", "from recloser.cli.main import run; run()", *words[3:]]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert "chatter" in done.stderr
    with sqlite3.connect(folder / "state" / "mlflow.db") as database:  # read with SQL alone, as any MLflow would
        aliases = dict(database.execute("select alias, version from registered_model_aliases"))
        tags = dict(database.execute("select key, value from model_version_tags"))
        states = [state for (state,) in database.execute("select status from runs")]
    database.close()
    assert aliases == {"champion": 1}
    assert document["candidate"] in tags.values()
    assert states == ["FINISHED"]


def test_a_waiver_lets_a_refused_candidate_pass_and_stands_in_the_audit_log(call: Any, tmp_path: Path) -> None:
    folder = small_project(tmp_path / "waived")
    file = folder / "recloser.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("holdout_days = 28", "holdout_days = 28\nminimum_coverage80 = 95.0"), encoding="utf-8")
    ran = call("run", "--project", folder, "--json")
    assert (ran.code, ran.document["reason"].split(":")[0]) == (1, "coverage")
    candidate = ran.document["candidate"]
    words = ("gate", "waive", candidate, "--name", "A. Operator", "--reason", "first winter", "--project", folder)
    for check, code in (("leak", 2), ("coverge", 2), ("data.shape", 2), ("data.units", 2)):
        assert call(*words, "--check", check, "--expires", "2199-01-01").code == code
    assert call(*words, "--check", "coverage", "--expires", "2020-01-01").code == 2
    assert call("forecast", "--project", folder, "--json").code == 3
    waived = call(*words, "--check", "coverage", "--expires", "2199-01-01", "--json")
    assert (waived.code, waived.document["verdict"]) == (0, "pass")
    assert waived.document["waiver"]["name"] == "A. Operator"
    told = call("gate", "explain", candidate, "--project", folder, "--json").document
    assert told["verdict"] == "pass"
    assert [(w["check"], w["in_force"]) for w in told["waivers"]] == [("coverage", True)]
    text = "\n".join(told["sentences"])
    assert "waived coverage" in text
    assert "by A. Operator until 2199-01-01T00:00:00Z: first winter" in text
    assert len(told["sentences"]) <= 42
    assert call("forecast", "--project", folder, "--json").document["areas"]["F01"]["release"] == candidate
    assert call("audit", "verify", "--project", folder, "--json").document["ok"] is True
    assert call("run", "--project", folder, "--json").code in (0, 1)
