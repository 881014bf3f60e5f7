"""The page about Kubernetes: its project file is one, and its commands exist with the options that it shows."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from recloser.app.project.settings import Project
from recloser.cli.main import program

PAGE = (Path(__file__).parents[3] / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


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
