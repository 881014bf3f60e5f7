"""Owns putting routes and operations together into one OpenAPI 3.1 document. Knows no endpoint by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.routing import Route

from recloser import __version__
from recloser.serving.http.body import BINARY, JSON
from recloser.serving.http.openapi.answers import Problem
from recloser.serving.http.openapi.operation import Operation
from recloser.serving.http.openapi.operations import RAW, operations

PROBLEM = "application/problem+json"
TEMPLATE = "#/components/schemas/{name}"
RETRY = {"retry-after": {"description": "Seconds to wait.", "schema": {"type": "string"}}}


def openapi_document(routes: Sequence[Route], quantiles: Sequence[str]) -> dict[str, Any]:
    """Return the document for the routes; quantiles are the output names of the gateway.

    Raises:
        KeyError: a route that `operations` does not describe: a defect of ours, found when the gateway starts.
    """
    known = operations(tuple(quantiles))
    schemas, components = _schemas(known)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = plain_path(route.path)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            described = _described(route, path, known[path, method], schemas)
            if method == "POST" and (path, "GET") in known:
                described["operationId"] += "_post"
            paths.setdefault(path, {})[method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Recloser gateway",
            "version": __version__,
            "description": "Open Inference Protocol v2, MLflow's scoring protocol and the grid's own /v1. "
            "Every GET answers HEAD too. Errors are problem documents (RFC 9457).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


GATE = (401, 403, 408, 429, 431, 503)
"""What any request can be answered before it reaches its endpoint."""

LATER = frozenset({429, 503})
"""Statuses that say when to come back."""


def plain_path(path: str) -> str:
    """Return a route's path as OpenAPI writes it, without converters."""
    return re.sub(r"{(\w+):\w+}", r"{\1}", path)


def _schemas(known: Mapping[tuple[str, str], Operation]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Return the schema of every type used, and what they refer to."""
    types: list[Any] = [Problem]
    for operation in known.values():
        types += [kind for kind in operation.answers.values() if not isinstance(kind, Mapping)]
        types += [operation.body] if operation.body is not None else []
    schemas, components = msgspec.json.schema_components(types, ref_template=TEMPLATE)
    return dict(zip(types, schemas, strict=True)), components


def _described(route: Route, path: str, operation: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    kind = type(route.endpoint)
    text = route.endpoint.__doc__ if hasattr(route.endpoint, "__func__") else kind.__call__.__doc__
    described: dict[str, Any] = {
        "operationId": "_".join(re.findall(r"\w+", path)),
        "summary": (text or "").partition("\n")[0].rstrip("."),
        "tags": [path.split("/")[1] if path.startswith("/v") else "server"],
        "responses": _responses(operation, schemas),
    }
    path_parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    if path_parameters or operation.parameters:
        described["parameters"] = [*path_parameters, *operation.parameters]
    if operation.body is not None:
        content: dict[str, Any] = {JSON: {"schema": schemas[operation.body]}}
        if operation.binary_body:
            content[BINARY] = {"schema": RAW}
        described["requestBody"] = {"required": True, "content": content}
    if operation.forms:
        described["requestBody"] = {"content": {media: {"schema": {}} for media in operation.forms}}
    described["security"] = [{}, {"bearer": []}]
    return described


def _responses(operation: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    content = {
        media: {"schema": kind if isinstance(kind, Mapping) else schemas[kind]}
        for media, kind in operation.answers.items()
    }
    words = {status: "Done" if status == HTTPStatus.OK else HTTPStatus(status).phrase for status in operation.done}
    responses: dict[str, Any] = {str(s): {"description": word, "content": content} for s, word in words.items()}
    for status in sorted({*operation.errors, *GATE, 500}):
        problem = {"description": HTTPStatus(status).phrase, "content": {PROBLEM: {"schema": schemas[Problem]}}}
        responses[str(status)] = {**problem, "headers": RETRY} if status in LATER else problem
    return responses
