"""Owns what becomes of a delivery: proven, read, and written as one request to retrain. Starts no run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from recloser.app.inlets.opening import inlet_of
from recloser.app.platform import Platform
from recloser.app.requests import Request, Standing, put_request
from recloser.app.security.gatekeeping import printable
from recloser.core import RecloserError, Unproven, format_utc
from recloser.serving.http import Arrival, Receipt
from recloser.serving.http.admission.rates import Rates
from recloser.triggers.webhooks import Delivery, Ignored, read_delivery

REFUSALS_PER_SECOND, REFUSALS_AT_ONCE = 0.1, 20
"""Refused deliveries that get an audit entry with the reason: they cost their sender nothing."""


class ProjectInlets:
    """The inlets of a project; thread safe, for one process of several.

    Args:
        platform: the project.
        timer: monotonic seconds.
    """

    def __init__(self, platform: Platform, timer: Callable[[], float] = time.monotonic) -> None:
        self._platform = platform
        self._refusals = Rates(REFUSALS_PER_SECOND, REFUSALS_AT_ONCE, timer)
        self._turn, self._writing = threading.Lock(), threading.Lock()

    def receive(self, arrival: Arrival) -> Receipt:
        """See `InletDesk`."""
        now = self._platform.clock.now()
        try:
            inlet = inlet_of(self._platform, arrival.inlet)
            found = read_delivery(inlet, Delivery(arrival.headers, arrival.body, arrival.holder), now)
        except Unproven as error:
            self._refused(arrival.inlet, error.why)
            raise
        if isinstance(found, Ignored):
            return Receipt(ignored(found.why), accepted=False)
        trigger = found.trigger
        facts = {"delivery": found.delivery, **found.facts}
        actor = next(iter(trigger.asked_by), f"inlet {inlet.name}")
        request = Request(trigger, f"inlet {inlet.name}", actor, facts)
        with self._writing:
            return Receipt(told(put_request(self._platform, request)), accepted=True)

    def _refused(self, inlet: str, why: str) -> None:
        with self._turn:
            if self._refusals.wait_s("refused") > 0:
                return
        try:
            with self._platform.ledger.change("triggers", self._platform.clock.now()) as change:
                change.note("trigger.unproven", printable(inlet)[:40], {"why": why})
        except RecloserError:
            return  # the caller is refused all the same, and the call itself is noted by the gate


def ignored(why: str) -> dict[str, Any]:
    """Return the answer to a delivery that asks for nothing."""
    return {
        "trigger": None,
        "at": None,
        "reason": why,
        "asked_by": [],
        "repeated": False,
        "sentence": f"nothing is asked: {why}",
    }


def told(standing: Standing) -> dict[str, Any]:
    """Return the answer to a delivery that asks for a retraining."""
    trigger = standing.trigger
    again = "asked before, and once is enough" if standing.repeated else "asked to retrain"
    return {
        "trigger": trigger.key,
        "at": format_utc(trigger.at),
        "reason": trigger.reason,
        "asked_by": list(standing.askers),
        "repeated": standing.repeated,
        "sentence": f"{again} ({trigger.key}); `recloser triggers` tells what became of it",
    }
