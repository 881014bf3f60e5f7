"""What a hurried or hostile user types: every case says where and what next, ends with 2, and leaves no trace."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recloser.testing import empty_project, load_file, small_grid

INGEST = ("--area", "area", "--time", "at", "--load", "load_mw")


def traces(folder: Path) -> dict[str, str]:
    """Every file below the folder with its content's digest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="session")
def good_csv(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = load_file(tmp_path_factory.mktemp("csv") / "load.csv", small_grid(days=2).frame())
    return path.read_text()


def swapped(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


FIVE = "2020-01-01T05:00:00Z"
BAD_FILES: dict[str, tuple[Callable[[str], str | bytes], tuple[str, ...], tuple[str, ...]]] = {
    "column": (lambda text: text, ("--load", "load_mv"), ("load.csv", "load_mv", "Did you mean 'load_mw'?")),
    "time": (swapped(FIVE, "yesterday"), (), ("load.csv, row 7, column 'at'", "yesterday", "Nothing was stored")),
    "off the grid": (swapped(FIVE, "2020-01-01T05:07:00Z"), (), ("row 7, column 'at'", "Nothing was stored")),
    "year 1": (swapped(FIVE, "0001-01-01T00:00:00Z"), (), ("1900 to 2199", "0001-01-01", "Nothing was stored")),
    "year 9999": (swapped(FIVE, "9999-12-31T00:00:00Z"), (), ("1900 to 2199", "9999-12-31", "Nothing was stored")),
    "unit": (lambda text: text, ("--load-unit", "MWW"), ("'MWW'", "load_mw", "Did you mean 'MW'?")),
    "dimension": (lambda text: text, ("--load-unit", "degC"), ("a temperature unit for load_mw", "kW, MW")),
    "zone": (lambda text: text, ("--time-zone", "Europe/Amsterdan"), ("unknown time zone", "Europe/Amsterdan")),
    "area": (lambda text: text.replace("F0", "G0"), (), ("no area of this file", "G01", "F01, F02")),
    "number": (lambda text: text.splitlines()[0] + f"\nF01,{FIVE},twelve,1", (), ("row 2, column 'load_mw'", "twelve")),
    "comma": (lambda text: text.replace(".", ","), (), ("row 2", "decimal comma")),
    "quote": (swapped("F01,", '"F01,'), (), ("load.csv", "quote")),
    "twice": (lambda text: text + f"F01,{FIVE},999.0,1.0\n", (), ("rows [7, 98]", "one row per area and time")),
    "empty": (lambda _: "", (), ("load.csv", "no header")),
    "header only": (lambda text: text.splitlines()[0] + "\n", (), ("load.csv", "no rows")),
    "binary": (lambda _: b"\x00\x01\x02\xff" * 50, (), ("load.csv", "not utf-8")),
    "parquet in name only": (lambda _: b"PAR1 and then nothing", (), ("load.csv", "Parquet")),
    "no mapping": (lambda text: text, ("--time", ""), ("time",)),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_told_and_leaves_no_trace(
    case: str, call: Any, ingested: Path, tmp_path: Path, good_csv: str
) -> None:
    spoil, options, said = BAD_FILES[case]
    content = spoil(good_csv)
    file = tmp_path / "load.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = traces(ingested)
    told = call("ingest", file, *INGEST, *options, "--project", ingested, "--json")
    assert told.code == 2, told.err
    assert told.document["error"] == "InvalidInput"
    assert "Traceback" not in told.err
    assert [words for words in said if words not in told.err] == []
    assert traces(ingested) == before

    fresh = empty_project(tmp_path / "fresh")
    before = traces(fresh)
    assert call("ingest", file, *INGEST, *options, "--project", fresh).code == 2
    assert traces(fresh) == before  # not even an empty state folder


def test_a_file_that_is_not_there_names_the_nearest(call: Any, ingested: Path, tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("x\n")
    told = call("ingest", tmp_path / "laod.csv", *INGEST, "--project", ingested, "--json")
    assert told.code == 2
    assert "load.csv" in told.document["next_step"]


def test_a_file_of_another_kind_is_read_once_it_is_said(call: Any, tmp_path: Path) -> None:
    """What the error advises can be done from the command line, and from the project file."""
    folder = empty_project(tmp_path / "grid")
    file = tmp_path / "load.csv"
    lines = ["Auszug;;", "Feeder;Zeit;Last", *["F01;01.03.2020 00:00;1234,5"] * 2, "K\xf6ln;01.03.2020 00:00;7,5", ""]
    file.write_text("\n".join(lines), "cp1252")
    words = ("ingest", file, "--area", "Feeder", "--time", "Zeit", "--load", "Last", "--project", folder, "--json")
    assert "encoding='cp1252'" in call(*words, "--skip-lines", 1).document["next_step"]
    assert "time_format" in call(*words, "--skip-lines", 1, "--encoding", "cp1252").document["next_step"]
    dialect = ("--skip-lines", 1, "--encoding", "cp1252", "--time-format", "%d.%m.%Y %H:%M", "--decimal", ",")
    told = call(*words, *dialect, "--repeated", "last", "--delimiter", ";", "--ambiguous", "latest")
    assert (told.code, told.document["rows"], told.document["accepted"]) == (0, 3, 2)


MISSPELT = {
    "[staging]\nholdout_day = 30": ("staging.holdout_day", "staging.holdout_days"),
    "[rollot]\nshadow_days = 3": ("rollot", "rollout"),
    "[data]\nload_unt = 'kW'": ("data.load_unt", "data.load_unit"),
}


@pytest.mark.parametrize("lines", MISSPELT)
def test_a_misspelt_key_names_the_nearest(lines: str, call: Any, tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    folder.mkdir()
    head = '[project]\nareas = ["F01"]\ntime_zone = "UTC"\n'
    (folder / "recloser.toml").write_text(head + lines + "\n")
    wrong, right = MISSPELT[lines]
    for verb in (("status",), ("run",), ("audit", "verify"), ("forecast",)):
        told = call(*verb, "--project", folder, "--json")
        assert told.code == 2
        assert told.document["got"] == repr(wrong)
        assert told.document["next_step"] == f"Did you mean {right!r}?"
        assert str(folder / "recloser.toml") in told.document["where"]
    assert sorted(path.name for path in folder.iterdir()) == ["recloser.toml"]


BAD_INIT = {
    "nothing": (),
    "no zone": ("--area", "a"),
    "zone": ("--area", "a", "--time-zone", "Mars/Olympus"),
    "empty area": ("--area", " ", "--time-zone", "UTC"),
    "area like a flag": ("--area", "=a", "--time-zone", "UTC"),
    "area twice": ("--area", "a", "--area", "a", "--time-zone", "UTC"),
    "seven minutes": ("--area", "a", "--time-zone", "UTC", "--resolution-minutes", "7"),
    "no minutes": ("--area", "a", "--time-zone", "UTC", "--resolution-minutes", "0"),
    "hourly in a half-hour zone": ("--area", "a", "--time-zone", "Asia/Kolkata", "--resolution-minutes", "60"),
    "country": ("--area", "a", "--time-zone", "UTC", "--country", "Atlantis"),
    "region": ("--area", "a", "--time-zone", "UTC", "--country", "NL", "--subdivision", "Atlantis"),
    "region alone": ("--area", "a", "--time-zone", "UTC", "--subdivision", "VIC"),
}


@pytest.mark.parametrize("case", BAD_INIT)
def test_a_project_that_could_not_work_is_not_made(case: str, call: Any, tmp_path: Path) -> None:
    told = call("init", tmp_path / "grid", *BAD_INIT[case], "--json")
    assert told.code == 2
    assert told.document["error"] == "InvalidInput"
    assert not (tmp_path / "grid").exists()


def test_half_hours_fit_where_hours_do_not(call: Any, tmp_path: Path) -> None:
    words = ("--area", "a", "--time-zone", "Asia/Kolkata", "--resolution-minutes", 30)
    assert call("init", tmp_path / "grid", *words).code == 0


def test_init_never_touches_a_project(call: Any, tmp_path: Path) -> None:
    folder = empty_project(tmp_path / "grid")
    before = traces(folder)
    assert call("init", folder, "--area", "x", "--time-zone", "UTC").code == 2
    assert traces(folder) == before


INSTANTS = (
    "yesterday",
    "",
    "2020-01-01T00:00:00",
    "0001-01-01",
    "9999-12-31",
    "2020-02-30",
    "0001-01-01T00:00:00+14:00",
)


@pytest.mark.parametrize("text", INSTANTS)
def test_an_instant_that_is_none(text: str, call: Any, ingested: Path) -> None:
    for verb in (("run", "--as-of"), ("forecast", "--as-of"), ("replay", "--to", "2020-04-01", "--from")):
        told = call(*verb, text, "--project", ingested, "--json")
        assert told.code == 2
        assert told.document["where"] == verb[-1]
        assert "Traceback" not in told.err


def test_too_little_history_says_how_much_is_needed(call: Any, ingested: Path) -> None:
    told = call("run", "--as-of", "2020-01-20", "--project", ingested, "--json")
    assert told.code == 2
    assert "28 days" in told.document["expected"]


def test_a_forecast_as_of_before_its_model_was_made_is_not_invented(call: Any, served: Path) -> None:
    """The champion has learned from data up to 30 April: it must not be asked about January."""
    for text in ("2020-01-05", "2099-01-01"):
        told = call("forecast", "--as-of", text, "--project", served, "--json")
        assert (told.code, told.document["where"]) == (2, "--as-of")
    assert call("status", "--project", served, "--json").document["last_forecast"] is None
    unknown = call("forecast", "--area", "F03", "--project", served, "--json")
    assert (unknown.code, unknown.document["next_step"]) == (2, "Did you mean 'F02'?")


BAD_WORDS: tuple[tuple[str, ...], ...] = (
    ("statsu",),
    ("status", "--jsn"),
    ("audit", "verfy"),
    ("run", "--engine", "slurm"),
    ("rollback",),
    ("rollback", "--reason", "  "),
    ("gate", "explain"),
    ("gate", "explain", "rel-nope"),
    ("rollout", "explain", "rel-nope"),
    ("replay",),
    ("replay", "--from", "2020-04-01", "--to", "2020-04-05", "--policy", "sometimes"),
    ("replay", "--from", "2020-04-01", "--to", "2020-03-01"),
    ("replay", "--from", "2020-01-10", "--to", "2020-03-01"),
    ("replay", "--from", "2020-04-01T10:00:00Z", "--to", "2020-04-01T11:00:00Z"),
    ("replay", "--from", "2020-06-01", "--to", "2020-06-11"),
    ("replay", "--from", "2020-04-01", "--to", "2031-01-01"),
    ("up", "--port", "70000"),
    ("demo", "--feeders", "1"),
)


@pytest.mark.parametrize("words", BAD_WORDS, ids=" ".join)
def test_wrong_words_end_with_two_and_one_json_document(words: tuple[str, ...], call: Any, ingested: Path) -> None:
    project = () if words[0] in {"demo", "statsu"} else ("--project", ingested)
    out = ("--out", ingested / "out") if words[0] == "replay" else ()
    told = call(*words, *project, *out, "--json")
    assert told.code == 2, told.err
    assert set(told.document) == {"error", "what", "got", "expected", "where", "next_step"}
    assert told.document["error"] == "InvalidInput"
    assert told.err
    assert "Traceback" not in told.err
    assert not (ingested / "out").exists()


SCENARIOS = {
    "x = 1": "unknown scenario key",
    "event = 'a'": "[[event]]",
    "[[event]]\nkind = 'stuk'": "Did you mean 'stuck'?",
    "[[event]]\nkind = 'stuck'": "event 1",
    "[[event]]\nkind = 'stuck'\nareas = 'F01'\nstart = 2020-04-02\nend = 2020-04-03": "a list of names",
    "[[event]]\nkind = 'stuck'\nareas = ['F09']\nstart = 2020-04-02\nend = 2020-04-03": "Did you mean 'F0",
    "[[event]]\nkind = 'scaled'\nareas = []\nstart = 2020-04-02\nend = 2020-04-03\nfactor = 'x'": "event 1",
    "[[event]]\nkind = 'stuck'\nareas = []\nstart = 'soon'\nend = 2020-04-03": "unreadable time",
    "[[event]]\nkind = 'lockdown'\nstart = 2020-04-02\nonset = 'slowly'": "number of days",
    "[[event]]\nkind = 'lockdown'\nstart = 2020-04-02\nzone = 'Mars'": "unknown time zone",
    "[[event]]\nkind = 'level_drift'\nstart = 2020-04-02\nshare = '-0.1'": "event 1, share",
    "[[event]]\nkind = 'gap'\nstart = 2019-04-02\nend = 2019-04-03": "2020-04-01T00:00:00Z .. 2020-04-05T00:00:00Z",
    "[[candidate]]\nat = 2020-04-05\nreason = 'late'": "candidate 1, at",
    "creeping = 3": "'from' and 'per_day'",
    "[creeping]\nperday = 1": "'from' and 'per_day'",
    "[[candidate]]\nat = 2020-04-02\nreason = 'x'\nsabotage = 'creeping'": "[creeping]",
    "[[candidate]]\nat=2020-04-02\nreason = 'x'\nsabotage = 'creeping'\n[creeping]\nfrom = 2020-04-03\nper_day = 2.0": (
        "allow_code = true"
    ),
    "[[candidate]]\nat = 2020-04-02\nreason = 'x'\nsabotage = 'corupted'": "Did you mean 'corrupted'?",
    "[[candidate]]\nat = 2020-04-02": "'reason'",
    "[[candidate]]\nat = 2020-04-02\nraison = 'x'": "reason",
    "candidate = [1]": "[[candidate]]",
    "seed = 'x'": "seed",
    "notes = 4": "notes",
    "[[event": "cannot read the scenario",
}


@pytest.mark.parametrize("text", SCENARIOS)
def test_a_bad_scenario_is_told_before_anything_runs(text: str, call: Any, ingested: Path, tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(text + "\n")
    words = ("--from", "2020-04-01", "--to", "2020-04-05", "--scenario", file, "--out", tmp_path / "out")
    told = call("replay", *words, "--project", ingested, "--json")
    assert told.code == 2, told.err
    assert str(file) in told.document["where"]
    assert SCENARIOS[text] in told.err
    assert "Traceback" not in told.err
    assert not (tmp_path / "out").exists()


def test_a_project_that_is_none(call: Any, tmp_path: Path) -> None:
    told = call("status", "--project", tmp_path, "--json")
    assert told.code == 2
    assert "recloser init" in told.document["next_step"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="needs a place nobody can write to")
def test_a_folder_that_cannot_be_written_is_unavailable_not_a_crash(call: Any, ingested: Path) -> None:
    words = ("--from", "2020-04-01", "--to", "2020-04-05", "--out", "/proc/recloser")
    told = call("replay", *words, "--project", ingested, "--json")
    assert told.code == 3
    assert told.document["error"] == "Unavailable"
    assert "Traceback" not in told.err
