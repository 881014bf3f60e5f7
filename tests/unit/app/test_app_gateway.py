"""The gateway process of `up`: what it learns before it can answer, and what it serves with."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.platform import Platform
from recloser.app.processes.server import RouteFollower, gateway_app, gateway_service
from recloser.core import LOAD, VirtualClock
from recloser.serving.http import EventBuffer


@pytest.mark.parametrize(("later", "known"), [(timedelta(hours=9), ["F01", "F02"]), (timedelta(days=500), [])])
def test_the_gateway_learns_limits_from_loads_that_are_not_too_old(
    project: Path, later: timedelta, known: list[str]
) -> None:
    with Platform.open(project) as platform:
        extent = platform.store.extent(LOAD)
        assert extent is not None
        platform.clock = VirtualClock(extent[1] + later)
        loop = ControlLoop(platform, LoopOptions())
        assert loop.router.gateway.limits == {}
        follower = RouteFollower(platform, loop, EventBuffer(), 0)
        follower.follow()
        assert sorted(loop.router.limits) == known
        assert sorted(loop.router.gateway.limits) == known
        service = gateway_service(platform, loop, EventBuffer())
        assert gateway_app(service, "127.0.0.1", 0).routes
