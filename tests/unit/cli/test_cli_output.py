"""What reaches stdout, stderr and the shell: one document, readable by anybody's encoding, and the right exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recloser.cli.main import main
from recloser.cli.output import cleaned, json_text, write_line
from recloser.core import format_utc
from recloser.testing import empty_project

PROGRAM = [sys.executable, "-c", "from recloser.cli.main import run; run()"]


class Narrow(io.StringIO):
    """A terminal that knows ASCII only."""

    encoding = "ascii"


def test_text_that_the_terminal_cannot_show_is_escaped() -> None:
    out = Narrow()
    write_line(out, json_text({"area": "Zürich", "bad": "\udcff"}))
    assert out.getvalue().isascii()
    assert json.loads(out.getvalue()) == {"area": "Zürich", "bad": "\udcff"}


def test_numbers_that_are_none_become_null() -> None:
    assert json.loads(json_text({"a": float("nan"), "b": float("inf"), "c": [1.5]})) == {
        "a": None,
        "b": None,
        "c": [1.5],
    }


def broken(folder: Path, body: str) -> Path:
    (folder / "pipeline.py").write_text(body)
    return folder


HOOKS = {
    "def build_features(standard): return 1 / 0\n": ("ZeroDivisionError", "line 1"),
    "def build_features(standard): return standard.names\n": ("tuple", "FeatureSet"),
    "build_features = 4\n": ("must be a function", "build_features"),
    "import nosuchmodule\n": ("nosuchmodule", "pipeline.py"),
    "def broken(:\n": ("SyntaxError", "pipeline.py"),
}


@pytest.mark.parametrize("body", HOOKS)
def test_an_error_in_the_projects_own_code_names_file_and_line(body: str, call: Any, tmp_path: Path) -> None:
    told = call("status", "--project", broken(empty_project(tmp_path / "grid"), body), "--json")
    assert (told.code, told.document["error"]) == (2, "InvalidInput")
    assert [words for words in HOOKS[body] if words not in told.err] == []
    assert "Traceback" not in told.err


def test_an_error_in_the_projects_training_fails_the_run_and_names_the_line(call: Any, ingested: Path) -> None:
    folder = broken(ingested, "def train(rows, names, plan):\n    return rows['no such column']\n")
    told = call("run", "--project", folder, "--json")
    assert told.code == 2
    assert "line 2" in told.document["where"]
    assert call("status", "--project", folder, "--json").document["last_run"]["verdict"] is None
    (folder / "pipeline.py").unlink()
    assert call("run", "--project", folder, "--json").code == 0  # corrected, the same run goes on


def test_what_the_projects_code_prints_does_not_spoil_stdout(call: Any, tmp_path: Path) -> None:
    folder = broken(empty_project(tmp_path / "grid"), "print('chatter')\n")
    told = call("status", "--project", folder, "--json")
    assert told.document["areas"] == ["F01", "F02"]
    assert "chatter" in told.err
    assert "chatter" in call("status", "--project", folder).out


def test_result_goes_where_it_is_told(tmp_path: Path) -> None:
    out = io.StringIO()
    assert main(["status", "--project", str(empty_project(tmp_path / "grid")), "--json"], out) == 0
    assert json.loads(out.getvalue())["project"] == "grid"


def test_times_in_documents_are_utc_with_a_z(call: Any, ingested: Path) -> None:
    from datetime import datetime

    data = call("status", "--project", ingested, "--json").document["data"]
    for name in ("first", "last"):
        assert data[name] == format_utc(datetime.fromisoformat(data[name]))


@pytest.mark.slow
@pytest.mark.story
def test_as_a_process_with_a_reader_that_leaves_and_a_narrow_locale(tmp_path: Path) -> None:
    """`recloser status | head -0`, and an area that ASCII cannot write: no traceback, right exit codes."""
    folder = empty_project(tmp_path / "grid", areas=("Zürich",))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [*PROGRAM, "status", "--project", str(folder), "--json"],
        check=False, capture_output=True, env=environment, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["areas"] == ["Zürich"]

    reader, writer = os.pipe()
    os.close(reader)
    left = subprocess.run(
        [*PROGRAM, "status", "--project", str(folder)], check=False, stdout=writer, stderr=subprocess.PIPE, timeout=120
    )
    os.close(writer)
    assert left.stderr == b""
    assert left.returncode == 0

    wrong = subprocess.run(
        [*PROGRAM, "status", "--project", str(tmp_path), "--json"], check=False, capture_output=True, timeout=120
    )
    assert wrong.returncode == 2
    assert json.loads(wrong.stdout)["error"] == "InvalidInput"


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_stdout_is_told_without_a_traceback(options: list[str], tmp_path: Path) -> None:
    words = [*PROGRAM, "status", "--project", str(empty_project(tmp_path / "grid")), *options]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 3
    assert "No space left" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(closed: str, tmp_path: Path) -> None:
    folder = empty_project(tmp_path / "grid")
    for option in ("", "--json"):
        script = f'"$0" -c "$1" status --project "$2" {option} {closed}'
        ended = subprocess.run(["sh", "-c", script, *PROGRAM[::2], str(folder)], capture_output=True, check=False)
        assert (ended.returncode, b"Traceback" in ended.stderr) == (0, False)


def test_a_name_that_is_no_text_is_bad_input(call: Any, tmp_path: Path) -> None:
    told = call("init", tmp_path / "grid", "--area", "\udcff", "--time-zone", "UTC", "--json")
    assert (told.code, told.document["what"]) == (2, "not text in UTF-8")
    assert not (tmp_path / "grid").exists()


NASTY = "done\x1b[2J\x07\u202e\x9b1m\x7f\r\nchampion: rel-evil\u2028x\u00a0y"


def test_what_people_wrote_cannot_command_a_terminal_nor_forge_a_line() -> None:
    document = {"sentence": NASTY, "rows": [{"reason": NASTY, "n": 1}], "table": "a\nb\x1b", NASTY: None}
    plain = "done?[2J???1m?  champion: rel-evil x\u00a0y"
    assert cleaned(document) == {
        "sentence": plain,
        "rows": [{"reason": plain, "n": 1}],
        "table": "a\nb?",
        plain: None,
    }


def test_json_escapes_what_does_not_print_and_loses_nothing() -> None:
    text = json_text({"reason": NASTY})
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert json.loads(text) == {"reason": NASTY}


def test_reasons_of_people_are_told_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ["--project", str(empty_project(tmp_path / "grid"))]
    assert main(["freeze", "add", "--reason", NASTY, "--to", "2199-01-01T00:00:00Z", *shown]) == 0
    assert main(["retrain", "--reason", NASTY, *shown]) == 0
    capsys.readouterr()
    for words in (["freeze", "list"], ["audit", "show"], ["status"]):
        assert main([*words, *shown]) == 0
        told = capsys.readouterr().out
        assert all(letter.isprintable() or letter in "\n\u00a0" for letter in told)
        assert not any(line.startswith("champion: rel-evil") for line in told.splitlines())
        if words == ["freeze", "list"]:
            assert ".. 2199-01-01T00:00:00Z, done?[2J" in told
