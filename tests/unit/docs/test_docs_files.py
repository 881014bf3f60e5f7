"""Every example of the page about files works: the file as it stands there, the command, what it answers, each time."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recloser.app.intake import mapping_of
from recloser.app.project.settings import load_project
from recloser.cli import main
from recloser.cli.prepare import ingest
from recloser.connectors import read_file
from recloser.core import INCUMBENT, LOAD, TEMPERATURE

TEXT = (Path(__file__).parents[3] / "docs" / "files.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in TEXT.split("\n## ")[1:]}
BLOCK = re.compile(r"(?:^`([\w.]+)`:\n\n)?^```(\w+)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
Samples = list[tuple[str, str, float | None]]
LOADS: dict[str, Samples] = {
    "CSV": [
        ("F01", "2024-03-31T00:00", 0.8125),
        ("F01", "2024-03-31T00:30", 0.79),
        ("F01", "2024-03-31T01:00", None),
        ("F01", "2024-03-31T01:30", 0.801),
    ],
    "Parquet": [
        ("N", "2024-06-01T00:00", 410.0),
        ("N", "2024-06-01T01:00", 402.5),
        ("N", "2024-06-01T02:00", None),
    ],
    "EIA-930": [
        ("BPAT", "2024-01-01T08:00", 6489.0),
        ("BPAT", "2024-01-01T09:00", 6377.0),
        ("TVA", "2024-01-01T06:00", 15740.0),
        ("TVA", "2024-01-01T07:00", None),
    ],
    "ENTSO-E": [
        ("NL", "2024-10-26T23:00", 9287.0),
        ("NL", "2024-10-27T00:00", 9101.0),
        ("NL", "2024-10-27T01:00", None),
        ("NL", "2024-10-27T02:00", 9036.0),
    ],
    "NESO": [
        ("GB", "2024-10-26T23:30", 19870.0),
        ("GB", "2024-10-27T00:00", 19644.0),
        ("GB", "2024-10-27T00:30", 19420.0),
        ("GB", "2024-10-27T01:00", 19233.0),
        ("GB", "2024-10-27T23:30", 21004.0),
    ],
}


class Page:
    """Does what a section says, in its order; keeps what was answered, and the last `ingest`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, ""
        self.given: dict[str, Any] = {}

    def follow(self, section: str) -> None:
        for name, kind, content in BLOCK.findall(section):
            if name:
                (self.folder / name).write_text(content, encoding="utf-8")
            elif kind == "json":
                assert json.loads(self.said) == json.loads(content)
            elif kind == "text":
                assert self.said == content
            else:
                self.said = self.python(content) if kind == "python" else self.bash(content)

    def python(self, content: str) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as told:
            exec(compile(content, "docs/files.md", "exec"), {})  # noqa: S102 - the page's program
        return told.getvalue()

    def bash(self, content: str) -> str:
        ours = [line for line in content.splitlines() if line.startswith("recloser ")]
        others = "\n".join(line for line in content.splitlines() if line not in ours)
        if others.strip():
            subprocess.run(["bash", "-euc", others], cwd=self.folder, check=True)
        told = ""
        for line in ours:
            words, _, target = line.partition(" > ")
            out = io.StringIO()
            arguments = shlex.split(words)[1:]
            assert main(arguments, out) == 0, out.getvalue()
            told = out.getvalue()
            if target:
                (self.folder / target.strip()).write_text(told, encoding="utf-8")
            if arguments[0] == "ingest":
                params = ingest.make_context("ingest", arguments[1:]).params
                self.given = {name: value for name, value in params.items() if value not in (None, ())}
        return told


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.chdir(tmp_path)
    return Page(tmp_path)


def test_every_form_has_an_example() -> None:
    assert list(SECTIONS) == [*LOADS, "COMTRADE", "Captures"]


@pytest.mark.parametrize("form", LOADS)
def test_a_file_becomes_the_samples_that_it_means(page: Page, form: str) -> None:
    page.follow(SECTIONS[form])
    file, project = page.given.pop("file"), page.given.pop("project")
    page.given.pop("as_json")
    frame = read_file(file, mapping_of(load_project(project), page.given)).frame
    loads = frame.filter(pl.col("quantity") == LOAD).sort("area", "at").select("area", "at", "value").rows()
    assert loads == [
        (area, datetime.fromisoformat(at).replace(tzinfo=UTC), pytest.approx(value) if value is not None else None)
        for area, at, value in LOADS[form]
    ]
    others = {"CSV": TEMPERATURE, "EIA-930": INCUMBENT, "ENTSO-E": INCUMBENT}
    assert set(frame["quantity"]) == {LOAD, *([others[form]] if form in others else [])}


@pytest.mark.parametrize("form", ["COMTRADE", "Captures"])
def test_a_record_says_what_the_page_says(page: Page, form: str) -> None:
    page.follow(SECTIONS[form])
