"""Owns checking requests against the OpenAPI definition of Kubeflow Pipelines v2beta1, as its own client carries it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import kfp_server_api

from recloser.testing.apis.definition import mismatches

SERVICES = ("RunServiceApi", "RecurringRunServiceApi", "ExperimentServiceApi")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the definition: its path with placeholders, query parameters and the type of its body."""

    method: str
    path: str
    query: frozenset[str]
    body: str | None

    def parameters(self, path: str) -> dict[str, str] | None:
        """Return the values of the path's placeholders, None if the path is another."""
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/:]+)", re.escape(self.path))
        found = re.fullmatch(pattern, path)
        return None if found is None else found.groupdict()


@cache
def operations() -> tuple[Operation, ...]:
    """Return all operations of the services that run pipelines."""
    found = []
    for service in SERVICES:
        for name, function in inspect.getmembers(getattr(kfp_server_api, service), inspect.isfunction):
            if name.endswith("_with_http_info"):
                text = inspect.getsource(function)
                line = re.search(r"'(/apis/[^']*)', '([A-Z]+)'", text)
                body = re.search(r"body_params = local_var_params\['(\w+)'\]", text)
                kind = None if body is None else re.search(rf":type {body[1]}: (\w+)", text)
                query = frozenset(re.findall(r"query_params.append\(\('(\w+)'", text))
                if line is not None:
                    found.append(Operation(line[2], line[1], query, None if kind is None else kind[1]))
    return tuple(found)


def operation_of(method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
    """Return the operation that a request asks for with its path parameters, None if the definition has none."""
    for operation in operations():
        given = operation.parameters(path) if operation.method == method else None
        if given is not None:
            return operation, given
    return None


def problems(operation: Operation, query: Mapping[str, str], body: Any) -> list[str]:
    """Return what a request has that the definition does not allow."""
    found = [f"unknown query parameter {name}" for name in query if name not in operation.query]
    if operation.body is None:
        return found + (["a body where there is none"] if body else [])
    if body is None:
        return [*found, "no body"]
    return found + mismatches(body, operation.body, "body", kfp_server_api)
