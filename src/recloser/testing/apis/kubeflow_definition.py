"""Owns checking requests against the OpenAPI definition of Kubeflow Pipelines v2beta1, as its own client carries it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import kfp_server_api

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
    return found + mismatches(body, operation.body, "body")


def mismatches(item: Any, kind: str, where: str) -> list[str]:
    """Return where a document differs from a type of the definition."""
    if kind == "object":
        return []
    simple: dict[str, Any] = {"str": str, "bool": bool, "int": int, "float": (int, float)}
    if kind in simple:
        wrong = not isinstance(item, simple[kind]) or (kind == "int" and isinstance(item, bool))
        return [f"{where}: {item!r} is not {kind}"] if wrong else []
    if kind == "datetime":
        try:
            datetime.fromisoformat(str(item))
        except ValueError:
            return [f"{where}: {item!r} is not a time"]
        return []
    inner = re.fullmatch(r"(list|dict)[\[(](?:str, )?(.+)[\])]", kind)
    if inner is not None:
        container = list if inner[1] == "list" else dict
        if not isinstance(item, container):
            return [f"{where}: not a {inner[1]}"]
        parts = enumerate(item) if isinstance(item, list) else item.items()
        return [told for key, part in parts for told in mismatches(part, inner[2], f"{where}.{key}")]
    return _of_model(item, getattr(kfp_server_api, kind), where)


def _of_model(item: Any, model: Any, where: str) -> list[str]:
    allowed = getattr(model, "allowable_values", None)
    if allowed is not None:
        return [] if item in allowed else [f"{where}: {item!r} is not one of {allowed}"]
    if not isinstance(item, dict):
        return [f"{where}: not an object"]
    names = {model.attribute_map[own]: kind for own, kind in model.openapi_types.items()}
    found = [f"{where}: unknown field {name}" for name in item if name not in names]
    for name, part in item.items():
        if name in names:
            found += mismatches(part, names[name], f"{where}.{name}")
    return found
