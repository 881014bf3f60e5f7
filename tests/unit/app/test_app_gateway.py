"""The gateway process of `up`: what it learns before it can answer, and what it serves with."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from recloser.app import run_pipeline
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.platform import Platform
from recloser.app.processes.following import RouteFollower
from recloser.app.processes.server import config_of, gateway_app, gateway_service
from recloser.core import LOAD, QUANTILES, VirtualClock
from recloser.ledger import StateRecord
from recloser.models import Calibration
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
        follower.begin()
        assert sorted(loop.router.limits) == known
        assert sorted(loop.router.gateway.limits) == known
        service = gateway_service(platform, loop, EventBuffer())
        assert gateway_app(service, "127.0.0.1", 0).routes


def test_limits_are_learned_again_and_sooner_while_an_area_is_unknown(project: Path) -> None:
    file = project / "recloser.toml"
    for areas, waits in (('["F01", "F02"]', timedelta(days=91)), ('["F01", "F02", "F09"]', timedelta(hours=1))):
        file.write_text(re.sub(r"areas = .*", f"areas = {areas}", file.read_text("utf-8"), count=1), encoding="utf-8")
        with Platform.open(project) as platform:
            extent = platform.store.extent(LOAD)
            assert extent is not None
            clock = platform.clock = VirtualClock(extent[1])
            loop = ControlLoop(platform, LoopOptions())
            follower = RouteFollower(platform, loop, EventBuffer(), 0)
            follower.begin()
            first = loop.router.limits
            assert sorted(first) == ["F01", "F02"]
            clock.advance_to(extent[1] + waits - timedelta(seconds=1))
            follower.begin()
            assert loop.router.limits is first
            clock.advance_to(extent[1] + waits)
            follower.begin()
            assert loop.router.limits is not first
            assert sorted(loop.router.gateway.limits) == ["F01", "F02"]


OWN_COLUMN = """
from dataclasses import replace

import polars as pl

from recloser.features import Extra


def build_features(standard):
    freezing = (pl.col("temperature_c") < 0).cast(pl.Float32)
    return replace(standard, extra=(Extra("freezing", freezing, known_ahead=True),))
"""


def test_the_gateway_takes_over_the_offsets_that_the_controller_learned(project: Path) -> None:
    ran = run_pipeline(project, as_of=None, engine="local", progress=lambda _line: None)
    with Platform.open(project) as platform:
        extent = platform.store.extent(LOAD)
        assert extent is not None
        now = extent[1] + timedelta(hours=9)
        platform.clock = VirtualClock(now)
        loop = ControlLoop(platform, LoopOptions())
        follower = RouteFollower(platform, loop, EventBuffer(), 0)
        follower.begin()
        assert loop.router.gateway.route.champion == ran["candidate"]
        assert platform.load(ran["candidate"]).online is None
        for k in (1, 2):
            learned = replace(Calibration.none(QUANTILES), rows=k)
            state = StateRecord(
                f"online/{ran['candidate']}", now + k * timedelta(hours=1), {"calibration": learned.to_dict()}
            )
            with platform.ledger.change("test", now) as change:
                change.put(state)
                change.note("test", "online", {})
            follower.follow()
            assert platform.load(ran["candidate"]).online == learned
        platform.forget(())  # as when two other releases have served since, and a rollback returns to this one
        platform.load(ran["candidate"])
        follower.follow()
        assert platform.load(ran["candidate"]).online == learned


class Defective(RouteFollower):
    """Meets a defect the first time it announces; tells when it got over it."""

    def __init__(self, platform: Platform, loop: ControlLoop) -> None:
        super().__init__(platform, loop, EventBuffer(), 0)
        self.met, self.again = False, threading.Event()

    def _announce(self) -> None:
        if not self.met:
            self.met = True
            raise ZeroDivisionError
        self.again.set()


def test_a_defect_does_not_end_the_following(project: Path) -> None:
    with Platform.open(project) as platform:
        follower = Defective(platform, ControlLoop(platform, LoopOptions()))
        follower.start()
        assert follower.again.wait(30)
        follower.stop()
        follower.join(30)
        assert not follower.is_alive()


def test_the_gateway_reads_the_projects_code_again_when_a_release_needs_it(project: Path) -> None:
    with Platform.open(project) as platform:
        loop = ControlLoop(platform, LoopOptions())
        follower = RouteFollower(platform, loop, EventBuffer(), 0)
        (project / "pipeline.py").write_text(OWN_COLUMN, encoding="utf-8")
        ran = run_pipeline(project, as_of=None, engine="local", progress=lambda _line: None)
        assert ran["verdict"] == "pass", ran["reason"]
        assert "freezing" not in platform.features.names
        follower.begin()
        assert loop.router.gateway.route.champion == ran["candidate"]
        assert "freezing" in platform.features.names


@pytest.mark.slow
def test_a_connection_that_was_unused_for_a_while_still_answers() -> None:
    server = uvicorn.Server(config_of(Starlette(), {}))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        link = http.client.HTTPConnection(*listening.getsockname(), timeout=60)
        link.request("GET", "/")
        assert link.getresponse().read()
        wire = link.sock
        time.sleep(6.0)  # uvicorn's own bound is 5 s
        link.request("GET", "/")
        assert link.getresponse().status == 404
        assert link.sock is wire
        link.close()
        server.should_exit = True
        thread.join()
