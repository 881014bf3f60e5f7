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


LEASED = "shadow_days = 1\nlease_seconds = 200000"  # issues are a day apart here
SLOW_STEPS, QUICK_STEPS = "canary_steps = [[0.25, 7], [0.5, 7]]", "canary_steps = [[0.5, 30]]"


def lived_project(
    folder: Path, *, days: int = 10, settings: str = QUICK, rival_after: int | None = None
) -> tuple[Path, datetime]:
    """Make a small project, train its first model and make the issues of its last days.

    Args:
        folder: where to make it.
        days: how many issues are made.
        settings: further TOML tables.
        rival_after: after so many days another candidate is trained; it is a canary for half of the areas after one
            more. None for none.

    Returns:
        The folder, and the instant (aware UTC) it stands at: two hours after the last issue.

    Raises:
        RecloserError: the first model does not come about.
    """
    small_project(folder, days=LEARNED_DAYS + days + SPARE_DAYS, settings=settings)
    begin = FIRST + timedelta(days=LEARNED_DAYS)
    run_pipeline(folder, as_of=begin, engine="local", progress=lambda _line: None)
    end = begin + timedelta(days=days)
    if rival_after is not None:
        _hurry(folder / "recloser.toml")
        middle = begin + timedelta(days=rival_after)
        live_on(folder, begin, middle)
        run_pipeline(folder, as_of=middle, engine="local", progress=lambda _line: None)
        begin = middle
    return folder, live_on(folder, begin, end)


def live_on(folder: Path, start: datetime, end: datetime) -> datetime:
    """Make the issues in [start, end), aware UTC, and return the instant two hours after the last of them."""
    clock = VirtualClock(start)
    with Platform.open(folder, clock=clock) as platform:
        loop = ControlLoop(platform, LoopOptions(retrain=False))
        for issue in platform.horizon.issues(start, end):
            clock.advance_to(issue)
            loop.cycle(issue)
        return clock.now() + timedelta(hours=2)


def _hurry(file: Path) -> None:
    """Let a candidate get traffic after a day in the shadow, and keep it as canary."""
    text = file.read_text(encoding="utf-8")
    hurried = text.replace("shadow_days = 7", LEASED).replace(SLOW_STEPS, QUICK_STEPS)
    file.write_text(hurried, encoding="utf-8")
