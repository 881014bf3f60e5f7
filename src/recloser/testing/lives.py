"""Owns whole lives of small projects for tests: a model trained, issues made day by day in virtual time."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from recloser.app import Platform, run_pipeline
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.core import VirtualClock
from recloser.testing.projects import FIRST, QUICK, small_project

LEARNED_DAYS = 106
SPARE_DAYS = 4  # of weather after the last issue, so that its forecasts have any


def lived_project(folder: Path, *, days: int = 10, settings: str = QUICK) -> tuple[Path, datetime]:
    """Make a small project, train its first model and make the issues of its last days.

    Args:
        folder: where to make it.
        days: how many issues are made.
        settings: further TOML tables.

    Returns:
        The folder, and the instant (aware UTC) it stands at: two hours after the last issue.

    Raises:
        RecloserError: the first model does not come about.
    """
    small_project(folder, days=LEARNED_DAYS + days + SPARE_DAYS, settings=settings)
    begin = FIRST + timedelta(days=LEARNED_DAYS)
    run_pipeline(folder, as_of=begin, engine="local", progress=lambda _line: None)
    return folder, live_on(folder, begin, begin + timedelta(days=days))


def live_on(folder: Path, start: datetime, end: datetime) -> datetime:
    """Make the issues in [start, end), aware UTC, and return the instant two hours after the last of them."""
    clock = VirtualClock(start)
    with Platform.open(folder, clock=clock) as platform:
        loop = ControlLoop(platform, LoopOptions(retrain=False))
        for issue in platform.horizon.issues(start, end):
            clock.advance_to(issue)
            loop.cycle(issue)
        return clock.now() + timedelta(hours=2)
