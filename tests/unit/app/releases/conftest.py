"""A small project whose first model serves, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from recloser.app import run_pipeline
from recloser.testing import small_project


@pytest.fixture(scope="session")
def _served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = small_project(tmp_path_factory.mktemp("releases") / "grid")
    outcome = run_pipeline(folder, as_of=None, engine="local", progress=lambda _line: None)
    assert outcome["verdict"] == "pass"
    return folder, outcome["candidate"]


@pytest.fixture
def release(_served: tuple[Path, str]) -> str:
    """The release that serves."""
    return _served[1]


@pytest.fixture
def served(_served: tuple[Path, str], tmp_path: Path) -> Path:
    """A project of one's own whose first model passed and serves."""
    return Path(shutil.copytree(_served[0], tmp_path / "served"))
