"""Owns what each path of the gateway takes and answers, status by status. Its wording comes from the endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from recloser.serving.http.body import BINARY, HEADER_LENGTH, JSON
from recloser.serving.http.exposition import CONTENT_TYPE
from recloser.serving.http.forecasts import ARROW
from recloser.serving.http.openapi import answers
from recloser.serving.http.openapi.operation import BODY_ERRORS, Operation, Parameter
from recloser.serving.http.openapi.people import people_operations
from recloser.serving.wire.invocations import FORMS, Invocation
from recloser.serving.wire.oip import InferRequest

TEXT = "text/plain; charset=utf-8"
EVENTS = "text/event-stream; charset=utf-8"
RAW: Mapping[str, Any] = {"type": "string", "format": "binary"}


def operations(quantiles: tuple[str, ...]) -> dict[tuple[str, str], Operation]:
    """Return every operation by (path, method); quantiles are the output names of the gateway."""
    forecast, forecasts = answers.forecast_types(quantiles)
    invoke = Operation(
        {JSON: answers.prediction_type(quantiles)},
        body=_INVOCATION,
        errors=(*BODY_ERRORS, 404, 503),
        parameters=(_TIMEOUT,),
    )
    return {
        ("/v2", "GET"): Operation({JSON: answers.Server}),
        ("/v2/health/live", "GET"): Operation({JSON: answers.Live}),
        ("/v2/health/ready", "GET"): Operation({JSON: answers.Ready}, errors=(503,)),
        ("/v2/repository/index", "POST"): Operation({JSON: list[answers.IndexRow]}),
        ("/v2/models/stats", "GET"): Operation({JSON: answers.StatisticsAnswer}),
        **_model_operations("/v2/models/{name}"),
        **_model_operations("/v2/models/{name}/versions/{version}"),
        ("/invocations", "POST"): invoke,
        ("/ping", "GET"): Operation({TEXT: {"type": "string"}}, errors=(503,)),
        ("/health", "GET"): Operation({TEXT: {"type": "string"}}, errors=(503,)),
        ("/version", "GET"): Operation({TEXT: {"type": "string"}}),
        ("/metrics", "GET"): Operation({CONTENT_TYPE: {"type": "string"}}),
        ("/openapi.json", "GET"): Operation({JSON: {"type": "object"}}),
        ("/v1/areas", "GET"): Operation({JSON: answers.Areas}, errors=(503,)),
        ("/v1/areas/{area}/forecast", "GET"): Operation({JSON: forecast}, errors=(404, 503)),
        ("/v1/forecasts", "GET"): Operation(
            {JSON: forecasts, ARROW: RAW}, errors=(404, 422, 503), parameters=(_AREAS,)
        ),
        ("/v1/forecasts/{id}", "GET"): Operation({JSON: answers.past_type(quantiles)}, errors=(404, 503)),
        ("/v1/events", "GET"): Operation({EVENTS: _STREAM}, errors=(400,), parameters=(_LAST_EVENT,)),
        ("/v1/route", "GET"): Operation({JSON: answers.RouteState}),
        **people_operations(),
    }


_INVOCATION = Annotated[Invocation, msgspec.Meta(extra_json_schema={"oneOf": [{"required": [form]} for form in FORMS]})]
_STREAM: Mapping[str, Any] = {"description": "Events 'forecast', 'recall' and 'gap', each with an id and JSON as data."}
_AREAS: Parameter = {
    "name": "area",
    "in": "query",
    "description": "An area, again for each; none means all.",
    "schema": {"type": "array", "items": {"type": "string"}},
}
_LAST_EVENT: Parameter = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Id of the last event heard; the stream goes on behind it.",
    "schema": {"type": "string", "pattern": "^[0-9]{0,18}$"},
}
_TIMEOUT: Parameter = {
    "name": "Recloser-Timeout-Ms",
    "in": "header",
    "description": "Milliseconds the caller has; what is late is answered from the next rung.",
    "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 600000},
}
_HEADER_LENGTH: Parameter = {
    "name": HEADER_LENGTH,
    "in": "header",
    "description": "Bytes of the JSON header, if raw tensors follow it in the body.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}


def _model_operations(place: str) -> dict[tuple[str, str], Operation]:
    infer = Operation(
        {JSON: answers.InferResponse, BINARY: RAW},
        body=InferRequest,
        binary_body=True,
        errors=(*BODY_ERRORS, 404, 503),
        parameters=(_HEADER_LENGTH, _TIMEOUT),
    )
    return {
        (place, "GET"): Operation({JSON: answers.ModelMetadata}, errors=(404,)),
        (f"{place}/ready", "GET"): Operation({JSON: answers.ModelReady}, errors=(404,)),
        (f"{place}/config", "GET"): Operation({JSON: answers.ModelConfiguration}, errors=(404,)),
        (f"{place}/stats", "GET"): Operation({JSON: answers.StatisticsAnswer}, errors=(404,)),
        (f"{place}/infer", "POST"): infer,
    }
