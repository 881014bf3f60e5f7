"""Owns the way of an HTTP request through the gate: what it asks for, its refusal, the note of each operation."""

from __future__ import annotations

from dataclasses import replace

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recloser.serving.http.admission.gate import Gate
from recloser.serving.http.admission.scopes import AUDITED, Call, priority_of, scope_of
from recloser.serving.http.edge import problem

STREAMS = frozenset({"/v1/events"})
"""Paths whose answers last; they are bounded by the number of connections."""


class Admission:
    """ASGI middleware in front of everything: lets a request through the gate. Costs a few microseconds.

    Refusals come before the body is read: 401 and 403, 429 for a caller that is too fast, 503 when there is too much
    to do, both with Retry-After.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        needed, client = scope_of(method, path), (scope.get("client") or ("",))[0]
        authorization = dict(scope["headers"]).get(b"authorization", b"") if self._gate.access.required else b""
        actor, refusal = self._gate.judge(authorization, client, needed, priority_of(method, path))
        if refusal is not None:
            response = problem(refusal.status, refusal.title, refusal.detail)
            response.headers.update(refusal.headers())
            await response(scope, receive, send)
            await self._gate.note(Call(actor, needed, method, path[:200], refusal.status))
            return
        counted, load = path not in STREAMS, self._gate.load
        load.under_way += counted
        try:
            if needed in AUDITED:
                await self._audited(scope, receive, send, Call(actor, needed, method, path[:200], 500))
            else:
                await self._app(scope, receive, send)
        finally:
            load.under_way -= counted

    async def _audited(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        status = [call.status]

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            await self._gate.note(replace(call, status=status[0]))
