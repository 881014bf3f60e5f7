"""The forms of MLflow's scoring server (its documentation: "Deploy MLflow Model as a Local Inference Server")."""

from __future__ import annotations

import json
import tracemalloc
from types import SimpleNamespace

import pytest

from recloser import __version__
from recloser.core import InvalidInput
from recloser.serving import Route
from recloser.serving.wire.invocations import read_invocation
from recloser.serving.wire.rows import InputColumns

AT = ["2020-03-02T14:00:00Z", "2020-03-02T14:30:00Z"]
NAMES = ["area", "at", "scale_mw", "swing", "lag"]
ROWS = [["b", AT[0], 1000.0, 1.0, 1.0], ["a", AT[1], 1000.0, 0.0, None]]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
COLUMNS = {name: [row[k] for row in ROWS] for k, name in enumerate(NAMES)}


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": NAMES, "data": ROWS, "index": [0, 1]}},
        {"dataframe_records": RECORDS},
        {"inputs": COLUMNS},
        {"inputs": ROWS},
        {"inputs": RECORDS},
        {"instances": ROWS},
        {"instances": RECORDS},
        {"instances": RECORDS, "params": {}},
        {"instances": RECORDS, "params": None},
        {"inputs": COLUMNS, "params": {"model": "forecast"}},
    ],
)
def test_every_form_gives_the_same_predictions(kit: SimpleNamespace, body: dict[str, object]) -> None:
    response = kit.Client(kit.service())("POST", "/invocations", json=body)
    assert response.status_code == 200, response.text
    first, second = response.json()["predictions"]
    assert (first["q50"], first["served_by"], first["release"]) == (1105.0, "canary", "rel-2")
    assert second["q50"] == 1005.0


def test_a_model_can_be_asked_by_params(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    direct = client("POST", "/invocations", json={"inputs": COLUMNS, "params": {"model": "rel-1"}}).json()
    assert direct["predictions"][0]["q50"] == 1100.0
    assert direct["predictions"][0]["served_by"] == "direct"
    for params, status in (({"model": "rel-9"}, 404), ({"model": 1}, 422), ({"temperature": 1}, 422)):
        response = client("POST", "/invocations", json={"inputs": COLUMNS, "params": params})
        assert response.status_code == status
        assert response.json()["error_code"] == "BAD_REQUEST"
        assert response.json()["message"] == response.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": COLUMNS, "instances": ROWS},
        {"inputs": {**COLUMNS, "lag": [1.0]}},
        {"inputs": {**COLUMNS, "lga": [1.0, 1.0]}},
        {"inputs": [ROWS[0], RECORDS[1]]},
        {"inputs": [ROWS[0], ROWS[1][:4]]},
        {"inputs": [[*ROWS[0], 1.0]]},
        {"inputs": [[ROWS[0]]]},
        {"inputs": 7},
        {"instances": COLUMNS},
        {"instances": []},
    ],
)
def test_forms_that_cannot_be_read(kit: SimpleNamespace, body: dict[str, object]) -> None:
    response = kit.Client(kit.service())("POST", "/invocations", json=body)
    assert response.status_code == 422
    assert response.json()["where"]


def test_health_paths(kit: SimpleNamespace) -> None:
    gate = kit.gateway()
    client = kit.Client(kit.service(gate))
    assert [client("GET", path).status_code for path in ("/ping", "/health")] == [200, 200]
    assert client("GET", "/version").text == __version__
    gate.swap(Route(2, None, fallback=()), {})
    assert [client("GET", path).status_code for path in ("/ping", "/health")] == [503, 503]


def test_rows_of_ever_other_names_make_no_table() -> None:
    rows = [{f"name-{k}": 1} for k in range(3000)]
    for form in ("instances", "inputs", "dataframe_records"):
        body = json.dumps({form: rows}).encode()
        tracemalloc.start()
        with pytest.raises(InvalidInput, match="unknown column"):
            read_invocation(body, InputColumns(("scale_mw",)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10_000_000
