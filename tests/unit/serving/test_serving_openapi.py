"""The OpenAPI document against the code: by its routes, by real answers, and by what schemathesis thinks up."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Route

from recloser.serving.http import build_app
from recloser.serving.http.admission import TrafficLimits
from recloser.serving.http.openapi.document import plain_path
from recloser.serving.http.openapi.operations import operations

AT = "2020-03-02T14:00:00Z"


@pytest.fixture
def document(kit: SimpleNamespace) -> dict[str, Any]:
    answer: dict[str, Any] = kit.Client(kit.service())("GET", "/openapi.json").json()
    return answer


def test_every_route_is_in_the_document_and_the_reverse(kit: SimpleNamespace, document: dict[str, Any]) -> None:
    routes = {
        (plain_path(route.path), method.lower())
        for route in build_app(kit.service()).routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {(path, method) for path, item in document["paths"].items() for method in item}
    assert routes == described
    assert {(path, method.lower()) for path, method in operations(("q50",))} == described


def test_every_operation_says_what_it_does_and_refers_to_what_there_is(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    ids = []
    for path, item in document["paths"].items():
        for operation in item.values():
            assert operation["summary"], path
            assert {"200", "500"} <= set(operation["responses"])
            ids.append(operation["operationId"])
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
    assert len(ids) == len(set(ids))
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    assert {"q10", "q50", "q90"} <= set(document["components"]["schemas"]["Point"]["properties"])


TABLE = operations(("q10", "q50", "q90"))
SENT = [(place, False) for place in sorted(TABLE)] + [
    (place, True) for place, operation in sorted(TABLE.items()) if operation.body or place == ("/v1/events", "GET")
]
"""Every operation with what fits its schemas, and those that have a schema to break with what breaks it."""


@pytest.fixture
def api(kit: SimpleNamespace) -> Any:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    whole = kit.service(limits=TrafficLimits(overload_ms=600_000.0))  # a busy machine sheds nothing here
    whole.events.publish("forecast", {"k": 0})
    whole.events.close()  # an endless stream would be waited for
    return schemathesis.openapi.from_asgi("/openapi.json", build_app(whole))


@pytest.mark.parametrize(("place", "broken"), SENT)
def test_answers_are_as_documented_whatever_is_sent(api: Any, place: tuple[str, str], *, broken: bool) -> None:
    from schemathesis import GenerationMode, checks

    mode = GenerationMode.NEGATIVE if broken else GenerationMode.POSITIVE
    # Which columns, areas and tokens there are is not in the schema: what fits it may be refused all the same.
    excluded = [checks.positive_data_acceptance] if TABLE[place].body else []

    @given(api[place[0]][place[1]].as_strategy(generation_mode=mode), st.booleans())
    @settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def ask(case: Any, known: bool) -> None:  # noqa: FBT001  # Hypothesis passes by position
        if known and "name" in case.path_parameters:
            case.path_parameters |= {"name": "forecast"} | ({"version": "1"} if "version" in place[0] else {})
        case.call_and_validate(excluded_checks=excluded)

    ask()


ROW = {"area": "a", "at": AT, "scale_mw": 1000.0, "swing": 1.0, "lag": None}
TENSORS = [
    {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(cell, str) else "FP64", "data": [cell]}
    for name, cell in ROW.items()
]
GOOD: list[tuple[str, dict[str, Any], Any, int]] = [
    ("/v2/models/{name}/infer", {"name": "forecast"}, {"inputs": TENSORS, "id": "7"}, 200),
    ("/v2/models/{name}/infer", {"name": "rel-9"}, {"inputs": TENSORS}, 404),
    ("/v2/models/{name}/infer", {"name": "forecast"}, {"inputs": TENSORS[1:]}, 422),
    ("/v2/models/{name}/infer", {"name": "rel-0"}, {"inputs": TENSORS}, 503),
    ("/v2/models/{name}/versions/{version}/infer", {"name": "forecast", "version": "1"}, {"inputs": TENSORS}, 200),
    ("/invocations", {}, {"dataframe_records": [ROW]}, 200),
    ("/invocations", {}, {"inputs": [list(ROW.values())], "params": {"model": "rel-1"}}, 200),
    ("/v1/rollback", {}, {"reason": "x"}, 403),
]


@pytest.mark.parametrize(("path", "parameters", "body", "status"), GOOD)
def test_answers_with_numbers_and_problems_are_as_documented(
    kit: SimpleNamespace, path: str, parameters: dict[str, Any], body: Any, status: int
) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from schemathesis import checks

    whole = kit.service(kit.gateway({"rel-0": kit.Faulty("rel-0", "nan")}))
    api = schemathesis.openapi.from_asgi("/openapi.json", build_app(whole))
    case = api[path]["POST"].Case(path_parameters=parameters, body=body, media_type="application/json")
    response = case.call()
    assert response.status_code == status
    excluded = [checks.positive_data_acceptance, checks.not_a_server_error]
    case.validate_response(response, excluded_checks=excluded)
