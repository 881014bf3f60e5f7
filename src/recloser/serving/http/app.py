"""Owns the web application: which path leads where. Starts no server; `app` gives it to uvicorn."""

from __future__ import annotations

import time

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send

from recloser.core import RecloserError
from recloser.serving.http.admission.admission import Admission
from recloser.serving.http.data import Infer, Invocations
from recloser.serving.http.edge import HEADER, json_response, on_crash, on_http_error, on_recloser_error, request_name
from recloser.serving.http.exposition import CONTENT_TYPE, Meter
from recloser.serving.http.forecasts import Forecasts
from recloser.serving.http.grid import Grid
from recloser.serving.http.hot import HotWay
from recloser.serving.http.lookup import Lookup
from recloser.serving.http.metadata import Metadata
from recloser.serving.http.openapi import openapi_document
from recloser.serving.http.people.endpoints import People
from recloser.serving.http.people.inlets import Inlets
from recloser.serving.http.service import Service
from recloser.serving.wire.figures import by_worker, text_of
from recloser.serving.wire.rows import quantile_names

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STREAMS = frozenset({"events"})


class Metered:
    """ASGI middleware that counts and times every request, and tells its name."""

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, begun = [500], time.perf_counter()

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, request_name(scope).encode())]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            handler = getattr(scope.get("endpoint"), "__name__", "none")
            method = scope["method"] if scope["method"] in METHODS else "other"
            seconds = None if handler in STREAMS else time.perf_counter() - begun
            self._meter.note(handler, method, status[0], seconds)


def build_app(service: Service, lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    """Return the ASGI application of the gateway; see docs/rooms/serving.md for its paths.

    Args:
        service: what is served.
        lifespan: what lives as long as the server, such as another transport.
    """
    meter, infer, invocations = service.meter, Infer(service), Invocations(service)

    async def openapi(_: Request) -> Response:
        """Give this document."""
        return json_response(document)

    routes = [*_routes(service, infer, invocations), Route("/openapi.json", openapi)]
    document = openapi_document(routes, quantile_names(service.gateway.quantiles))
    handlers = {RecloserError: on_recloser_error, HTTPException: on_http_error, Exception: on_crash}
    hot = Middleware(HotWay, infer=infer, invocations=invocations)
    middleware = [Middleware(Metered, meter=meter), Middleware(Admission, gate=service.gate), hot]
    return Starlette(routes=routes, exception_handlers=handlers, middleware=middleware, lifespan=lifespan)


def _routes(service: Service, infer: Infer, invocations: Invocations) -> list[Route]:
    metadata, grid, forecasts = Metadata(service), Grid(service), Forecasts(service)

    async def metrics(_: Request) -> Response:
        """Give counts and durations in Prometheus' text format."""
        figures = await to_thread.run_sync(service.figures)
        families = figures[""].families if "" in figures else by_worker(figures)
        page = text_of([*families, *await to_thread.run_sync(service.more)])
        return Response(page, media_type=None, headers={"content-type": CONTENT_TYPE})

    return [
        Route("/v2/models/{name}/infer", infer, methods=["POST"]),
        Route("/v2", metadata.server),
        Route("/v2/health/live", metadata.live),
        Route("/v2/health/ready", metadata.ready),
        Route("/v2/repository/index", metadata.index, methods=["POST"]),
        Route("/v2/models/stats", metadata.all_stats),
        Route("/v2/models/{name}", metadata.model),
        Route("/v2/models/{name}/ready", metadata.model_ready),
        Route("/v2/models/{name}/config", metadata.config),
        Route("/v2/models/{name}/stats", metadata.stats),
        Route("/v2/models/{name}/versions/{version}", metadata.model),
        Route("/v2/models/{name}/versions/{version}/ready", metadata.model_ready),
        Route("/v2/models/{name}/versions/{version}/config", metadata.config),
        Route("/v2/models/{name}/versions/{version}/stats", metadata.stats),
        Route("/v2/models/{name}/versions/{version}/infer", infer, methods=["POST"]),
        Route("/invocations", invocations, methods=["POST"]),
        Route("/ping", metadata.ping),
        Route("/health", metadata.ping),
        Route("/version", metadata.version),
        Route("/metrics", metrics),
        Route("/v1/areas", grid.areas),
        Route("/v1/forecasts", forecasts.forecasts),
        Route("/v1/forecasts/{id}", Lookup(service).by_id),
        Route("/v1/areas/{area:path}/forecast", forecasts.forecast),
        Route("/v1/events", grid.events),
        Route("/v1/route", grid.route),
        *People(service).routes(),
        *Inlets(service.inlets, service.access, service.body_limit).routes(),
    ]
