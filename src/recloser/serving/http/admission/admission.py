"""Owns the gate that every HTTP request passes: token and scope, rate, load, and the note of each operation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from http import HTTPStatus

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recloser.serving.http.admission.limits import TrafficLimits
from recloser.serving.http.admission.load import Load
from recloser.serving.http.admission.rates import Rates
from recloser.serving.http.admission.scopes import AUDITED, Audit, Call, priority_of, scope_of
from recloser.serving.http.edge import Access, problem
from recloser.serving.http.exposition import Meter

STREAMS = frozenset({"/v1/events"})
"""Paths whose answers last; they are bounded by the number of connections."""

NOTES_PER_SECOND, NOTES_AT_ONCE = 1.0, 20


class Admission:
    """ASGI middleware in front of everything: who calls, how often, and is there room. Costs a few microseconds.

    Refusals come before the body is read: 401 and 403, 429 for a caller that is too fast, 503 when there is too much
    to do, both with Retry-After. Each call that needs 'operate' or 'admin' is told to `audit`, refused ones too, those
    not more often than once a second.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        limits: TrafficLimits,
        audit: Audit | None = None,
        *,
        meter: Meter,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._access = access
        self._audit = audit
        self._meter = meter
        self._rates = Rates(limits.requests_per_second, limits.burst, timer)
        self._notes = Rates(NOTES_PER_SECOND, NOTES_AT_ONCE, timer)
        self._unnoted = 0
        self.load = Load(limits, timer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        needed = scope_of(method, path)
        actor, refusal = self._judge(scope, needed)
        if refusal is not None:
            await refusal(scope, receive, send)
            await self._note(Call(actor, needed, method, path[:200], refusal.status_code))
            return
        counted = path not in STREAMS
        self.load.under_way += counted
        try:
            if needed in AUDITED:
                await self._audited(scope, receive, send, Call(actor, needed, method, path[:200], 500))
            else:
                await self._app(scope, receive, send)
        finally:
            self.load.under_way -= counted

    def _judge(self, scope: Scope, needed: str) -> tuple[str, Response | None]:
        """Return who calls, and the refusal if the request must not pass."""
        self.load.beat()
        client = (scope.get("client") or ("",))[0]
        actor = client
        if self._access.required:
            try:
                actor = self._access.holder(scope, needed)
            except HTTPException as error:
                self._meter.note_refusal("token")
                headers = dict(error.headers or {})
                return client, _refusal(error.status_code, HTTPStatus(error.status_code).phrase, error.detail, headers)
        wait_s = self._rates.wait_s(actor)
        if wait_s > 0:
            self._meter.note_refusal("rate")
            headers = {"retry-after": str(math.ceil(wait_s))}
            return actor, _refusal(429, "Too many requests", "This caller is faster than it may be.", headers)
        why = self.load.too_much(priority_of(scope["method"], scope["path"]))
        if why:
            self._meter.note_refusal("load")
            return actor, _refusal(503, "Overloaded", f"Too much to do: {why}.", {"retry-after": "1"})
        return actor, None

    async def _audited(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        status = [call.status]

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            await self._note(Call(call.actor, call.scope, call.method, call.path, status[0]))

    async def _note(self, call: Call) -> None:
        """Tell the audit of a call; refusals are cheap to send, so not each of them is worth an entry."""
        if self._audit is None or call.scope not in AUDITED:
            return
        if call.status >= 400 and self._notes.wait_s("refused") > 0:
            self._unnoted += 1
            return
        unnoted, self._unnoted = self._unnoted, 0
        told = Call(call.actor, call.scope, call.method, call.path, call.status, unnoted)
        await to_thread.run_sync(self._audit, told)


def _refusal(status: int, title: str, detail: str, headers: dict[str, str]) -> Response:
    response = problem(status, title, detail)
    response.headers.update(headers)
    return response
