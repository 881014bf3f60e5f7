"""Owns which scope and which priority a request has. Pure; knows no token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

SCOPES = ("infer", "read", "operate", "approve", "trigger", "admin")
"""What a token may be good for; 'admin' includes all others. 'approve' is for the decisions of named people."""

TRIGGER = "trigger"
"""Scope of asking for a retraining at an inlet; who sends no token there must sign what it sends."""

VITAL = frozenset({"/v1/forecasts", "/v1/rollback", "/ping", "/health"})
"""Paths served as long as any, besides the forecast of an area and health."""

AUDITED = frozenset({"operate", "approve", TRIGGER, "admin"})
ABOUT_ROLLOUTS = {
    "approve": "approve",
    "reject": "approve",
    "override": "approve",
    "hold": "operate",
    "resume": "operate",
}
OPERATIONS = frozenset({"/v1/rollback", "/v1/retrain", "/v1/freezes"})


class Priority(IntEnum):
    """Who is turned away last: a current forecast, then what follows the route, then everything else."""

    FORECAST = 0
    ROUTED = 1
    OTHER = 2


@dataclass(frozen=True, slots=True)
class Call:
    """One request that would change something, for the audit log.

    Attributes:
        actor: owner of the token, or the caller's address.
        scope: that the request needs.
        method, path, status: of the request; the path is cut to 200 characters.
        unnoted: refused calls before it that were too many to note one by one.
    """

    actor: str
    scope: str
    method: str
    path: str
    status: int
    unnoted: int = 0


Audit = Callable[[Call], None]
"""Writes one call down; called in a thread, after the answer. Must not raise."""


def scope_of(method: str, path: str) -> str:
    """Return the scope that a request needs; what is not known to be harmless needs 'admin'."""
    if method in ("GET", "HEAD"):
        return "read"
    if method == "POST":
        if path == "/invocations" or (path.startswith("/v2/models/") and path.endswith("/infer")):
            return "infer"
        if path in OPERATIONS or (path.startswith("/v1/freezes/") and path.endswith("/lift")):
            return "operate"
        if path.startswith("/v1/triggers/"):
            return TRIGGER
        if path.startswith("/v1/rollouts/"):
            return ABOUT_ROLLOUTS.get(path.rpartition("/")[2], "admin")
        if path == "/v2/repository/index":
            return "read"
    return "admin"


def priority_of(method: str, path: str) -> Priority:
    """Return how long a request is still served when there is too much to do."""
    if (
        path in VITAL
        or path.startswith("/v2/health/")
        or (path.startswith("/v1/areas/") and path.endswith("/forecast"))
    ):
        return Priority.FORECAST
    if method == "POST" and (path == "/invocations" or path.startswith("/v2/models/forecast/")):
        return Priority.ROUTED
    return Priority.OTHER
