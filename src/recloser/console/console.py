"""Owns the Console: the web application of the pages. Draws nothing itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from recloser.app import ControlRoom, OverviewAsk
from recloser.console.live import MOST, Pulse, stream
from recloser.console.pages.area import area_page
from recloser.console.pages.overview import overview_page
from recloser.console.pages.releases import release_page, releases_page
from recloser.console.pages.shell import Shell, problem
from recloser.core import Clock, InvalidInput, RecloserError, jsonable, parse_utc, parse_zone

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
FILES = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
LONGEST_NAME = 200
ASKED = {"area", "release", "until"}
"""Where an error lies that is about what was asked for, not about the project."""


class Console:
    """The control-room pages of one project.

    Args:
        folder: project.
        clock: the present, None for the machine's clock.
    """

    def __init__(self, folder: Path, clock: Clock | None) -> None:
        self._room = ControlRoom(folder, clock)
        self._standing = clock is not None
        self._pulse = Pulse(self._room)
        package = resources.files("recloser.console.static")
        self._files = {name: package.joinpath(name).read_bytes() for name in FILES}

    def app(self) -> Starlette:
        """Return the ASGI application; every page has the same address with .json for its data."""
        return Starlette(
            routes=[
                Route("/", self._page(self.overview)),
                Route("/overview.json", self._data(self.overview_data)),
                Route("/area", self._page(self.area)),
                Route("/area.json", self._data(self.area_data)),
                Route("/releases", self._page(self.releases)),
                Route("/releases.json", self._data(self.releases_data)),
                Route("/release", self._page(self.release)),
                Route("/release.json", self._data(self.release_data)),
                Route("/events", self.events),
                Route("/static/{name}", self.static),
            ],
            lifespan=self._lifespan,
        )

    def overview(self, request: Request) -> str:
        """Return level 1."""
        ask = _overview_ask(request)
        view = self._room.overview(ask)
        return overview_page(self._shell("/", view["now"]), view, ask.find, abnormal=ask.abnormal)

    def overview_data(self, request: Request) -> object:
        """Return level 1 as data."""
        return self._room.overview(_overview_ask(request))

    def area(self, request: Request) -> str:
        """Return level 2 of an area."""
        view = self._area(request)
        return area_page(self._shell("/area", view["now"]), view)

    def area_data(self, request: Request) -> object:
        """Return level 2 as data."""
        return self._area(request)

    def releases(self, request: Request) -> str:
        """Return level 3, all releases."""
        view = self._room.releases(_number(request, "page"))
        return releases_page(self._shell("/releases", view["now"]), view)

    def releases_data(self, request: Request) -> object:
        """Return level 3, all releases, as data."""
        return self._room.releases(_number(request, "page"))

    def release(self, request: Request) -> str:
        """Return level 3 of one release."""
        view = self._room.release(_word(request, "name"))
        return release_page(self._shell("/release", view["now"]), view)

    def release_data(self, request: Request) -> object:
        """Return level 3 of one release as data."""
        return self._room.release(_word(request, "name"))

    def _area(self, request: Request) -> dict[str, object]:
        until = request.query_params.get("until")
        at: datetime | None = None if not until else parse_utc(until, "until").astimezone(UTC)
        return self._room.area(_word(request, "name"), at)

    async def events(self, _request: Request) -> Response:
        """Tell an open page whenever there is something new."""
        if self._pulse.listeners >= MOST:
            return JSONResponse({"error": "too many open pages"}, status_code=503, headers=HEADERS)
        return StreamingResponse(stream(self._pulse, self._room), media_type="text/event-stream", headers=HEADERS)

    def static(self, request: Request) -> Response:
        """Give a file that pages load."""
        name = request.path_params["name"]
        if name not in self._files:
            raise HTTPException(404)
        return Response(self._files[name], media_type=FILES[name], headers={**HEADERS, "cache-control": "no-cache"})

    def _shell(self, place: str, now: object) -> Shell:
        zone = parse_zone(self._room.zone_name())
        return Shell(
            self._room.name(), parse_utc(str(now)), zone, self._standing, length=self._room.length(), place=place
        )

    def _page(self, made: Callable[[Request], str]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            try:
                return HTMLResponse(made(request), headers=HEADERS)
            except RecloserError as error:
                return HTMLResponse(problem(error.explain()), status_code=_status(error), headers=HEADERS)

        return endpoint

    def _data(self, made: Callable[[Request], object]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            try:
                return JSONResponse(jsonable(made(request)), headers=HEADERS)
            except RecloserError as error:
                return JSONResponse(error.facts(), status_code=_status(error), headers=HEADERS)

        return endpoint

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._pulse.stop()
            self._room.close()


def _status(error: RecloserError) -> int:
    """Return 404 for what was asked for and is not there; 503 where the project itself cannot be shown now."""
    return 404 if isinstance(error, InvalidInput) and error.facts().get("where") in ASKED else 503


def _word(request: Request, name: str) -> str:
    return request.query_params.get(name, "")[:LONGEST_NAME]


def _number(request: Request, name: str) -> int:
    word = _word(request, name)
    return int(word) if word.isascii() and word.isdigit() and len(word) < 8 else 1


def _overview_ask(request: Request) -> OverviewAsk:
    return OverviewAsk(
        _number(request, "page"), _word(request, "find").strip(), abnormal=_word(request, "abnormal") == "1"
    )
