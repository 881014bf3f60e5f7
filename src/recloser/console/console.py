"""Owns the Console: the web application of the pages, its routes and headers. Draws nothing itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from recloser.app import ControlRoom
from recloser.console.entry.acting import Acting
from recloser.console.entry.door import Door, Visit
from recloser.console.levels import Levels, word
from recloser.console.live import MOST, Pulse, state_of, stream
from recloser.console.pages.shell import problem
from recloser.core import Clock, InvalidInput, RecloserError, jsonable

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
FILES = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "stream.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
ASKED = {"area", "release", "until", "at"}
"""Where an error lies that is about what was asked for, not about the project."""


class Console:
    """The control-room pages of one project.

    Args:
        folder: project.
        clock: the present, None for the machine's clock.
    """

    def __init__(self, folder: Path, clock: Clock | None) -> None:
        self._room = ControlRoom(folder, clock)
        self._pulse = Pulse(self._room)
        self._door = Door(self._room, HEADERS, time.monotonic)
        self._acting = Acting(self._room, self._door, HEADERS)
        self._levels = Levels(self._room, self._door, standing=clock is not None)
        package = resources.files("recloser.console.static")
        self._files = {name: package.joinpath(name).read_bytes() for name in FILES}

    def app(self) -> Starlette:
        """Return the ASGI application; every page has the same address with .json for its data."""
        levels, door = self._levels, self._door
        return Starlette(
            routes=[
                Route("/", self._page(levels.overview)),
                Route("/overview.json", self._data(levels.overview_data)),
                Route("/area", self._page(levels.area)),
                Route("/area.json", self._data(levels.area_data)),
                Route("/releases", self._page(levels.releases)),
                Route("/releases.json", self._data(levels.releases_data)),
                Route("/release", self._page(levels.release)),
                Route("/release.json", self._data(levels.release_data)),
                Route("/dossier", self.dossier),
                Route("/alarms", self._page(levels.alarms)),
                Route("/alarms.json", self._data(levels.alarms_data)),
                Route("/why", self._page(levels.why)),
                Route("/why.json", self._data(levels.why_data)),
                Route("/theatre", self._page(levels.theatre)),
                Route("/theatre.json", self._data(levels.theatre_data)),
                Route("/diagnostics", self._page(levels.diagnostics)),
                Route("/diagnostics.json", self._data(levels.diagnostics_data)),
                Route("/act", self._acting.act, methods=["POST"]),
                Route("/sign-in", door.form, methods=["GET"]),
                Route("/sign-in", door.sign_in, methods=["POST"]),
                Route("/sign-in/provider", door.provider.leave),
                Route("/sign-in/provider/back", door.provider.arrive),
                Route("/sign-in/provider/logout", door.provider.departed, methods=["POST"]),
                Route("/sign-out", door.sign_out, methods=["POST"]),
                Route("/password", door.password, methods=["GET", "POST"]),
                Route("/events", self.events),
                Route("/events.json", self._data(self._state)),
                Route("/static/{name}", self.static),
            ],
            lifespan=self._lifespan,
        )

    async def events(self, request: Request) -> Response:
        """Tell an open page whenever there is something new."""
        try:
            visit = await to_thread.run_sync(self._door.visit, request)
        except RecloserError as error:
            return JSONResponse(error.facts(), status_code=503, headers=HEADERS)
        if visit is None:
            return JSONResponse({"error": "sign in first"}, status_code=401, headers=HEADERS)
        if self._pulse.listeners >= MOST:
            return JSONResponse({"error": "too many open pages"}, status_code=503, headers=HEADERS)
        return StreamingResponse(stream(self._pulse, self._room), media_type="text/event-stream", headers=HEADERS)

    def _state(self, _visit: Visit) -> object:
        """Return once what the stream tells, for browsers that cannot share one among their tabs."""
        return state_of(self._pulse, self._room)

    def dossier(self, request: Request) -> Response:
        """Give the signed dossier of a release as a file: a page to read, or with form=json the document."""
        name, as_json = word(request, "name"), word(request, "form") == "json"
        try:
            if self._door.visit(request) is None:
                return self._door.to_sign_in(request)
            text, page = self._room.dossier(name)
        except RecloserError as error:
            status = 404 if isinstance(error, InvalidInput) else 503
            return HTMLResponse(problem(error.explain()), status_code=status, headers=HEADERS)
        file = f"{name}.{'json' if as_json else 'html'}"  # a name of a release: of letters, digits and a hyphen
        headers = {**HEADERS, "content-disposition": f'attachment; filename="{file}"'}
        kind = "application/json" if as_json else "text/html"
        return Response(text if as_json else page, media_type=kind, headers=headers)

    def static(self, request: Request) -> Response:
        """Give a file that pages load."""
        name = request.path_params["name"]
        if name not in self._files:
            raise HTTPException(404)
        return Response(self._files[name], media_type=FILES[name], headers={**HEADERS, "cache-control": "no-cache"})

    def _page(self, made: Callable[[Visit], str]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            try:
                visit = self._door.visit(request)
                if visit is None:
                    return self._door.to_sign_in(request)
                return HTMLResponse(made(visit), headers=HEADERS)
            except RecloserError as error:
                return HTMLResponse(problem(error.explain()), status_code=_status(error), headers=HEADERS)

        return endpoint

    def _data(self, made: Callable[[Visit], object]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            try:
                visit = self._door.visit(request)
                if visit is None:
                    return JSONResponse({"error": "sign in first"}, status_code=401, headers=HEADERS)
                return JSONResponse(jsonable(made(visit)), headers=HEADERS)
            except RecloserError as error:
                return JSONResponse(error.facts(), status_code=_status(error), headers=HEADERS)

        return endpoint

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self._pulse.start()
        try:
            yield
        finally:
            self._pulse.stop()
            self._room.close()


def _status(error: RecloserError) -> int:
    """Return 404 for what was asked for and is not there; 503 where the project itself cannot be shown now."""
    return 404 if isinstance(error, InvalidInput) and error.facts().get("where") in ASKED else 503
