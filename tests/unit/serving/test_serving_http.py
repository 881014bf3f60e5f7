from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import httpx
import polars as pl
import pytest

from recloser.serving import NAIVE, GuardPolicy, Route
from recloser.serving.http import Access
from recloser.serving.plane import PlanePolicy

AT = ["2020-03-02T14:00:00Z", "2020-03-02T14:30:00Z"]


def tensor(name: str, data: list[object], datatype: str = "FP64", shape: list[int] | None = None) -> dict[str, object]:
    return {"name": name, "shape": shape or [len(data)], "datatype": datatype, "data": data}


def columns(areas: list[str], at: list[str] | None = None, **numbers: list[object]) -> dict[str, object]:
    n = len(areas)
    given = {"scale_mw": [1000.0] * n, "swing": [0.0] * n, "lag": [1.0] * n} | numbers
    texts = [tensor("area", list(areas), "BYTES"), tensor("at", list(at or AT[:1] * n), "BYTES")]
    return {"inputs": [*texts, *(tensor(name, data) for name, data in given.items())]}


def outputs(response: httpx.Response) -> dict[str, list[object]]:
    assert response.status_code == 200, response.text
    for output in response.json()["outputs"]:
        assert output["shape"] == [len(output["data"])]
    return {output["name"]: output["data"] for output in response.json()["outputs"]}


def assert_problem(response: httpx.Response, status: int) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert {"type", "title", "status", "detail"} <= set(document)
    assert document["status"] == status
    assert document["type"].startswith("urn:recloser:problem:")
    assert "Traceback" not in response.text
    assert len(response.text) < 8000
    return document


