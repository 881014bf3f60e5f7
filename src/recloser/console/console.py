"""Owns the Console: the web application of the pages. Draws nothing itself."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from recloser.app import Platform, overview
from recloser.console.overview import overview_page, problem_page
from recloser.core import Clock, RecloserError, jsonable

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Console:
    """The control-room pages of one project; read only in this version.

    Args:
        folder: project.
        clock: the present, None for the machine's clock.
    """

    def __init__(self, folder: Path, clock: Clock | None) -> None:
        self._folder = folder
        self._clock = clock

    def app(self) -> Starlette:
        """Return the ASGI application: / is the overview, /overview.json the same as data."""
        return Starlette(routes=[Route("/", self.page), Route("/overview.json", self.data)])

    def page(self, _request: Request) -> HTMLResponse:
        """Show the overview, or what keeps it from being shown."""
        try:
            with Platform.open(self._folder, clock=self._clock) as platform:
                return HTMLResponse(overview_page(overview(platform)), headers=HEADERS)
        except RecloserError as error:
            return HTMLResponse(problem_page(error.explain()), status_code=503, headers=HEADERS)

    def data(self, _request: Request) -> JSONResponse:
        """Give the overview as JSON, or the facts of what keeps it from being given."""
        try:
            with Platform.open(self._folder, clock=self._clock) as platform:
                return JSONResponse(jsonable(overview(platform)), headers=HEADERS)
        except RecloserError as error:
            return JSONResponse(error.facts(), status_code=503, headers=HEADERS)
