from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput, Unavailable
from recloser.serving.grpc import grpc_lifespan
from recloser.serving.http import Access
from recloser.serving.wire.oip import Call, Reply
from recloser.serving.wire.tensors import BYTES, DTYPES, Tensor, to_raw

grpc = pytest.importorskip("grpc", reason="the extra grpc is not installed")

from recloser.serving.grpc.convert import call_of, parse, reply_of  # noqa: E402  # only with the extra
from recloser.serving.grpc.messages import MESSAGES, SCHEMA  # noqa: E402

AT = "2020-03-02T14:00:00Z"


def infer_request(areas: list[str], *, raw: bool = False, **numbers: list[float]) -> Any:
    """Return a request for the test model, its data typed or raw."""
    n = len(areas)
    request = MESSAGES["ModelInferRequest"](model_name="forecast", id="7")
    columns = {"scale_mw": [1000.0] * n, "swing": [1.0] * n, "lag": [1.0] * n} | numbers
    tensors = [Tensor("area", BYTES, (n,), areas), Tensor("at", BYTES, (n,), [AT] * n)]
    tensors += [Tensor(name, "FP64", (len(cells),), np.array(cells)) for name, cells in columns.items()]
    for tensor in tensors:
        given_tensor = request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if raw:
            request.raw_input_contents.append(to_raw(tensor))
        elif isinstance(tensor.values, list):
            given_tensor.contents.bytes_contents.extend(text.encode() for text in tensor.values)
        else:
            given_tensor.contents.fp64_contents.extend(tensor.values.tolist())
    return request


@pytest.fixture
def served(kit: SimpleNamespace) -> Iterator[SimpleNamespace]:
    gate = kit.gateway({"rel-0": kit.Faulty("rel-0", "nan")})
    whole = kit.service(gate, body_limit=200_000)
    with kit.grpc_port(whole) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:

        def call(method: str, request: Any, **options: Any) -> Any:
            content = request if isinstance(request, bytes) else request.SerializeToString()
            answer = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(content, timeout=20, **options)
            return MESSAGES[f"{method}Response"].FromString(answer)

        yield SimpleNamespace(call=call, service=whole, port=port)


def test_typed_data_come_back_typed_and_raw_data_raw(served: SimpleNamespace) -> None:
    typed = served.call("ModelInfer", infer_request(["b", "a"]))
    assert (typed.id, typed.model_name, typed.model_version) == ("7", "forecast", "1")
    outputs = {output.name: output for output in typed.outputs}
    assert list(outputs["q50"].contents.fp64_contents) == [1105.0, 1105.0]
    assert list(outputs["release"].contents.bytes_contents) == [b"rel-2", b"rel-2"]
    assert list(typed.raw_output_contents) == []
    raw = served.call("ModelInfer", infer_request(["b", "a"], raw=True))
    place = [output.name for output in raw.outputs].index("q50")
    assert np.frombuffer(raw.raw_output_contents[place]).tolist() == [1105.0, 1105.0]
    assert all(not output.contents.ByteSize() for output in raw.outputs)


def test_errors_are_statuses_with_sentences(served: SimpleNamespace) -> None:
    direct = infer_request(["a"])
    direct.model_name = "rel-0"
    torn = infer_request(["a"], raw=True)
    torn.raw_input_contents[2] = b"1234567"
    cases = [
        ("ModelInfer", direct, "UNAVAILABLE", "no model could give a safe answer"),
        ("ModelInfer", torn, "INVALID_ARGUMENT", "scale_mw"),
        ("ModelInfer", b"\xff\xff\xff", "INVALID_ARGUMENT", "no message"),
        ("ModelInfer", infer_request([]), "INVALID_ARGUMENT", "without rows"),
        ("ModelConfig", MESSAGES["ModelConfigRequest"](name="rel-9"), "NOT_FOUND", "no such model"),
        ("ModelStatistics", MESSAGES["ModelStatisticsRequest"](name="y" * 5000), "NOT_FOUND", "no such model"),
    ]
    for method, request, status, part in cases:
        with pytest.raises(grpc.RpcError) as caught:
            served.call(method, request)
        assert caught.value.code().name == status
        assert part in caught.value.details()
        assert len(caught.value.details()) <= 1000


