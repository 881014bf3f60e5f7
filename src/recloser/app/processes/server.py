"""Owns the gateway process of `recloser up`: follows the ledger's route, serves HTTP and gRPC. Decides nothing."""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from recloser.app.cluster.hosting import host_releases
from recloser.app.events.report import detector_document, detector_families
from recloser.app.inlets.receiving import ProjectInlets
from recloser.app.links.state import LinkFolders
from recloser.app.links.telling import link_families
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.people.desk import LoopDesk
from recloser.app.platform import Platform
from recloser.app.predictions.forecasts import LedgerForecasts
from recloser.app.predictions.opening import gateway_log
from recloser.app.processes.announcing import events_so_far
from recloser.app.processes.figures import Publishing, SharedFigures
from recloser.app.processes.following import RouteFollower
from recloser.app.processes.hosts.identity import Identity
from recloser.app.security.gatekeeping import (
    GrpcSecurity,
    access_of,
    audit_of,
    grpc_security,
    limits_of,
    scheme_of,
    uvicorn_options,
)
from recloser.core import Clock, Unavailable
from recloser.ledger import ForecastRecord
from recloser.serving.grpc import grpc_lifespan
from recloser.serving.http import Colleagues, EventBuffer, InputColumns, Service, build_app
from recloser.serving.log import AnswerLog, StandbyLog
from recloser.serving.plane import DataPlane
from recloser.serving.wire.figures import Family

LISTENING = "RECLOSER_LISTENING"
"""Environment variable with the descriptor of the socket that the workers share; set by the supervisor."""
WORKER = "RECLOSER_WORKER"
"""Environment variable with the name of this process among them."""
KEEP_ALIVE_S = 75
"""A connection may be unused so long. One that is closed at the moment in which its caller uses it again loses the
request: so it is longer than callers and proxies keep theirs, 60 s as a rule."""


def gateway_service(
    platform: Platform,
    loop: ControlLoop,
    events: EventBuffer,
    log: AnswerLog | None = None,
    colleagues: Colleagues | None = None,
) -> Service:
    """Return what the transports of a project's gateway serve."""
    tracing = platform.tracing
    return Service(
        plane_of=DataPlane if tracing is None else tracing.plane,
        gateway=loop.router.gateway,
        clock=platform.clock,
        columns_at_first=InputColumns(("scale_mw", *platform.features.names)),
        forecasts=LedgerForecasts(platform),
        events=events,
        desk=LoopDesk(loop),
        inlets=ProjectInlets(platform),
        access=access_of(platform),
        body_limit=int(platform.project.gateway.limits.body_mb * 1_000_000),
        log=log,
        limits=limits_of(platform),
        audit=audit_of(platform),
        colleagues=colleagues,
        more=lambda: more_families(platform),
    )


def more_families(platform: Platform) -> list[Family]:
    """Return the figures of links, and of detection in a project that detects events."""
    now = platform.clock.now()
    found = link_families(platform.project.links.devices, LinkFolders(platform.layout.links), now)
    if platform.detects:
        found += detector_families(detector_document(platform.ledger, platform.layout.windows.parent, now))
    return found


def gateway_app(service: Service, host: str, grpc_port: int, tls: GrpcSecurity | None = None) -> Starlette:
    """Return the ASGI application of a gateway; its lifespan opens the gRPC port too, unless that is 0.

    Raises:
        Unavailable: the gRPC port is taken, or the extra `grpc` is not installed.
    """
    if grpc_port == 0:
        return build_app(service)
    probe = listen(host, grpc_port)
    probe.close()
    return build_app(service, grpc_lifespan(service, host, grpc_port, tls=tls))


def config_of(app: ASGIApp, options: Mapping[str, Any]) -> uvicorn.Config:
    """Return how uvicorn serves a gateway's application, with the options of its security."""
    return uvicorn.Config(
        app,
        log_config=None,  # what it logs goes where this process's log goes
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=KEEP_ALIVE_S,
        **options,
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway process serves, and as which of those that share the port.

    Attributes:
        host, port: address to listen on; port 0 lets the system choose.
        worker: name of this process among them.
        inherited: descriptor of the socket they share, or None to listen for oneself.
    """

    host: str
    port: int
    worker: str = "1"
    inherited: int | None = None

    def listening(self) -> socket.socket:
        """Return the listening socket.

        Raises:
            Unavailable: the port is taken.
        """
        return listen(self.host, self.port) if self.inherited is None else socket.socket(fileno=self.inherited)


def serve(folder: Path, place: Place, clock: Clock | None, ready: Callable[[str], None]) -> int:
    """Serve a project until the process is told to stop.

    Args:
        folder: project.
        place: where to listen.
        clock: the present; None for the machine's clock.
        ready: told the address once it listens.

    Raises:
        Unavailable: the port is taken.
    """
    with Platform.open(folder, clock=clock, apart=True) as platform:
        host_releases(platform)
        loop = ControlLoop(platform, LoopOptions())
        events, seen = events_so_far(platform.ledger)
        who = Identity.here(place.worker, place.port)
        follower = RouteFollower(platform, loop, events, seen, who)
        follower.begin()
        listening = place.listening()
        ending = Ending()
        log = gateway_log(platform) if clock is None else None  # a standing clock shows what is over
        colleagues = SharedFigures(platform.layout.state, who, platform.project.gateway.workers)
        service = gateway_service(platform, loop, events, log, colleagues)
        publishing = Publishing(service.figures)
        grpc_port = platform.project.gateway.grpc_port if place.worker == "1" else 0  # one of several workers has it
        app = gateway_app(service, place.host, grpc_port, grpc_security(platform))
        traced = app if platform.tracing is None else platform.tracing.web(app)
        server = uvicorn.Server(config_of(traced, uvicorn_options(platform)))
        ending.of(server)
        follower.start()
        publishing.start()
        gc.collect()
        gc.freeze()  # what is loaded stays; the collector need not look through it again and again
        ready(f"{scheme_of(platform.project.gateway.tls)}://{place.host}:{listening.getsockname()[1]}")
        try:
            server.run(sockets=[listening])
        finally:
            follower.stop()
            publishing.stop()
            close_gateway(service, events, listening, log)
    return 0


def close_gateway(service: Service, events: EventBuffer, listening: socket.socket, log: StandbyLog | None) -> None:
    """Close what a gateway that serves no more has open, in the order that loses nothing."""
    events.close()
    listening.close()
    service.plane.close()  # evidence that follows an answer, before its log ends
    if log is not None:
        log.close()


class Ending:
    """Lets SIGTERM and SIGINT only end the serving, so that what comes after it is done, above all closing the log.

    Uvicorn raises a signal again once it has stopped serving; by default that would end the process right there.
    """

    def __init__(self) -> None:
        self._told = False
        self._server: uvicorn.Server | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self)

    def __call__(self, *_: object) -> None:
        """Note the signal."""
        self._told = True
        if self._server is not None:
            self._server.should_exit = True

    def of(self, server: uvicorn.Server) -> None:
        """End this server when told to, at once if that has happened."""
        self._server = server
        server.should_exit = self._told


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
    if platform.detects:  # every window is answered at once
        return None
    issues = list(platform.horizon.issues(now - timedelta(hours=30), now + timedelta(seconds=1)))
    if not issues or platform.ledger.find(ForecastRecord, issued_at=issues[-1], limit=1):
        return None
    return issues[-1]
