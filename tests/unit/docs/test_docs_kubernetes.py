"""The pages about clusters: their project files are some, and their commands exist with the options that they show."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from recloser.app.project.settings import Project
from recloser.cli.main import program

DOCS = Path(__file__).parents[3] / "docs"
PAGES = [(DOCS / name).read_text(encoding="utf-8") for name in ("kubernetes.md", "kserve.md")]


def blocks(kind: str) -> list[str]:
    found = [re.findall(rf"^```{kind}\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE) for page in PAGES]
    assert all(found)
    return [block for of_page in found for block in of_page]


@pytest.mark.parametrize("text", blocks("toml"))
def test_each_project_file_is_one(text: str) -> None:
    project = {"project": {"name": "grid", "areas": ["NORTH"], "time_zone": "UTC"}}
    assert Project.model_validate({**tomllib.loads(text), **project})


@pytest.mark.parametrize("line", [line for block in blocks("console") for line in block.splitlines() if line])
def test_each_command_can_be_read(line: str) -> None:
    words = shlex.split(line)
    assert words[0] == "recloser"
    command: click.Command = program
    rest = words[1:]
    while isinstance(command, click.Group):
        command = command.commands[rest.pop(0)]
    command.make_context(line, rest)
