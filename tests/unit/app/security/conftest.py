"""Certificates made for the tests, and a small project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recloser.testing import empty_project
from recloser.testing.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Callable[[str], Authority]:
    return lambda name: Authority(tmp_path, name)


@pytest.fixture
def grid(tmp_path: Path) -> Callable[[str], Path]:
    """Make a project with further settings."""
    return lambda settings="": empty_project(tmp_path / "grid", settings=settings)
