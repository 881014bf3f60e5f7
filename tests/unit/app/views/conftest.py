"""A project that has lived through a fortnight of issues, once for all tests of this folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from recloser.testing.lives import lived_project


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """Return the folder and the instant at which it stands."""
    return lived_project(tmp_path_factory.mktemp("lived") / "grid")


@pytest.fixture(scope="session")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """Return the same with a second release that is a canary."""
    return lived_project(tmp_path_factory.mktemp("rivals") / "grid", rival_after=4)
