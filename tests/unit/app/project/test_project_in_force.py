"""A mistake in the files that people edit does not stand between a person and a rollback."""

from __future__ import annotations

from pathlib import Path

import pytest

from recloser.app import Platform
from recloser.app.project.in_force import KEPT
from recloser.app.project.layout import Layout
from recloser.core import InvalidInput


def opened(folder: Path) -> tuple[tuple[str, ...], str]:
    platform, problem = Platform.open_to_stop(folder)
    with platform:
        return platform.areas, problem


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("recloser.toml", "[rollout\nx =", "not valid TOML"),
        ("recloser.toml", "[projct]\n", "projct"),
        ("recloser.toml", "\xff", "cannot read the project file"),
        ("pipeline.py", "def build_features(standard):\n", "pipeline.py"),
        ("pipeline.py", "def build_features(standard):\n    return None\n", "build_features"),
    ],
)
def test_a_project_opens_to_stop_a_model_whatever_its_files_say_now(
    project: Path, name: str, text: str, told: str
) -> None:
    with Platform.open(project) as platform:
        areas = platform.areas
    assert opened(project) == (areas, "")
    (project / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput):
        Platform.open(project)
    there, problem = opened(project)
    assert there == areas
    assert told in problem


def test_what_was_never_a_project_here_is_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no recloser\.toml"):
        Platform.open_to_stop(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_copy_follows_the_file_and_is_nobody_elses_to_read(project: Path) -> None:
    Platform.open(project).close()
    kept, file = Layout(project).state / KEPT, project / "recloser.toml"
    assert kept.read_bytes() == file.read_bytes()
    assert kept.stat().st_mode & 0o077 == 0
    file.write_text(file.read_text() + "\n# changed\n")
    Platform.open(project).close()
    assert kept.read_bytes() == file.read_bytes()
