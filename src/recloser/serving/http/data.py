"""Owns the endpoints of inference: Open Inference Protocol v2 and /invocations. A thin layer over the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from recloser.core import InvalidInput, Unavailable, unknown_name
from recloser.serving.answer import Scoring
from recloser.serving.batch import Batch
from recloser.serving.http.body import BINARY, HEADER_LENGTH, JSON, read_json, read_tensors
from recloser.serving.http.edge import answer, request_name
from recloser.serving.http.service import Service
from recloser.serving.log import RequestNote
from recloser.serving.wire.invocations import invocation_response, read_invocation
from recloser.serving.wire.models import FORECAST, known_model, version_of
from recloser.serving.wire.oip import Parameters, Reply, check_call, milliseconds, read_call, timeout_ms, write_reply
from recloser.serving.wire.rows import RowAnswers, Rows, output_names, outputs_of, rows_from_tensors, rows_of

TIMEOUT = b"recloser-timeout-ms"
"""Header with the caller's time in milliseconds; parameter `timeout` of an infer request: in microseconds."""


@dataclass(frozen=True, slots=True)
class Infer:
    """Raw ASGI endpoint of `/v2/models/{name}/infer`, with or without a version."""

    service: Service
    __name__ = "infer"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one inference request."""
        name = _asked(self.service, scope["path_params"])
        with self.service.statistics.request(name, self.service.clock) as watch:
            body, header = await read_tensors(scope, receive, self.service.body_limit)
            call = read_call(body, header)
            own = request_name(scope, call.id)
            check_call(call, name, output_names(self.service.gateway.quantiles))
            rows = rows_from_tensors(call.tensors, self.service.columns)
            watch.lap("compute_input")
            answers = await decide(self.service, name, rows, _timeout_ms(scope, call.parameters), call.id or own)
            watch.lap("compute_infer")
            outputs = outputs_of(answers, self.service.gateway.quantiles)
            content, length = write_reply(call, Reply(name, version_of(self.service.gateway, name), outputs))
            watch.lap("compute_output")
            watch.rows = len(rows.areas)
        if length is None:
            await answer(send, content, JSON)
        else:
            await answer(send, content, BINARY, (HEADER_LENGTH.encode(), b"%d" % length))


@dataclass(frozen=True, slots=True)
class Invocations:
    """Raw ASGI endpoint of `/invocations`, by the route."""

    service: Service
    __name__ = "invocations"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one MLflow scoring request."""
        body = await read_json(scope, receive, self.service.body_limit, must_be_typed=False)
        scored = read_invocation(body, self.service.columns)
        name = known_model(self.service.gateway, scored.model or FORECAST)
        with self.service.statistics.request(name, self.service.clock) as watch:
            answers = await decide(self.service, name, scored.rows, _timeout_ms(scope, {}), request_name(scope))
            watch.lap("compute_infer")
            content = invocation_response(answers, self.service.gateway.quantiles)
            watch.lap("compute_output")
            watch.rows = len(scored.rows.areas)
        await answer(send, content, JSON)


async def decide(service: Service, name: str, rows: Rows, within_ms: float | None, request_id: str = "") -> RowAnswers:
    """Answer the rows by the data plane.

    Raises:
        InvalidInput: no area of the request is known.
        Unavailable: no area of the request got a number, or too many requests are under way.
    """
    if not rows.areas:
        raise InvalidInput("a request without rows", where=name)
    batch, order = rows.batch()
    gateway, note = service.gateway, None
    if service.log is not None:
        asked = (request_id[:200], name, gateway.route.epoch)
        note = RequestNote(service.log, asked, batch, gateway.quantiles, service.clock.now())
    scoring = await service.plane.decide(batch, None if name == FORECAST else name, within_ms, note)
    if note is not None:
        await note.settled()
    if all(release is None for release in scoring.release):
        raise _why_nothing(service, batch, scoring)
    return rows_of(scoring, batch, order, len(service.gateway.quantiles))


def _timeout_ms(scope: Scope, parameters: Parameters) -> float | None:
    """Return the caller's time in milliseconds: parameter `timeout` (microseconds) or header; None if not given.

    Raises:
        InvalidInput: not a number.
    """
    given = next((text.decode("latin-1") for key, text in scope["headers"] if key == TIMEOUT), None)
    if "timeout" in parameters or given is None:
        return timeout_ms(parameters)
    return milliseconds(given, 1.0)


def _why_nothing(service: Service, batch: Batch, scoring: Scoring) -> InvalidInput | Unavailable:
    unknown = [area for area in batch.areas if area not in service.gateway.limits]
    if len(unknown) == len(batch.areas):
        return unknown_name("area", unknown[0], service.gateway.limits, where="area")
    reasons = dict(zip(batch.areas[:10], scoring.reason, strict=False))
    return Unavailable("no model could give a safe answer", got=reasons, next_step="Use the last forecast and its age.")


def _asked(service: Service, parameters: Mapping[str, str]) -> str:
    return known_model(service.gateway, parameters["name"], parameters.get("version", ""))