def test_metadata_and_health(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    assert client("GET", "/v2").json()["name"] == "recloser"
    assert client("GET", "/v2/health/live").json() == {"live": True}
    assert client("GET", "/v2/health/ready").json() == {"ready": True}
    model = client("GET", "/v2/models/forecast").json()
    assert [tensor["name"] for tensor in model["inputs"]] == ["area", "at", "scale_mw", "swing", "lag"]
    assert [tensor["name"] for tensor in model["outputs"]][:3] == ["q10", "q50", "q90"]
    assert model["versions"] == ["1"]
    assert client("GET", "/v2/models/rel-2/ready").json() == {"name": "rel-2", "ready": True}
    assert_problem(client("GET", "/v2/models/rel-9"), 404)
    assert_problem(client("GET", "/v2/models/rel-9/ready"), 404)


def test_not_ready_without_any_model(kit: SimpleNamespace) -> None:
    gate = kit.gateway()
    whole = kit.service(gate)
    gate.swap(Route(2, None, fallback=()), {})
    assert assert_problem(kit.Client(whole)("GET", "/v2/health/ready"), 503)["ready"] is False


def test_infer_by_columns_and_by_one_tensor_agree(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    by_columns = outputs(client("POST", "/v2/models/forecast/infer", json=columns(["b", "a"], swing=[1.0, 0.0])))
    assert by_columns["q50"] == [1105.0, 1005.0]
    assert by_columns["q10"] == [1065.0, 965.0]
    assert by_columns["served_by"] == ["canary", "canary"]
    assert by_columns["release"] == ["rel-2", "rel-2"]
    texts = [tensor("area", ["b", "a"], "BYTES"), tensor("at", AT, "BYTES")]
    flat = {"id": "7", "inputs": [*texts, tensor("x", [1000, 1, 1, 1000, 0, 1], "FP64", [2, 3])]}
    nested = {"inputs": [*texts, tensor("x", [[1000, 1, 1], [1000, 0, 1]], "FP32", [2, 3])]}
    for body in (flat, nested):
        assert outputs(client("POST", "/v2/models/forecast/infer", json=body)) == by_columns
    answer = client("POST", "/v2/models/forecast/infer", json=flat).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", "forecast", "1")


def test_infer_guards_each_row_and_names_who_answered(kit: SimpleNamespace) -> None:
    gate = kit.gateway({"rel-2": kit.Faulty("rel-2", "nan", ["b"])}, policy=GuardPolicy(trip_after=50))
    client = kit.Client(kit.service(gate))
    body = columns(["b", "a", "b", "x"], [AT[1], AT[0], AT[0], AT[0]], swing=[0.0, 0.0, 1.0, 0.0])
    answer = outputs(client("POST", "/v2/models/forecast/infer", json=body))
    assert answer["q50"] == [1000.0, 1001.0, 1100.0, None]
    assert answer["served_by"] == ["champion", "canary", "champion", "unavailable"]
    assert answer["reason"][3] == "input: unknown area"
    direct = outputs(client("POST", "/v2/models/rel-2/infer", json=columns(["a", "b"])))
    assert direct["q50"] == [1001.0, None]
    assert direct["served_by"] == ["direct", "unavailable"]
    problem = assert_problem(client("POST", "/v2/models/rel-2/infer", json=columns(["b"])), 503)
    assert "not finite" in str(problem["got"])


def test_ramps_are_judged_in_the_order_of_time_not_of_the_rows(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    body = columns(["a", "a"], [AT[1], AT[0]], swing=[5.0, 0.0])
    problem = assert_problem(client("POST", "/v2/models/forecast/infer", json=body), 503)
    assert "ramp" in str(problem["got"])
    body = columns(["a", "b"], [AT[1], AT[0]], swing=[5.0, 0.0])
    assert outputs(client("POST", "/v2/models/forecast/infer", json=body))["q50"] == [1505.0, 1005.0]


def test_missing_numbers_are_null_and_reach_the_input_guard(kit: SimpleNamespace) -> None:
    body = columns(["a"], swing=[None], lag=[None])
    answer = outputs(kit.Client(kit.service())("POST", "/v2/models/forecast/infer", json=body))
    assert answer["served_by"] == ["fallback:seasonal_naive"]


def test_outputs_can_be_chosen(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    body = columns(["a"]) | {"outputs": [{"name": "q90"}]}
    assert list(outputs(client("POST", "/v2/models/forecast/infer", json=body))) == ["q90"]
    body["outputs"] = [{"name": "q95"}]
    assert "q90" in str(assert_problem(client("POST", "/v2/models/forecast/infer", json=body), 422)["next_step"])


def test_many_rows_leave_the_event_loop_and_keep_their_order(kit: SimpleNamespace) -> None:
    areas = [["a", "b", "c"][k % 3] for k in range(600)]
    swing = [float(k) / 600 for k in range(600)]
    at = [f"2020-03-{2 + k // 48:02}T{k % 48 // 2:02}:{30 * (k % 2):02}:00Z" for k in range(600)]
    body = columns(areas, at, swing=swing)
    answer = outputs(kit.Client(kit.service())("POST", "/v2/models/forecast/infer", json=body))
    assert answer["q50"] == pytest.approx([1005.0 + 100.0 * s for s in swing])


def test_invocations_split_and_records(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    row = {"area": "a", "at": AT[0], "scale_mw": 1000, "swing": 1.0, "lag": None}
    split = {"dataframe_split": {"columns": list(row), "index": [0], "data": [list(row.values())]}}
    for body in (split, {"dataframe_records": [row]}):
        response = client("POST", "/invocations", json=body)
        assert response.status_code == 200, response.text
        (record,) = response.json()["predictions"]
        assert record["q50"] == 1105.0
        assert record["served_by"] == "canary"


BROKEN_BODIES = [
    (b"", 400),
    (b"{", 400),
    (b'{"inputs": NaN}', 400),
    (b'{"inputs": []}', 422),
    (b"[]", 422),
    (b"null", 422),
    (b'{"inptus": []}', 422),
    (b"\xff\xfe{}", 400),
    (b'{"inputs": "\xff"}', 422),
    (b'{"id": "\xff", "inputs": []}', 400),
    (b'{"inputs":' + b"[" * 50_000 + b"]" * 50_000 + b"}", 422),
    (b'{"inputs":[{"name":"area","shape":[1],"datatype":"BYTES","data":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}", 400),
]


@pytest.mark.parametrize(("body", "status"), BROKEN_BODIES)
def test_a_body_that_is_no_request_is_a_clear_error(kit: SimpleNamespace, body: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    client = kit.Client(kit.service())
    assert_problem(client("POST", "/v2/models/forecast/infer", content=body, headers=headers), status)
    assert client("POST", "/invocations", content=body, headers=headers).status_code in {400, 422}


@pytest.mark.parametrize(
    "change",
    [
        {"area": None},
        {"at": None},
        {"lag": None},
        {"swing": tensor("swnig", [0.0])},
        {"area": tensor("area", [1.0])},
        {"area": tensor("area", ["a"], "FP64")},
        {"area": tensor("area", ["y"], "BYTES")},
        {"at": tensor("at", ["yesterday"], "BYTES")},
        {"at": tensor("at", ["2020-03-02T14:00:00"], "BYTES")},
        {"at": tensor("at", ["0001-01-01T00:00:00+10:00"], "BYTES")},
        {"at": tensor("at", AT, "BYTES")},
        {"lag": tensor("lag", [1.0, 2.0])},
        {"lag": tensor("lag", [1.0], shape=[2])},
        {"lag": tensor("lag", [1.0], shape=[-1, -1])},
        {"lag": tensor("lag", [1.0], "BOOL")},
        {"lag": tensor("lag", ["one"])},
        {"lag": tensor("lag", [True])},
        {"lag": tensor("lag", [[1.0], 2.0], shape=[2])},
        {"extra": tensor("lag", [1.0])},
    ],
)
def test_a_request_that_does_not_fit_the_model_names_the_place(kit: SimpleNamespace, change: dict[str, object]) -> None:
    inputs = {item["name"]: item for item in columns(["a"])["inputs"]} | change
    body = {"inputs": [item for item in inputs.values() if item is not None]}
    document = assert_problem(kit.Client(kit.service())("POST", "/v2/models/forecast/infer", json=body), 422)
    assert document["where"]


def test_no_rows_and_out_of_range_numbers(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    assert_problem(client("POST", "/v2/models/forecast/infer", json=columns([])), 422)
    text = json.dumps(columns(["a"], lag=["HUGE"])).replace('"HUGE"', "1e999")
    assert_problem(client("POST", "/v2/models/forecast/infer", content=text), 422)
    text = json.dumps(columns(["a"], lag=[float("nan")]))
    problem = assert_problem(client("POST", "/v2/models/forecast/infer", content=text), 400)
    assert "null" in str(problem["next_step"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dataframe_split": {"columns": ["a"], "data": [[1]]}, "dataframe_records": []},
        {"dataframe_split": {"columns": ["area", "at"], "data": [["a"]]}},
        {"dataframe_split": {"columns": ["area", "area"], "data": []}},
        {"dataframe_records": [{"area": "a", "at": AT[0], "scale_mw": 1000, "swing": "up", "lag": 1}]},
        {"dataframe_records": [{"area": 7, "at": AT[0], "scale_mw": 1000, "swing": 1, "lag": 1}]},
        {"dataframe_records": [{"area": "a", "at": AT[0], "scale_mw": 1000, "swing": 1}]},
        {"dataframe_records": []},
        {"inputs": [[1, 2]]},
        {"inputs": {"area": ["a"], "at": []}},
        {"instances": [["a", "2020-03-02T14:00:00Z", 1000, 0.0, 1], {"area": "a"}]},
        {"instances": [], "params": {"modle": "rel-1"}},
    ],
)
def test_invocations_that_cannot_be_read(kit: SimpleNamespace, body: dict[str, object]) -> None:
    assert_problem(kit.Client(kit.service())("POST", "/invocations", json=body), 422)


def test_wrong_paths_methods_types_and_sizes_are_problem_documents(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service(body_limit=1000))
    infer = "/v2/models/forecast/infer"
    assert_problem(client("GET", "/v3"), 404)
    assert assert_problem(client("DELETE", "/v1/route"), 405)["title"] == "Method Not Allowed"
    assert client("GET", infer).headers["allow"] == "POST"
    assert_problem(client("GET", infer), 405)
    assert_problem(client("POST", infer, content=b"{}", headers={"content-type": "text/csv"}), 415)
    latin = {"content-type": "application/json; charset=latin-1"}
    assert_problem(client("POST", infer, content=b"{}", headers=latin), 415)
    assert_problem(client("POST", infer, content=b"{}", headers={"content-encoding": "br"}), 415)
    assert_problem(client("POST", infer, content=b" " * 1001), 413)

    async def drip() -> object:
        for _ in range(20):
            yield b" " * 100

    assert_problem(client("POST", infer, content=drip()), 413)
    utf8 = {"content-type": 'application/json; charset="UTF-8"'}
    assert client("POST", infer, content=json.dumps(columns(["a"])), headers=utf8).status_code == 200


def test_what_was_sent_is_not_echoed_without_bound(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    assert_problem(client("POST", "/v2/models/forecast/infer", json=columns(["x" * 100_000])), 422)
    assert_problem(client("GET", "/v2/models/" + "y" * 5000), 404)
    assert_problem(client("POST", "/invocations", json={"z" * 100_000: 1}), 422)


def test_a_current_forecast_with_its_age_and_void_ids(kit: SimpleNamespace) -> None:
    document = kit.Client(kit.service())("GET", "/v1/areas/a/forecast").json()
    assert document["age_s"] == 600.0
    assert document["release"] == "rel-2"
    assert document["served_by"] == "canary"
    assert document["issued_at"] == "2020-03-01T22:00:00Z"
    assert len(document["points"]) == 6
    first = document["points"][0]
    assert first == {
        "id": document["id"] + ":0",
        "at": "2020-03-02T14:00:00Z",
        "q10": 965.0,
        "q50": 1005.0,
        "q90": 1045.0,
        "void": False,
    }
    assert [point["void"] for point in document["points"]] == [False, True, False, False, False, False]
    assert document["void_ids"] == [document["points"][1]["id"]]


def test_forecasts_that_are_not_there(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    assert "yet" in str(assert_problem(client("GET", "/v1/areas/idle/forecast"), 404)["detail"])
    assert "No area" in str(assert_problem(client("GET", "/v1/areas/zz/forecast"), 404)["detail"])
    down = client("GET", "/v1/areas/down/forecast")
    assert assert_problem(down, 503)["error"] == "Unavailable"
    assert down.headers["retry-after"] == "1"
    defect = client("GET", "/v1/areas/defect/forecast")
    assert_problem(defect, 500)
    assert "secret" not in defect.text


def test_an_area_may_have_any_name(kit: SimpleNamespace) -> None:
    whole = kit.service()
    served = replace(whole.forecasts.answers["a"], area="Süd/Ost 1")
    client = kit.Client(replace(whole, forecasts=kit.Forecasts([served])))
    assert client("GET", "/v1/areas/S%C3%BCd%2FOst%201/forecast").json()["area"] == "Süd/Ost 1"


def test_areas_and_route_show_what_is_in_force(kit: SimpleNamespace) -> None:
    gate = kit.gateway({"rel-2": kit.Faulty("rel-2", "nan")})
    whole = kit.service(gate)
    client = kit.Client(whole)
    areas = {row["area"]: row for row in client("GET", "/v1/areas").json()["areas"]}
    assert areas["a"] == {"area": "a", "arm": "champion", "limits_mw": [-500.0, 3000.0]}
    assert areas["idle"]["limits_mw"] is None
    route = client("GET", "/v1/route").json()
    assert route["tripped"] == ["rel-2"]
    assert route["epoch"] == 1
    assert route["lease_expired"] is False
    gate.swap(Route(2, "rel-1", "rel-2", 1.0), {name: kit.Steady(name) for name in ("rel-1", "rel-2", *NAIVE)})
    assert client("GET", "/v1/areas").json()["areas"][0]["arm"] == "canary"


def test_rollback_from_this_host_without_tokens(kit: SimpleNamespace) -> None:
    whole = kit.service()
    body = {"reason": " the canary flaps "}
    for host in ("127.0.0.1", "::1", "127.8.0.3"):
        response = kit.Client(whole, host)("POST", "/v1/rollback", json=body | {"to": "rel-0"})
        assert (response.json()["champion"], response.json()["epoch"]) == ("rel-0", 2)
    for name in ("localhost:8080", "[::1]:8080", "[::1]"):
        assert kit.Client(whole)("POST", "/v1/rollback", json=body, headers={"host": name}).status_code == 200
    for host in ("10.0.0.7", "testclient", ""):
        assert_problem(kit.Client(whole, host)("POST", "/v1/rollback", json=body), 403)
    rebound = kit.Client(whole)("POST", "/v1/rollback", json=body, headers={"host": "evil.example:8080"})
    assert_problem(rebound, 403)
    assert whole.desk.rolled[2] == ("rel-0", "the canary flaps", "loopback 127.8.0.3")
    assert len(whole.desk.rolled) == 6


def test_rollback_needs_a_reason_and_may_be_refused(kit: SimpleNamespace) -> None:
    whole = kit.service()
    client = kit.Client(whole)
    for body in ({}, {"reason": "  "}, {"reason": 1}, {"reason": "x", "too": "rel-0"}):
        assert_problem(client("POST", "/v1/rollback", json=body), 422)
    assert (
        assert_problem(client("POST", "/v1/rollback", json={"reason": "x", "to": "rel-bad"}), 409)["error"] == "Refused"
    )
    for headers in ({}, {"content-type": "text/plain"}):
        assert_problem(client("POST", "/v1/rollback", content=b'{"reason": "x"}', headers=headers), 415)
    assert whole.desk.rolled == []


def test_tokens_and_scopes(kit: SimpleNamespace) -> None:
    def hashed(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()

    grants = {hashed("op"): ("ada", frozenset({"operate"})), hashed("ro"): ("bob", frozenset({"read"}))}
    whole = kit.service(access=Access(grants))
    client = kit.Client(whole)
    for headers in ({}, {"authorization": "Bearer nope"}, {"authorization": "Basic op"}, {"authorization": "op"}):
        response = client("POST", "/v1/rollback", json={"reason": "x"}, headers=headers)
        assert_problem(response, 401)
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert_problem(client("POST", "/v1/rollback", json={"reason": "x"}, headers={"authorization": "Bearer ro"}), 403)
    remote = kit.Client(whole, "10.0.0.7")
    allowed = remote("POST", "/v1/rollback", json={"reason": "x"}, headers={"authorization": "bearer op"})
    assert allowed.status_code == 200
    assert whole.desk.rolled == [(None, "x", "ada")]


def test_the_share_of_a_canary_counts_its_pilot_areas(kit: SimpleNamespace) -> None:
    for share, cohort, told in ((0.0, ("a",), "0.25"), (0.0, ("a", "b"), "0.5"), (1.0, ("a",), "1"), (0.0, (), "0")):
        route = replace(kit.gateway().route, share=share, cohort=cohort)
        text = kit.Client(kit.service(kit.gateway(route=route)))("GET", "/metrics").text
        line = next(line for line in text.splitlines() if line.startswith("recloser_route_canary_share "))
        assert float(line.split()[1]) == float(told), (share, cohort)


def test_metrics_are_prometheus_text(kit: SimpleNamespace) -> None:
    gate = kit.gateway({"rel-2": kit.Faulty("rel-2", "nan", ["b"])})
    client = kit.Client(kit.service(gate))
    client("POST", "/v2/models/forecast/infer", json=columns(["a"]))
    client("GET", "/nowhere")
    client("PROPFIND", "/v1/route")
    response = client("GET", "/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = response.text.splitlines()
    assert response.text.endswith("\n")
    assert 'recloser_answers_total{served_by="canary",release="rel-2"} 4' in lines
    assert 'recloser_incidents_total{kind="output",release="rel-2"} 1' in lines
    assert "recloser_route_epoch 1" in lines
    assert 'recloser_inference_requests_total{model="forecast",outcome="success"} 1' in lines
    assert 'recloser_inference_rows_total{model="forecast"} 1' in lines
    assert any(
        line.startswith('recloser_inference_seconds_total{model="forecast",phase="compute_infer"}') for line in lines
    )
    assert 'recloser_challenger_tripped{release="rel-2"} 0' in lines
    assert 'recloser_http_requests_total{handler="infer",method="POST",status="200"} 1' in lines
    assert 'recloser_http_requests_total{handler="none",method="GET",status="404"} 1' in lines
    assert 'recloser_http_requests_total{handler="route",method="other",status="405"} 1' in lines
    assert 'recloser_http_request_seconds_bucket{handler="infer",le="+Inf"} 1' in lines
    assert 'recloser_http_request_seconds_count{handler="infer"} 1' in lines
    described = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    for line in lines:
        if not line.startswith("#"):
            name, _, number = line.replace("{", " ").partition(" ")
            assert float(number.rsplit(" ", 1)[-1]) >= 0
            assert name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") in described


@pytest.mark.parametrize("text", ["soon", "0", "-5", "nan", "1e12"])
def test_a_callers_time_must_be_a_positive_number(kit: SimpleNamespace, text: str) -> None:
    client = kit.Client(kit.service())
    headers = {"recloser-timeout-ms": text}
    assert_problem(client("POST", "/v2/models/forecast/infer", json=columns(["a"]), headers=headers), 422)
    split = {
        "dataframe_split": {"columns": ["area", "at", "scale_mw", "swing", "lag"], "data": [["a", AT[0], 1, 1, 1]]}
    }
    assert_problem(client("POST", "/invocations", json=split, headers=headers), 422)
    parameters = {"parameters": {"timeout": text}}
    assert_problem(client("POST", "/v2/models/forecast/infer", json=columns(["a"]) | parameters), 422)


def test_a_callers_time_is_taken_from_header_or_parameter(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    timely = client("POST", "/v2/models/forecast/infer", json=columns(["a"]), headers={"recloser-timeout-ms": "5000"})
    assert outputs(timely)["served_by"] == ["canary"]
    parameters = {"parameters": {"timeout": 5_000_000}}
    assert outputs(client("POST", "/v2/models/forecast/infer", json=columns(["a"]) | parameters))["release"] == [
        "rel-2"
    ]


def test_a_late_canary_is_answered_by_the_champion_within_the_callers_time(kit: SimpleNamespace) -> None:
    canary = kit.Steady("rel-2")
    honest, go = canary.predict, threading.Event()

    def late(rows: pl.DataFrame) -> object:
        go.wait(30)
        return honest(rows)

    client = kit.Client(kit.service(kit.gateway({"rel-2": canary})))
    canary.predict = late
    headers = {"recloser-timeout-ms": "300"}
    answer = outputs(client("POST", "/v2/models/forecast/infer", json=columns(["a"]), headers=headers))
    go.set()
    assert answer["served_by"] == ["champion"]
    assert answer["reason"] == ["canary rel-2: the caller's time is up"]


def test_one_request_too_many_is_told_to_come_back(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service(waiting=PlanePolicy(most_rows=1)))
    assert outputs(client("POST", "/v2/models/forecast/infer", json=columns(["a", "b"])))["release"] == ["rel-2"] * 2
    whole = kit.service(waiting=PlanePolicy(most_waiting=1))
    whole.plane._jobs = 1
    response = kit.Client(whole)("POST", "/v2/models/forecast/infer", json=columns(["a"]))
    assert "busy" in str(assert_problem(response, 503)["what"])
    assert response.headers["retry-after"] == "1"


def test_rows_without_a_canarys_own_columns_are_the_champions_and_blame_nobody(kit: SimpleNamespace) -> None:
    champion, canary = kit.Steady("rel-1"), kit.Steady("rel-2", 5.0)
    champion.reads, canary.reads = ("swing", "lag"), ("swing", "warmth")
    service = kit.service(kit.gateway({"rel-1": champion, "rel-2": canary}))
    asked, client = canary.calls, kit.Client(service)
    for path in ("/v2/models/forecast/infer", "/invocations"):
        whole = columns(["a", "b"])
        names = {item["name"]: item["data"] for item in whole["inputs"]}
        for _ in range(4):
            body = whole if path != "/invocations" else {"inputs": names}
            response = client("POST", path, json=body)
            assert response.status_code == 200, response.text
        assert canary.calls == asked
    answer = outputs(client("POST", "/v2/models/forecast/infer", json=columns(["a", "b"])))
    assert answer["release"] == ["rel-1", "rel-1"]
    assert "lacks columns" in answer["reason"][0]
    assert not service.gateway.tripped
    answer = outputs(client("POST", "/v2/models/forecast/infer", json=columns(["a", "b"], warmth=[5.0, 5.0])))
    assert answer["release"] == ["rel-2", "rel-2"]
    assert "warmth" in [item["name"] for item in client("GET", "/v2/models/forecast").json()["inputs"]]
    assert_problem(client("POST", "/v2/models/forecast/infer", json=columns(["a"], cold=[5.0])), 422)
    service.gateway.swap(Route(2, "rel-2", fallback=()), {"rel-2": canary})
    assert "warmth" in assert_problem(client("POST", "/v2/models/forecast/infer", json=columns(["a"])), 422)["detail"]
    answer = outputs(client("POST", "/v2/models/forecast/infer", json=columns(["a"], warmth=[5.0])))
    assert answer["release"] == ["rel-2"]  # a column that nobody reads any more may still be sent
