"""Owns the way in by an identity provider: out to it with a browser, back with its answer, and its page for leaving."""

from __future__ import annotations

import logging
from collections.abc import Callable

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from recloser.app import ControlRoom, Session, SingleSignOn
from recloser.console.entry.forms import posted, safe_place
from recloser.console.pages.entry import arrived_page, left_page, sign_in_page
from recloser.core import InvalidInput, RecloserError, Refused

LOG = logging.getLogger(__name__)
LEAVES, RETURNS = "/sign-in/provider", "/sign-in/provider/back"
COOKIE, COOKIE_S = "recloser_leaving", 600
LONGEST = 4_096
"""Characters of each parameter that a provider sends back."""


class ByProvider:
    """The endpoints of signing in by a provider.

    Args:
        room: the project.
        headers: of every answer.
        enter: sets the cookie of a session.
        address: tells where a request comes from.
    """

    def __init__(
        self,
        room: ControlRoom,
        headers: dict[str, str],
        enter: Callable[[Request, Response, Session], None],
        address: Callable[[Request], str],
    ) -> None:
        self._room, self._headers, self._enter, self._address = room, headers, enter, address

    def leave(self, request: Request) -> Response:
        """Send a browser to the provider."""
        back, house = safe_place(request.query_params.get("back", "/")), self._room.gatehouse
        try:
            single = self._single()
            house.require_patience("", self._address(request))
            leaving = single.begin(self._returns(request, single.section.public_url), back)
        except RecloserError as error:
            return self._trouble(error, back)
        answer = RedirectResponse(leaving.url, 303, headers=self._headers)
        secure = request.url.scheme == "https"
        # Lax: the provider's page sends the browser back, and a strict cookie would stay behind
        answer.set_cookie(
            COOKIE, leaving.browser, max_age=COOKIE_S, httponly=True, samesite="lax", secure=secure, path=LEAVES
        )
        return answer

    def arrive(self, request: Request) -> Response:
        """Take the provider's answer and let the person in, or say why not."""
        house, address, name = self._room.gatehouse, self._address(request), "unknown"
        try:
            house.require_patience("", address)
            arrival = self._single().finish(_asked(request), request.cookies.get(COOKIE, ""))
            name = arrival.identity.name
            session = house.welcome(arrival.identity, address)
        except (Refused, InvalidInput) as error:
            return self._turned_away(error, name, address)
        except RecloserError as error:
            return self._trouble(error, "/")
        # A page of ours goes on: a strict cookie is not sent along where another site's page has led to
        answer = HTMLResponse(arrived_page(arrival.back), headers=self._headers)
        answer.delete_cookie(COOKIE, path=LEAVES, httponly=True, samesite="lax")
        self._enter(request, answer, session)
        return answer

    def left(self, request: Request) -> Response:
        """Say that somebody has signed out here, and where he may at the provider too."""
        single = self._room.gatehouse.single()
        if single is None:
            return RedirectResponse("/sign-in", 303, headers=self._headers)
        after = self._returns(request, single.section.public_url).removesuffix(RETURNS) + "/sign-in"
        return HTMLResponse(left_page(single.leave(after), single.section.label), headers=self._headers)

    async def departed(self, request: Request) -> Response:
        """Take the provider's word that somebody has left, sent by itself, not by a browser.

        Answers as OpenID Connect Back-Channel Logout 1.0, 2.8, says: 200, or 400 with what does not fit.
        """
        try:
            token = (await posted(request)).get("logout_token", "")
            await to_thread.run_sync(self._room.gatehouse.departed, token)
        except RecloserError as error:
            LOG.warning("a logout token is refused: %s", error.explain())
            told = {"error": "invalid_request", "error_description": error.what}
            return JSONResponse(told, status_code=400, headers=self._headers)
        return Response(status_code=200, headers=self._headers)

    def _single(self) -> SingleSignOn:
        single = self._room.gatehouse.single()
        if single is None:
            raise InvalidInput("no provider to sign in by", where="console.oidc")
        return single

    def _turned_away(self, error: RecloserError, name: str, address: str) -> Response:
        try:
            self._room.gatehouse.turned_away(name, address, error.explain())
        except RecloserError as other:
            return self._trouble(other, "/")
        return self._trouble(error, "/")

    def _trouble(self, error: RecloserError, back: str) -> Response:
        status = 403 if isinstance(error, Refused) else 400 if isinstance(error, InvalidInput) else 503
        try:
            ways = self.ways()
        except RecloserError:
            ways = (None, True)
        page = sign_in_page(back, error.explain(), provider=ways[0], accounts=ways[1])
        return HTMLResponse(page, status_code=status, headers=self._headers)

    def ways(self) -> tuple[str | None, bool]:
        """Return the provider's label, None without one, and whether people may sign in by name and password.

        Raises:
            RecloserError: the project cannot be read now.
        """
        house = self._room.gatehouse
        single = house.single()
        return None if single is None else single.section.label, house.has_accounts or single is None

    @staticmethod
    def _returns(request: Request, public_url: str | None) -> str:
        base = public_url or f"{request.url.scheme}://{request.url.netloc}"
        return base.rstrip("/") + RETURNS


def _asked(request: Request) -> dict[str, str]:
    """Return the parameters that the provider sent the browser back with, each once.

    Raises:
        InvalidInput: one stands twice.
    """
    pairs = request.query_params.multi_items()
    asked = {key: text[:LONGEST] for key, text in pairs}
    if len(asked) < len(pairs):
        raise InvalidInput("a parameter that stands twice", where="address")
    return asked
