"""Owns the door: who a request comes from, signing in and out, and what a person is told on the next page."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from recloser.app import ControlRoom, Session
from recloser.console.entry.forms import posted, safe_place
from recloser.console.entry.provider import ByProvider
from recloser.console.pages.entry import password_page, sign_in_page
from recloser.console.pages.shell import problem
from recloser.core import InvalidInput, RecloserError, Refused

COOKIE = "recloser_session"
ACTS, WITHIN_S = 30, 60.0
JUDGED_AT_ONCE = 2
"""Sign-ins that take a thread at once; others wait without one, so that pages go on."""
TOLD = 1_000
HEADERS = {"cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class Visit:
    """A request and who it comes from; `session` is None where nobody needs to sign in."""

    request: Request
    session: Session | None


class Door:
    """Finds who comes, and lets people in and out.

    Args:
        room: the project with its accounts.
        headers: of every answer.
        timer: monotonic seconds.
    """

    def __init__(self, room: ControlRoom, headers: dict[str, str], timer: Callable[[], float]) -> None:
        self._room, self._headers, self._timer = room, headers, timer
        self._judging = CapacityLimiter(JUDGED_AT_ONCE)
        self.provider = ByProvider(room, headers, enter, address_of)
        self._lock = threading.Lock()
        self._told: OrderedDict[str, tuple[str, bool]] = OrderedDict()
        self._acts: dict[tuple[str, bool], deque[float]] = {}

    def visit(self, request: Request) -> Visit | None:
        """Return who comes; None if somebody must sign in first.

        Raises:
            RecloserError: the ledger cannot be read now.
        """
        house = self._room.gatehouse
        if not house.required:
            return Visit(request, None)
        session = house.find(request.cookies.get(COOKIE, ""))
        return None if session is None else Visit(request, session)

    def to_sign_in(self, request: Request) -> Response:
        """Send somebody to the sign-in, from where he returns to what he wanted."""
        place = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?{urlencode({'back': safe_place(place)})}", 303, headers=self._headers)

    def form(self, request: Request) -> Response:
        """Show the sign-in."""
        return self._sign_in_page(request, safe_place(request.query_params.get("back", "/")))

    def _sign_in_page(self, request: Request, back: str, trouble: str = "", status: int = 200) -> Response:
        try:
            label, accounts = self.provider.ways()
        except RecloserError as error:
            return HTMLResponse(sign_in_page(back, error.explain()), status_code=503, headers=self._headers)
        page = sign_in_page(back, trouble, plain=_in_the_clear(request), provider=label, accounts=accounts)
        return HTMLResponse(page, status_code=status, headers=self._headers)

    async def sign_in(self, request: Request) -> Response:
        """Take name and password, and set the session's cookie."""
        back = "/"
        try:
            fields = await posted(request)
            back = safe_place(fields.get("back", "/"))
            name, password = fields.get("name", ""), fields.get("password", "")
            asked = (name, password, address_of(request))
            session = await to_thread.run_sync(self._room.gatehouse.sign_in, *asked, limiter=self._judging)
        except RecloserError as error:
            status = 429 if isinstance(error, Refused) else 400 if isinstance(error, InvalidInput) else 503
            return await to_thread.run_sync(self._sign_in_page, request, back, error.explain(), status)
        if session is None:
            wrong = "Name and password do not belong together."
            return await to_thread.run_sync(self._sign_in_page, request, back, wrong, 401)
        answer = RedirectResponse(back, 303, headers=self._headers)
        enter(request, answer, session)
        return answer

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        try:
            session, _ = await self.person(request)
            await to_thread.run_sync(self._room.gatehouse.sign_out, session)
        except RecloserError as error:
            return HTMLResponse(sign_in_page("/", error.explain()), status_code=403, headers=self._headers)
        if session.account.issuer is None:
            answer: Response = RedirectResponse("/sign-in", 303, headers=self._headers)
        else:
            answer = await to_thread.run_sync(self.provider.left, request)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    async def password(self, request: Request) -> Response:
        """Show the form for another password, or take it."""
        house, told = self._room.gatehouse, ""
        session = await to_thread.run_sync(house.find, request.cookies.get(COOKIE, ""))
        if session is None:
            return self.to_sign_in(request)
        if session.account.issuer is not None:
            words = f"Your password is kept by the identity provider: {session.account.issuer}"
            return HTMLResponse(problem(words, "Not here"), status_code=404, headers=self._headers)
        if request.method == "POST":
            try:
                session, fields = await self.person(request)
                old, new = fields.get("old", ""), fields.get("new", "")
                if new != fields.get("again"):
                    raise InvalidInput("the new password was not the same twice", where="password")
                asked = (session, old, new, address_of(request))
                await to_thread.run_sync(house.change_password, *asked, limiter=self._judging)
                return RedirectResponse("/sign-in", 303, headers=self._headers)
            except RecloserError as error:
                told = error.explain()
        page = password_page(session.csrf, told)
        return HTMLResponse(page, status_code=400 if told else 200, headers=self._headers)

    async def person(self, request: Request) -> tuple[Session, dict[str, str]]:
        """Return who posted a form, and its fields.

        Raises:
            Refused: nobody is signed in, or the form is not of this session.
            InvalidInput: not a form.
        """
        fields = dict(await posted(request))
        session = await to_thread.run_sync(self._room.gatehouse.find, request.cookies.get(COOKIE, ""))
        if session is None:
            raise Refused("nobody is signed in", next_step="Sign in; without accounts: recloser account add NAME.")
        if not session.made(fields.pop("csrf", "")):
            raise Refused("the form was not made for this session", next_step="Load the page again.")
        return session, fields

    def pace(self, session: Session, *, stops: bool) -> None:
        """See that a person, or what uses his session, does not act faster than a person.

        Args:
            session: who acts.
            stops: he stops what serves; that is counted by itself, so that no other act ever keeps him from it.

        Raises:
            Refused: too many acts within a minute.
        """
        now, about = self._timer(), (session.account.name, stops)
        with self._lock:
            acts = self._acts.setdefault(about, deque())
            while acts and now - acts[0] > WITHIN_S:
                acts.popleft()
            if len(acts) >= ACTS:
                raise Refused("too many acts within a minute", got=len(acts), expected=f"<= {ACTS}")
            acts.append(now)

    def tell(self, session: Session, sentence: str, *, well: bool) -> None:
        """Keep a sentence for the next page of this session."""
        with self._lock:
            self._told[session.csrf] = (sentence, well)
            while len(self._told) > TOLD:
                self._told.popitem(last=False)

    def told(self, session: Session | None) -> tuple[str, bool] | None:
        """Return what is to be told to this session now, once."""
        if session is None:
            return None
        with self._lock:
            return self._told.pop(session.csrf, None)


def enter(request: Request, answer: Response, session: Session) -> None:
    """Set the cookie of a session: out of reach of scripts and of other sites' requests."""
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, session.secret, httponly=True, samesite="strict", secure=secure, path="/")


def address_of(request: Request) -> str:
    """Return the address a request comes from."""
    return "unknown" if request.client is None else request.client.host


def _in_the_clear(request: Request) -> bool:
    """Return whether the password would cross a network unencrypted."""
    if request.url.scheme == "https":
        return False
    try:
        return not ipaddress.ip_address(address_of(request)).is_loopback
    except ValueError:
        return False