def test_a_defect_tells_the_caller_nothing(served: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def now(self) -> None:
            raise ZeroDivisionError("secret")

    object.__setattr__(served.service, "clock", Broken())
    with pytest.raises(grpc.RpcError) as caught:
        served.call("ModelInfer", infer_request(["a"]))
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in caught.value.details()
    assert "secret" in caplog.text


def test_what_is_too_large_is_refused_compressed_or_not(served: SimpleNamespace) -> None:
    large = infer_request(["a"] * 20_000, raw=True)
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        with pytest.raises(grpc.RpcError) as caught:
            served.call("ModelInfer", large, compression=compression)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert served.call("ServerLive", b"").live


def test_a_taken_port_and_a_missing_extra_are_clear_errors(
    kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begin(port: int) -> None:
        async with grpc_lifespan(kit.service(), "127.0.0.1", port)(None):
            raise AssertionError("the port was taken")

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Unavailable, match="cannot listen"):
        asyncio.run(begin(taken.getsockname()[1]))
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(Unavailable, match=r"recloser\[grpc\]"):
        grpc_lifespan(kit.service(), "127.0.0.1", 0)


@pytest.mark.parametrize("datatype", [BYTES, *(name for name in DTYPES if name != "FP16")])
def test_every_datatype_has_typed_contents(datatype: str) -> None:
    values = ["ä", ""] if datatype == BYTES else np.array([0, 1], DTYPES[datatype])
    reply = reply_of(Call(()), Reply("m", "1", (Tensor("x", datatype, (2,), values),)), raw=False)
    request = MESSAGES["ModelInferRequest"](inputs=reply.outputs)
    call, raw = call_of(request)
    assert not raw
    assert list(call.tensors[0].values) == list(values)


def test_half_precision_travels_raw_only() -> None:
    request = MESSAGES["ModelInferRequest"]()
    request.inputs.add(name="x", datatype="FP16", shape=[1]).contents.fp32_contents.append(1.5)
    with pytest.raises(InvalidInput, match="raw"):
        call_of(request)
    del request.inputs[0].contents.fp32_contents[:]
    request.raw_input_contents.append(np.array([1.5], "<f2").tobytes())
    assert call_of(request)[0].tensors[0].floats().tolist() == [1.5]


def test_data_in_two_forms_or_for_some_inputs_are_refused() -> None:
    both = infer_request(["a"])
    both.raw_input_contents.extend([b""] * len(both.inputs))
    with pytest.raises(InvalidInput, match="at once"):
        call_of(both)
    some = infer_request(["a"], raw=True)
    del some.raw_input_contents[-1]
    with pytest.raises(InvalidInput, match="some inputs"):
        call_of(some)
    wrong = infer_request(["a"])
    wrong.inputs[0].shape[0] = -1
    with pytest.raises(InvalidInput, match="shape"):
        call_of(wrong)
    text = infer_request(["a"])
    text.inputs[0].contents.bytes_contents[0] = b"\xff"
    with pytest.raises(InvalidInput, match="UTF-8"):
        call_of(text)
    shared = infer_request(["a"])
    shared.inputs[0].parameters.add(key="shared_memory_region").value.string_param = "r"
    with pytest.raises(InvalidInput, match="not spoken"):
        call_of(shared)


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_a_request_or_our_error(content: bytes) -> None:
    try:
        call, _ = call_of(parse("ModelInferRequest", content))
    except InvalidInput:
        return
    assert all(tensor.name is not None for tensor in call.tensors)


@given(st.data())
def test_a_damaged_request_is_a_request_or_our_error(data: st.DataObject) -> None:
    content = bytearray(infer_request(["a", "b"], raw=data.draw(st.booleans())).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        call, _ = call_of(parse("ModelInferRequest", bytes(content)))
    except InvalidInput:
        return
    assert sum(len(tensor.values) for tensor in call.tensors) <= struct.calcsize("d") * len(content)


THEIRS = {
    "TensorMetadata": "ModelMetadataResponse.TensorMetadata",
    "ParameterValue": "InferParameter",
    "Parameter": "ModelInferRequest.ParametersEntry",
    "InferTensor": "ModelInferRequest.InferInputTensor",
    "InferRequestedOutput": "ModelInferRequest.InferRequestedOutputTensor",
    "ModelIndex": "RepositoryIndexResponse.ModelIndex",
    "ConfiguredInput": "ModelInput",
    "ConfiguredOutput": "ModelOutput",
}
"""Our flat names -> the protocol's, where they differ."""


@pytest.mark.parametrize("name", sorted(SCHEMA))
def test_numbers_and_types_are_those_of_an_independent_definition(name: str) -> None:
    pytest.importorskip("tritonclient.grpc", reason="tritonclient[grpc] is not installed")
    from google.protobuf import descriptor_pool

    theirs = descriptor_pool.Default().FindMessageTypeByName(f"inference.{THEIRS.get(name, name)}")
    for field in MESSAGES[name].DESCRIPTOR.fields:
        other = theirs.fields_by_name[field.name]
        wire_type = "int32" if other.enum_type else other.type
        assert (field.number, field.is_repeated) == (other.number, other.is_repeated)
        assert wire_type in (field.type, "int32")


def test_tokens_hold_over_grpc_too(kit: SimpleNamespace) -> None:
    tokens = {hashlib.sha256(b"secret").hexdigest(): ("ann", frozenset({"read"}))}
    with kit.grpc_port(kit.service(access=Access(tokens))) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as wire:

        def status(method: str, request: Any, *metadata: tuple[str, str]) -> str:
            try:
                call = wire.unary_unary(f"/inference.GRPCInferenceService/{method}")
                call(request.SerializeToString(), timeout=20, metadata=metadata)
            except grpc.RpcError as error:
                return str(error.code().name)
            return "OK"

        live = MESSAGES["ServerLiveRequest"]()
        assert status("ServerLive", live) == "UNAUTHENTICATED"
        assert status("ServerLive", live, ("authorization", "Bearer wrong")) == "UNAUTHENTICATED"
        assert status("ServerLive", live, ("authorization", "Bearer secret")) == "OK"
        assert status("ModelInfer", infer_request(["a"]), ("authorization", "Bearer secret")) == "PERMISSION_DENIED"
