"""Owns the endpoints of inference: Open Inference Protocol v2 and /invocations. A thin layer over the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from anyio import to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from recloser.core import InvalidInput, Unavailable, unknown_name
from recloser.serving.answer import Scoring
from recloser.serving.batch import Batch
from recloser.serving.http.body import BINARY, HEADER_LENGTH, JSON, read_json, read_tensors
from recloser.serving.http.service import Service
from recloser.serving.wire.invocations import invocation_response, read_invocation
from recloser.serving.wire.models import FORECAST, known_model, version_of
from recloser.serving.wire.oip import Reply, check_call, read_call, write_reply
from recloser.serving.wire.rows import RowAnswers, Rows, output_names, outputs_of, rows_from_tensors, rows_of

INLINE_ROWS = 256
"""Requests with more rows leave the event loop for a thread."""


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
            check_call(call, name, output_names(self.service.gateway.quantiles))
            rows = rows_from_tensors(call.tensors, self.service.columns)
            watch.lap("compute_input")
            answers = await decide(self.service, name, rows)
            watch.lap("compute_infer")
            outputs = outputs_of(answers, self.service.gateway.quantiles)
            content, length = write_reply(call, Reply(name, version_of(self.service.gateway, name), outputs))
            watch.lap("compute_output")
            watch.rows = len(rows.areas)
        headers = {"content-type": JSON if length is None else BINARY}
        if length is not None:
            headers[HEADER_LENGTH] = str(length)
        await Response(content, headers=headers)(scope, receive, send)


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
            answers = await decide(self.service, name, scored.rows)
            watch.lap("compute_infer")
            content = invocation_response(answers, self.service.gateway.quantiles)
            watch.lap("compute_output")
            watch.rows = len(scored.rows.areas)
        await Response(content, media_type="application/json")(scope, receive, send)


async def decide(service: Service, name: str, rows: Rows) -> RowAnswers:
    """Answer the rows, in a thread if there are many.

    Raises:
        InvalidInput: no area of the request is known.
        Unavailable: no area of the request got a number.
    """
    if not rows.areas:
        raise InvalidInput("a request without rows", where=name)
    if len(rows.areas) <= INLINE_ROWS:
        return _answer(service, name, rows)
    return await to_thread.run_sync(_answer, service, name, rows)


def _answer(service: Service, name: str, rows: Rows) -> RowAnswers:
    gateway, now = service.gateway, service.clock.now()
    batch, order = rows.batch()
    scoring = gateway.score(batch, now) if name == FORECAST else gateway.check(name, batch, now)
    if all(release is None for release in scoring.release):
        raise _why_nothing(service, batch, scoring)
    return rows_of(scoring, batch, order, len(gateway.quantiles))


def _why_nothing(service: Service, batch: Batch, scoring: Scoring) -> InvalidInput | Unavailable:
    unknown = [area for area in batch.areas if area not in service.gateway.limits]
    if len(unknown) == len(batch.areas):
        return unknown_name("area", unknown[0], service.gateway.limits, where="area")
    reasons = dict(zip(batch.areas[:10], scoring.reason, strict=False))
    return Unavailable("no model could give a safe answer", got=reasons, next_step="Use the last forecast and its age.")


def _asked(service: Service, parameters: Mapping[str, str]) -> str:
    return known_model(service.gateway, parameters["name"], parameters.get("version", ""))
