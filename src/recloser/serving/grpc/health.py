"""Owns the standard health service `grpc.health.v1` as probes ask it: `Check`. `Watch` is not spoken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from recloser.serving.gateway import Gateway
from recloser.serving.grpc.calls import Asked
from recloser.serving.grpc.messages import MESSAGES, SERVICE
from recloser.serving.wire.models import UnknownModel

HEALTH_SERVICE = "grpc.health.v1.Health"
SERVING, NOT_SERVING = 1, 2


def checked(gateway: Gateway) -> Callable[[Any, Asked], Awaitable[Any]]:
    """Return the method that tells whether a route with at least one model is in force."""

    async def check(request: Any, _: Asked) -> Any:
        if request.service not in ("", SERVICE):
            raise UnknownModel("no such service", got=request.service, expected=SERVICE, where="grpc.health")
        return MESSAGES["HealthCheckResponse"](status=SERVING if gateway.route.names() else NOT_SERVING)

    return check
