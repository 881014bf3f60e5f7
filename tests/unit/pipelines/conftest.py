"""A small project with a history, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from recloser.app import Platform
from recloser.core import Horizon, VirtualClock, format_utc
from recloser.engines import LocalEngine, RetryPolicy, RunOutcome, StepProgress
from recloser.features import FeatureSet
from recloser.pipelines import candidate_pipeline
from recloser.testing import small_project

NOW = datetime(2020, 4, 30, tzinfo=UTC)


def run_candidate(
    platform: Platform, key: str, progress: Callable[[StepProgress], None] | None = None, **more: Any
) -> RunOutcome:
    """Run the standard pipeline as of NOW with further parameters."""
    engine = LocalEngine(platform.ledger, platform.clock, RetryPolicy(), lambda _s: None, progress)
    parameters = {"as_of": format_utc(NOW), "run": key, "trigger": "api", **more}
    return engine.run(candidate_pipeline(), platform.workbench(), key, "api", "a test", parameters)


@pytest.fixture
def run() -> Callable[..., RunOutcome]:
    """Return how to run the standard pipeline as of NOW."""
    return run_candidate


@pytest.fixture
def amsterdam() -> FeatureSet:
    """The standard features of a Dutch area."""
    return FeatureSet.standard(Horizon(ZoneInfo("Europe/Amsterdam"), timedelta(hours=1)), "NL", None)


@pytest.fixture(scope="session")
def _history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project(tmp_path_factory.mktemp("pipeline") / "grid")


@pytest.fixture(scope="session")
def _ran(_history: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunOutcome]:
    folder = Path(shutil.copytree(_history, tmp_path_factory.mktemp("pipeline") / "ran"))
    with Platform.open(folder, clock=VirtualClock(NOW)) as platform:
        return folder, run_candidate(platform, "run-1")


@pytest.fixture
def ran(_ran: tuple[Path, RunOutcome], tmp_path: Path) -> tuple[Path, RunOutcome]:
    """A project in which run-1 was done as of NOW, and what it came to."""
    return Path(shutil.copytree(_ran[0], tmp_path / "ran")), _ran[1]


@pytest.fixture
def project(_history: Path, tmp_path: Path) -> Path:
    """A project of one's own with 120 days of history."""
    return Path(shutil.copytree(_history, tmp_path / "grid"))
