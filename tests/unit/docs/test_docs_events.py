"""The commands of the page about events are commands, and all but `run`, `up` and `gate explain` (minutes) are done."""

from __future__ import annotations

import io
import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from recloser.cli import main
from recloser.cli.main import program
from recloser.connectors.points import read_registry

TEXT = (Path(__file__).parents[3] / "docs" / "events.md").read_text(encoding="utf-8")
TRAIN, SIMULATE, UP, PEOPLE = re.findall(r"^```bash\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
EVERY = [line for block in (TRAIN, SIMULATE, UP, PEOPLE) for line in block.strip().splitlines()]


def said(line: str, *more: str, **names: str) -> Any:
    """Run a line of the page with --json, the names that it leaves open filled in."""
    words, out = [names.get(word, word) for word in shlex.split(line)[1:]], io.StringIO()
    assert main([*words, *more, "--json"], out) == 0, out.getvalue()
    return json.loads(out.getvalue())


@pytest.mark.parametrize("line", EVERY)
def test_every_command_is_one_with_its_options(line: str) -> None:
    first, *words = shlex.split(line)
    assert first == "recloser"
    found: click.Command = program
    context = click.Context(program)
    while isinstance(found, click.Group):
        _, following, words = found.resolve_command(context, words)
        assert following is not None
        found = following
    with found.make_context(line, list(words)) as given:
        assert not given.args


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    said(TRAIN.splitlines()[0])
    return tmp_path / "pmu"


def test_a_fresh_project_tells_its_state(project: Path) -> None:
    assert (said(TRAIN.splitlines()[3])["route"] or {}).get("champion") is None
    assert (project / "recloser.toml").read_text(encoding="utf-8").count("port = 4712") == 1


def test_the_simulated_stream_writes_the_registry_that_the_project_names(project: Path) -> None:
    line = SIMULATE.replace("--port 4712", "--port 0").replace("islanding@60", "islanding@0")
    told = said(line, "--seconds", "0.2")
    points = read_registry(project / "points" / "pdc.csv", "c37118").points
    assert len(points) == told["points"] > 8


def test_people_say_what_events_were(project: Path) -> None:
    assert project.exists()
    listed, true, false, missed = PEOPLE.strip().splitlines()
    assert said(listed)["events"] == []
    start = datetime.now(UTC) - timedelta(hours=2)  # the page's is a past one only since that day
    spans = dict(zip(re.findall(r"20\d\d-\S+Z", missed), (start, start + timedelta(seconds=20)), strict=True))
    event = said(missed, **{word: f"{at:%Y-%m-%dT%H:%M:%SZ}" for word, at in spans.items()})
    assert (event["kind"], event["missed"], event["label"]) == ("line_trip", True, "line_trip")
    assert said(true, EVENT=event["event"])["label"] == "islanding"
    assert said(false, EVENT=event["event"])["label"] == "none"
    assert said(listed)["events"] == []
    assert [row["event"] for row in said(listed.replace(" --unlabelled", ""))["events"]] == [event["event"]]
