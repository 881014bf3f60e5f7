"""A small project with a history, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from recloser.testing import small_project


@pytest.fixture(scope="session")
def _history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project(tmp_path_factory.mktemp("app") / "grid")


@pytest.fixture
def project(_history: Path, tmp_path: Path) -> Path:
    """A project of one's own with 120 days of history and no model."""
    return Path(shutil.copytree(_history, tmp_path / "grid"))
