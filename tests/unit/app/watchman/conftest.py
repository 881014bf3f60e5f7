"""A small project whose model serves and has issued, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from recloser.app import current_forecast, run_pipeline
from recloser.testing import small_project


@pytest.fixture(scope="session")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_project(tmp_path_factory.mktemp("watched") / "grid")
    assert run_pipeline(folder, as_of=None, engine="local", progress=lambda _line: None)["verdict"] == "pass"
    current_forecast(folder, area=None, as_of=None)
    return folder


@pytest.fixture
def served(_served: Path, tmp_path: Path) -> Path:
    """A project of one's own whose model serves."""
    return Path(shutil.copytree(_served, tmp_path / "grid"))
