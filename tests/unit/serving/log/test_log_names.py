"""The name of a request: what the caller gave, what it is told, what the log says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.serving.log import AnswerRecord, PredictionLog
from recloser.serving.wire.identity import named

INFER = "/v2/models/forecast/infer"
Opened = Callable[..., PredictionLog]


def body(request_id: str | None) -> dict[str, object]:
    levels = {"scale_mw": 1000.0, "swing": 0.0, "lag": 1.0}
    texts = {"area": "a", "at": "2020-03-02T14:00:00Z"}
    inputs = [{"name": n, "shape": [1], "datatype": "FP64", "data": [level]} for n, level in levels.items()]
    inputs += [{"name": n, "shape": [1], "datatype": "BYTES", "data": [text]} for n, text in texts.items()]
    return {"inputs": inputs} if request_id is None else {"inputs": inputs, "id": request_id}


@pytest.mark.parametrize(
    ("header", "own", "told", "logged"),
    [
        ("up-1", None, "up-1", "up-1"),
        (None, "r-7", "r-7", "r-7"),
        ("up-1", "r-7", "up-1", "r-7"),
        (None, "größer\n", None, "größer\n"),
        ("a b", None, None, None),
        ("x" * 129, None, None, None),
        (None, None, None, None),
    ],
)
def test_one_name_stands_in_the_answer_and_in_the_log(
    *,
    kit: SimpleNamespace,
    opened: Opened,
    folder: Path,
    logbook: SimpleNamespace,
    header: str | None,
    own: str | None,
    told: str | None,
    logged: str | None,
) -> None:
    log = opened()
    service = kit.service(log=log)
    client = kit.Client(service)
    headers = {} if header is None else {"x-request-id": header}
    answers = [client("POST", INFER, json=body(own), headers=headers) for _ in range(2)]
    service.plane.close()  # evidence may follow an answer
    assert log.close()
    assert [answer.status_code for answer in answers] == [200, 200]
    names = [answer.headers.get_list("x-request-id") for answer in answers]
    assert [len(found) for found in names] == [1, 1]
    if told is None:
        assert names[0] != names[1]
        assert all(len(name) == 32 for found in names for name in found)
    else:
        assert names == [[told], [told]]
    assert [answer.json().get("id") for answer in answers] == [own, own]
    records = [record for _, record in logbook.everything(folder) if isinstance(record, AnswerRecord)]
    assert [record.request_id for record in records] == ([logged] * 2 if logged else [found[0] for found in names])


def test_every_answer_has_a_name_even_a_refusal_and_a_defect(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    for method, path, status in (
        ("GET", "/v2", 200),
        ("GET", "/nowhere", 404),
        ("DELETE", "/v2", 405),
        ("GET", "/v1/areas/defect/forecast", 500),
        ("POST", INFER, 400),
    ):
        answer = client(method, path, headers={"x-request-id": "mine-1"})
        assert (answer.status_code, answer.headers.get_list("x-request-id")) == (status, ["mine-1"])
        assert len(client(method, path).headers["x-request-id"]) == 32


def test_calls_over_grpc_have_a_name_too(kit: SimpleNamespace, opened: Opened, folder: Path, logbook: Any) -> None:
    grpc = pytest.importorskip("grpc", reason="the extra grpc is not installed")
    from recloser.serving.grpc.messages import MESSAGES  # only with the extra

    def content(request_id: str) -> bytes:
        request = MESSAGES["ModelInferRequest"](model_name="forecast", id=request_id)
        for name, text in (("area", "a"), ("at", "2020-03-02T14:00:00Z")):
            request.inputs.add(name=name, datatype="BYTES", shape=[1]).contents.bytes_contents.append(text.encode())
        for name, number in (("scale_mw", 1000.0), ("swing", 1.0), ("lag", 1.0)):
            request.inputs.add(name=name, datatype="FP64", shape=[1]).contents.fp64_contents.append(number)
        return bytes(request.SerializeToString())

    log, told = opened(), []
    service = kit.service(log=log)
    with kit.grpc_port(service) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for own, given_name in (("", ""), ("", "up-1"), ("r-7", ""), ("r-7", "up-1")):
            metadata = (("x-request-id", given_name),) if given_name else ()
            infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            answer, call = infer.with_call(content(own), timeout=20, metadata=metadata)
            assert MESSAGES["ModelInferResponse"].FromString(answer).id == own
            told.append(dict(call.trailing_metadata())["x-request-id"])
        with pytest.raises(grpc.RpcError) as caught:
            infer(b"\xff", timeout=20, metadata=(("x-request-id", "up-2"),))
        assert dict(caught.value.trailing_metadata())["x-request-id"] == "up-2"
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        call = stream(iter([content(""), content("r-8")]), timeout=20, metadata=(("x-request-id", "up-3"),))
        assert len(list(call)) == 2
        assert dict(call.trailing_metadata())["x-request-id"] == "up-3"
    service.plane.close()
    assert log.close()
    records = [record for _, record in logbook.everything(folder) if isinstance(record, AnswerRecord)]
    assert told[1:] == ["up-1", "r-7", "up-1"]
    assert sorted(r.request_id for r in records) == sorted([told[0], "up-1", "r-7", "r-7", "up-3/0", "r-8"])


@given(st.lists(st.one_of(st.none(), st.text(max_size=140)), max_size=3))
def test_a_name_is_always_fit_for_a_header(given_names: list[str | None]) -> None:
    name = named(*given_names)
    assert 1 <= len(name) <= 128
    assert all("!" <= character <= "~" for character in name)
