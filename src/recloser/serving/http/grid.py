"""Owns the grid's own endpoints under /v1: areas, events and route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from recloser.core import canonical_json
from recloser.serving.http.edge import json_response
from recloser.serving.http.events import Event
from recloser.serving.http.service import Service
from recloser.serving.route import arm_of, lease_expired


class Grid:
    """Endpoints under `/v1`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def areas(self, _: Request) -> Response:
        """List the areas with who is meant to answer for them and their limits."""
        known = await to_thread.run_sync(self._service.forecasts.areas)
        gateway, now = self._service.gateway, self._service.clock.now()
        route, rows = gateway.route, []
        for area in known:
            limits = gateway.limits.get(area)
            bounds = None if limits is None else [limits.minimum_mw, limits.maximum_mw]
            arm = "champion" if route.canary in gateway.tripped else arm_of(route, area, now)
            rows.append({"area": area, "arm": arm, "limits_mw": bounds})
        return json_response({"areas": rows})

    async def route(self, _: Request) -> Response:
        """Tell the route in force, trips, lease, whether answers are being logged, and what each worker follows."""
        gateway, now = self._service.gateway, self._service.clock.now()
        route = gateway.route
        state = {"tripped": gateway.tripped, "lease_expired": lease_expired(route, now), "loaded": gateway.loaded}
        log = None if self._service.log is None else self._service.log.status().to_dict()
        colleagues = self._service.colleagues
        workers = [] if colleagues is None else await to_thread.run_sync(colleagues.states)
        return json_response({**route.to_dict(), **state, "prediction_log": log, "workers": workers})

    async def events(self, request: Request) -> Response:
        """Stream events as they happen, after `Last-Event-ID` if one is given."""
        last = request.headers.get("last-event-id", "").strip()
        if last and not (last.isascii() and last.isdigit() and len(last) < 19):
            raise HTTPException(400, "Last-Event-ID must be an id of this stream, a whole number.")
        lines = _lines(self._service, int(last) if last else None)
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return StreamingResponse(lines, media_type="text/event-stream", headers=headers)


def event_text(event: Event) -> bytes:
    """Return one server-sent event (WHATWG HTML, 9.2)."""
    return f"id: {event.id}\nevent: {event.kind}\ndata: ".encode() + canonical_json(event.data) + b"\n\n"


async def _lines(service: Service, after: int | None) -> AsyncIterator[bytes]:
    """Yield events, and a comment whenever the stream is silent for too long; leaves nothing running behind."""
    yield b"retry: 2000\n\n"
    async with aclosing(service.events.stream(after)) as stream:
        while True:
            upcoming = asyncio.ensure_future(anext(stream, None))
            try:
                while not (await asyncio.wait({upcoming}, timeout=service.keep_alive_s))[0]:
                    yield b": still here\n\n"
            finally:
                if not upcoming.done():
                    upcoming.cancel()
                    with suppress(asyncio.CancelledError):
                        await upcoming
            event = upcoming.result()
            if event is None:
                return
            yield event_text(event)
