"""Owns the endpoints of inference: Open Inference Protocol v2 and /invocations. A thin layer over the gateway."""

from __future__ import annotations

import time
from dataclasses import dataclass

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from recloser import __version__
from recloser.core import InvalidInput, Unavailable, unknown_name
from recloser.serving.answer import Scoring
from recloser.serving.batch import Batch
from recloser.serving.http.edge import json_response, problem, read_json
from recloser.serving.http.service import Service
from recloser.serving.http.wire import (
    RowAnswers,
    Rows,
    decode_infer,
    decode_invocation,
    infer_response,
    invocation_response,
    rows_of,
    tensors_of,
)
from recloser.serving.log import Decided

FORECAST = "forecast"
"""Name of the model that follows the route; releases are models under their own names, without the ladder."""

INLINE_ROWS = 256
"""Requests with more rows leave the event loop for a thread."""


@dataclass(frozen=True, slots=True)
class Infer:
    """Raw ASGI endpoint of `/v2/models/{name}/infer`."""

    service: Service
    __name__ = "infer"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one inference request."""
        name = _known(self.service, scope["path_params"]["name"])
        body = await read_json(scope, receive, self.service.body_limit, must_be_typed=False)
        request, rows = decode_infer(body, self.service.columns)
        quantiles = self.service.gateway.quantiles
        answers = await _decide(self.service, name, rows, request.id or "")
        content = infer_response(request, (name, _version(self.service, name)), answers, quantiles)
        await Response(content, media_type="application/json")(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Invocations:
    """Raw ASGI endpoint of `/invocations`, by the route."""

    service: Service
    __name__ = "invocations"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one MLflow scoring request."""
        body = await read_json(scope, receive, self.service.body_limit, must_be_typed=False)
        answers = await _decide(self.service, FORECAST, decode_invocation(body, self.service.columns))
        content = invocation_response(answers, self.service.gateway.quantiles)
        await Response(content, media_type="application/json")(scope, receive, send)


async def _decide(service: Service, name: str, rows: Rows, request_id: str = "") -> RowAnswers:
    """Answer the rows, in a thread if there are many.

    Raises:
        InvalidInput: no area of the request is known.
        Unavailable: no area of the request got a number.
    """
    if not rows.areas:
        raise InvalidInput("a request without rows", where=name)
    if len(rows.areas) <= INLINE_ROWS:
        answers = _answer(service, name, rows, request_id)
    else:
        answers = await to_thread.run_sync(_answer, service, name, rows, request_id)
    if service.log is not None and service.log.holds_answers:
        await service.log.settled()
    return answers


def _answer(service: Service, name: str, rows: Rows, request_id: str) -> RowAnswers:
    gateway, now = service.gateway, service.clock.now()
    batch, order = rows.batch()
    epoch, begun = gateway.route.epoch, time.perf_counter()
    scoring = gateway.score(batch, now) if name == FORECAST else gateway.check(name, batch, now)
    if service.log is not None:
        took = time.perf_counter() - begun
        service.log.append(Decided(request_id[:200], name, epoch, now, took, gateway.quantiles, batch, scoring))
    if all(release is None for release in scoring.release):
        raise _why_nothing(service, batch, scoring)
    return rows_of(scoring, batch, order, len(gateway.quantiles))


def _why_nothing(service: Service, batch: Batch, scoring: Scoring) -> InvalidInput | Unavailable:
    unknown = [area for area in batch.areas if area not in service.gateway.limits]
    if len(unknown) == len(batch.areas):
        return unknown_name("area", unknown[0], service.gateway.limits, where="area")
    reasons = dict(zip(batch.areas[:10], scoring.reason, strict=False))
    return Unavailable("no model could give a safe answer", got=reasons, next_step="Use the last forecast and its age.")


def _known(service: Service, name: str) -> str:
    if name != FORECAST and name not in service.gateway.loaded:
        raise HTTPException(
            404, f"No model {name[:100]!r}; there are {', '.join((FORECAST, *service.gateway.loaded))}."
        )
    return name


def _version(service: Service, name: str) -> str:
    """Return the version of a model: the route's epoch for the routed one, the name itself for a release."""
    return str(service.gateway.route.epoch) if name == FORECAST else name


class Metadata:
    """Endpoints of `/v2`: server and model metadata, liveness and readiness."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def server(self, _: Request) -> Response:
        """Tell name, version and extensions of the server."""
        return json_response({"name": "recloser", "version": __version__, "extensions": []})

    async def live(self, _: Request) -> Response:
        """Tell that the process answers."""
        return json_response({"live": True})

    async def ready(self, _: Request) -> Response:
        """Tell whether a route with at least one model is in force."""
        if not self._service.gateway.route.names():
            return problem(503, "Not ready", "No model is in the route.", ready=False)
        return json_response({"ready": True})

    async def model(self, request: Request) -> Response:
        """Tell the inputs, outputs and version of a model."""
        name = _known(self._service, request.path_params["name"])
        inputs, outputs = tensors_of(self._service.columns, self._service.gateway.quantiles)
        versions = [_version(self._service, name)]
        return json_response(
            {"name": name, "versions": versions, "platform": "recloser", "inputs": inputs, "outputs": outputs}
        )

    async def model_ready(self, request: Request) -> Response:
        """Tell that a model is loaded."""
        return json_response({"name": _known(self._service, request.path_params["name"]), "ready": True})
