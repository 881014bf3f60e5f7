"""A small project with a history, made once."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from recloser.core import Horizon
from recloser.features import FeatureSet
from recloser.testing import small_project


@pytest.fixture
def amsterdam() -> FeatureSet:
    """The standard features of a Dutch area."""
    return FeatureSet.standard(Horizon(ZoneInfo("Europe/Amsterdam"), timedelta(hours=1)), "NL", None)


@pytest.fixture(scope="session")
def _history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project(tmp_path_factory.mktemp("pipeline") / "grid")


@pytest.fixture
def project(_history: Path, tmp_path: Path) -> Path:
    """A project of one's own with 120 days of history."""
    return Path(shutil.copytree(_history, tmp_path / "grid"))
