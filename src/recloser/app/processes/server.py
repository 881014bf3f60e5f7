"""Owns the gateway process of `recloser up`: follows the ledger's route, serves HTTP. Decides nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.platform import Platform
from recloser.core import Clock, RecloserError, Unavailable
from recloser.ledger import Entry, ForecastRecord, RouteRecord
from recloser.rollout import served_of
from recloser.serving.http import CurrentForecast, EventBuffer, InputColumns, Service, build_app

POLL_S = 0.5
ANNOUNCED = {"forecast.issue": "forecast", "rollout.trip": "recall", "rollout.rollback": "recall"}


class LedgerForecasts:
    """The ForecastSource of the gateway: what the ledger holds."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def areas(self) -> list[str]:
        """Return the areas forecast, sorted."""
        return sorted(self._platform.areas)

    def current(self, area: str) -> CurrentForecast | None:
        """Return the newest valid forecast of the area with the recalled ids of the same issue."""
        found = self._platform.ledger.find(ForecastRecord, area=area, order_by="made_at", descending=True, limit=12)
        valid = [record for record in found if not record.void]
        if not valid:
            return None
        newest = valid[0]
        void = tuple(record.key for record in found if record.void and record.last_target >= newest.first_target)
        return CurrentForecast(served_of(newest), void)


class RouteFollower(threading.Thread):
    """Brings the ledger's route to this process's gateway every half second, and announces what happened.

    With the ledger gone the gateway goes on with the route it has; its lease then ends a canary by itself.
    """

    def __init__(self, platform: Platform, loop: ControlLoop, events: EventBuffer, clock: Clock) -> None:
        super().__init__(daemon=True, name="route-follower")
        self._platform = platform
        self._loop = loop
        self._events = events
        self._clock = clock
        self._ended = threading.Event()
        self._seen = self._newest()

    def run(self) -> None:
        """Follow until told to stop."""
        while not self._ended.wait(POLL_S):
            self.follow()

    def follow(self) -> None:
        """Take over the present route and announce new entries; what cannot be reached now is tried again."""
        try:
            route = self._platform.ledger.get(RouteRecord, "route")
            if route is not None and route != self._loop.router.current():
                self._loop.router.set_route(route)
            self._announce()
        except RecloserError:
            return

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()

    def _newest(self) -> int:
        entries = self._platform.ledger.entries(limit=None)
        return entries[-1].seq if entries else 0

    def _announce(self) -> None:
        for entry in self._platform.ledger.entries(after=self._seen):
            self._seen = entry.seq
            kind = ANNOUNCED.get(entry.action)
            if kind is not None:
                self._events.publish(kind, event_data(entry))


def event_data(entry: Entry) -> dict[str, Any]:
    """Return what consumers are told about an audit entry."""
    return {"at": entry.at, "what": entry.action, "subject": entry.subject, "facts": dict(entry.facts)}


def gateway_app(platform: Platform, loop: ControlLoop, events: EventBuffer) -> Starlette:
    """Return the ASGI application of a project's gateway."""

    def rollback(to: str | None, reason: str, actor: str) -> Mapping[str, Any]:
        outcome = loop.controller.rollback(reason=reason, actor=actor, to=to)
        route = platform.ledger.get(RouteRecord, "route")
        return {
            "released": None if outcome.rollout is None else outcome.rollout.release,
            "champion": None if route is None else route.champion,
            "epoch": None if route is None else route.epoch,
        }

    service = Service(
        gateway=loop.router.gateway,
        clock=platform.clock,
        columns=InputColumns(("scale_mw", *platform.features.names)),
        forecasts=LedgerForecasts(platform),
        events=events,
        rollback=rollback,
    )
    return build_app(service)


def serve(folder: Path, host: str, port: int, clock: Clock | None, ready: Callable[[str], None]) -> int:
    """Serve a project until the process is told to stop.

    Args:
        folder: project.
        host: address to listen on.
        port: port; 0 lets the system choose.
        clock: the present; None for the machine's clock.
        ready: told the address once it listens.

    Raises:
        Unavailable: the port is taken.
    """
    with Platform.open(folder, clock=clock) as platform:
        loop = ControlLoop(platform, LoopOptions())
        events = EventBuffer()
        follower = RouteFollower(platform, loop, events, platform.clock)
        follower.follow()
        listening = listen(host, port)
        config = uvicorn.Config(
            gateway_app(platform, loop, events), log_level="warning", access_log=False, timeout_graceful_shutdown=3
        )
        server = uvicorn.Server(config)
        follower.start()
        ready(f"http://{host}:{listening.getsockname()[1]}")
        try:
            server.run(sockets=[listening])
        finally:
            follower.stop()
            events.close()
            listening.close()
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        Unavailable: the address is taken or not ours.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Unavailable(
            "cannot listen", got=error.strerror, where=f"{host}:{port}", next_step="Choose another --host or --port."
        ) from error
    listening.listen(128)
    return listening


def due_issue(platform: Platform, now: datetime) -> datetime | None:
    """Return the latest issue not after `now` that was not issued yet, None if there is none due today."""
    issues = list(platform.horizon.issues(now - timedelta(hours=30), now + timedelta(seconds=1)))
    if not issues or platform.ledger.find(ForecastRecord, issued_at=issues[-1], limit=1):
        return None
    return issues[-1]
