"""Owns the endpoint of inlets: forges, registries and programs ask for a retraining. Proves and writes nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from recloser.core import Unproven
from recloser.serving.http.admission.rates import Rates
from recloser.serving.http.admission.scopes import TRIGGER
from recloser.serving.http.body import JSON, read_any
from recloser.serving.http.edge import Access, json_response

LIMIT = 2_000_000
"""Bytes of a delivery; whoever sends one is not known before it is read."""

PER_SECOND, AT_ONCE = 1.0, 30
"""Deliveries of one address; a forge behind a proxy shares it with others."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery at an inlet: its name, headers (names in lower case), body, and the token's owner if one was sent."""

    inlet: str
    headers: Mapping[str, str]
    body: bytes
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a delivery, JSON-ready, and whether a request to retrain stands for it."""

    document: Mapping[str, Any]
    accepted: bool


class InletDesk(Protocol):
    """Takes deliveries in. Thread safe; may block; raises our errors."""

    def receive(self, arrival: Arrival) -> Receipt:
        """Write one request to retrain, once for the same delivery.

        Raises:
            Unproven: no such inlet, or it is not proven who sent it.
            InvalidInput: it is proven, and of another form.
            Unavailable: not now.
        """
        ...


class Inlets:
    """The endpoint `/v1/triggers/{inlet}`.

    Args:
        desk: takes deliveries in; None: there are no inlets.
        access: whose tokens count.
        body_limit: bytes, if less than `LIMIT`.
        timer: monotonic seconds.
    """

    def __init__(
        self, desk: InletDesk | None, access: Access, body_limit: int, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._desk, self._access, self._limit = desk, access, min(body_limit, LIMIT)
        self._rates = Rates(PER_SECOND, AT_ONCE, timer)

    def routes(self) -> list[Route]:
        """Return the routes of this endpoint."""
        return [Route("/v1/triggers/{inlet}", self.deliver, methods=["POST"])]

    async def deliver(self, request: Request) -> Response:
        """Ask for a retraining: signed as the inlet has it, or with a token of the scope 'trigger'."""
        client = (request.scope.get("client") or ("",))[0]
        wait_s = self._rates.wait_s(client)
        if wait_s > 0:
            raise HTTPException(429, "Too many deliveries from this address.", {"retry-after": str(math.ceil(wait_s))})
        holder = self._holder(request)
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media and media != JSON and not media.endswith("+json"):
            raise HTTPException(
                415, "Send JSON; at a forge choose the content type application/json.", {"accept": JSON}
            )
        body = await read_any(request.scope, request.receive, self._limit)
        if self._desk is None:
            raise Unproven("there are no inlets here", why="no desk")
        headers = {name.decode("latin-1"): text.decode("latin-1") for name, text in request.scope["headers"]}
        arrival = Arrival(request.path_params["inlet"], headers, body, holder)
        receipt = await to_thread.run_sync(self._desk.receive, arrival)
        return json_response(receipt.document, 202 if receipt.accepted else 200)

    def _holder(self, request: Request) -> str:
        """Return the owner of the token that was sent; without tokens whoever is on this host; else nobody.

        Raises:
            HTTPException: 401 or 403, a token that does not count here.
        """
        if self._access.required:
            sent = request.headers.get("authorization")
            return self._access.holder(request.scope, TRIGGER) if sent else ""
        try:
            return self._access.actor(request.scope, TRIGGER)
        except HTTPException:
            return ""
