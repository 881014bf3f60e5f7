"""Owns the judgement of one call of any transport: token and scope, rate, load; and the note of each operation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Literal

from anyio import to_thread
from starlette.exceptions import HTTPException

from recloser.serving.http.admission.limits import TrafficLimits
from recloser.serving.http.admission.load import Load
from recloser.serving.http.admission.rates import Rates
from recloser.serving.http.admission.scopes import AUDITED, TRIGGER, Audit, Call, Priority
from recloser.serving.http.edge import Access
from recloser.serving.http.exposition import Meter

NOTES_PER_SECOND, NOTES_AT_ONCE = 1.0, 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call must not pass.

    Attributes:
        cause: what it was turned away for.
        status, title, detail: in the words of HTTP.
        authenticate: the challenge of a 401, else empty.
        retry_after_s: seconds after which to try again; 0 if that would change nothing.
    """

    cause: Literal["token", "rate", "load"]
    status: int
    title: str
    detail: str
    authenticate: str = ""
    retry_after_s: int = 0

    def headers(self) -> dict[str, str]:
        """Return the headers of the refusal."""
        found = {"www-authenticate": self.authenticate} if self.authenticate else {}
        return found | ({"retry-after": str(self.retry_after_s)} if self.retry_after_s else {})


class Gate:
    """Says who calls, how often, and whether there is room; one for all transports of a process, for one event loop.

    Each call that needs 'operate' or 'admin' is told to `audit`, refused ones too, those not more often than once a
    second.

    Args:
        access: who may do what.
        limits: how much.
        audit: told of operations, or None.
        meter: counts refusals.
        behind_s: seconds that a new request would wait for the models.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        access: Access,
        limits: TrafficLimits,
        audit: Audit | None = None,
        *,
        meter: Meter,
        behind_s: Callable[[], float] = lambda: 0.0,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.access = access
        self._audit = audit
        self._meter = meter
        self._rates = Rates(limits.requests_per_second, limits.burst, timer)
        self._notes = Rates(NOTES_PER_SECOND, NOTES_AT_ONCE, timer)
        self._unnoted = 0
        self.load = Load(limits, timer, behind_s)

    def judge(self, authorization: bytes, client: str, needed: str, priority: Priority) -> tuple[str, Refusal | None]:
        """Return who calls (its address, where its token is not known), and the refusal if the call must not pass.

        A call that asks for a retraining may come without a token: its inlet looks for a signature.

        Args:
            authorization: the header of that name; looked at only where tokens are required.
            client: address of the caller.
            needed: scope.
            priority: how long such a call is still served.
        """
        self.load.beat()
        actor = client
        if self.access.required and (authorization or needed != TRIGGER):
            try:
                actor = self.access.bearer(authorization, needed)
            except HTTPException as error:
                self._meter.note_refusal("token")
                challenge = dict(error.headers or {}).get("www-authenticate", "")
                title = HTTPStatus(error.status_code).phrase
                who = self.access.owner(authorization) or client
                return who, Refusal("token", error.status_code, title, error.detail, challenge)
        wait_s = self._rates.wait_s(actor)
        if wait_s > 0:
            self._meter.note_refusal("rate")
            detail = "This caller is faster than it may be."
            return actor, Refusal("rate", 429, "Too many requests", detail, retry_after_s=math.ceil(wait_s))
        why, wait_s = self.load.too_much(priority)
        if why:
            self._meter.note_refusal("load")
            detail = f"Too much to do: {why}."
            return actor, Refusal("load", 503, "Overloaded", detail, retry_after_s=max(1, math.ceil(wait_s)))
        return actor, None

    async def note(self, call: Call) -> None:
        """Tell the audit of a call; refusals are cheap to send, so not each of them is worth an entry."""
        if self._audit is None or call.scope not in AUDITED:
            return
        if call.status >= 400 and self._notes.wait_s("refused") > 0:
            self._unnoted += 1
            return
        unnoted, self._unnoted = self._unnoted, 0
        await to_thread.run_sync(self._audit, replace(call, unnoted=unnoted))
