"""Limits of assets over a restart: those in force come back, those of a later time never."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from recloser.app import Platform
from recloser.app.loop.router import LocalRouter
from recloser.app.verbs import newest_instant


def test_limits_come_back_as_they_were_and_never_from_a_later_time(project: Path) -> None:
    with Platform.open(project) as platform:
        then = newest_instant(platform)
        first = LocalRouter(platform)
        first.refresh(then)
        first.remember(then)
        limits = dict(first._limits)
        assert set(limits) == {"F01", "F02"}
        again = LocalRouter(platform)
        again.refresh(then + timedelta(days=3))
        assert again._limits == limits
        # Years later, up by the clock of that day, nothing is known; then somebody runs the project in its data's time.
        later = LocalRouter(platform)
        later.refresh(then + timedelta(days=2000))
        later.remember(then + timedelta(days=2000))
        assert later._limits == {}
        back = LocalRouter(platform)
        back.refresh(then)
        assert back._limits == limits
