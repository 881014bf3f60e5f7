from __future__ import annotations

import gzip
import json
import struct
import tracemalloc
import zlib
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from starlette.exceptions import HTTPException

from recloser.core import InvalidInput
from recloser.serving.http.body import inflate
from recloser.serving.wire.oip import Call, Reply, read_call, write_reply
from recloser.serving.wire.rows import InputColumns, rows_from_tensors
from recloser.serving.wire.tensors import BYTES, DTYPES, Tensor, from_raw, to_raw

AT = "2020-03-02T14:00:00Z"
SHAPES = st.lists(st.integers(0, 5), min_size=1, max_size=4)


@st.composite
def tensors(draw: st.DrawFn, name: str = "x") -> Tensor:
    datatype = draw(st.sampled_from([BYTES, *DTYPES]))
    shape = draw(SHAPES)
    count = int(np.prod(shape))
    if datatype == BYTES:
        return Tensor(name, datatype, tuple(shape), draw(st.lists(st.text(max_size=8), min_size=count, max_size=count)))
    elements = st.integers(0, 1) if datatype == "BOOL" else None
    return Tensor(name, datatype, tuple(shape), draw(arrays.arrays(DTYPES[datatype], count, elements=elements)))


def assert_equal(ours: Tensor, theirs: Tensor) -> None:
    assert (ours.name, ours.datatype, ours.shape) == (theirs.name, theirs.datatype, theirs.shape)
    if isinstance(theirs.values, list):
        assert ours.values == theirs.values
    else:
        assert np.asarray(ours.values).tobytes() == theirs.values.tobytes()


@given(tensors())
def test_the_raw_form_goes_round(tensor: Tensor) -> None:
    raw = to_raw(tensor)
    assert_equal(from_raw(tensor.name, tensor.datatype, tensor.shape, memoryview(raw)), tensor)


@given(tensors(), st.integers(-3, 5), st.binary(max_size=5))
def test_raw_data_of_another_length_are_refused(tensor: Tensor, change: int, more: bytes) -> None:
    raw = to_raw(tensor)
    other = raw[:change] if change < 0 else raw + more[:change]
    if len(other) != len(raw):
        with pytest.raises(InvalidInput):
            from_raw("x", tensor.datatype, tensor.shape, memoryview(other))


@given(
    st.sampled_from([BYTES, *DTYPES, "FP8", ""]), st.lists(st.integers(-2, 2**62), max_size=12), st.binary(max_size=64)
)
def test_arbitrary_bytes_are_a_tensor_or_our_error(datatype: str, shape: list[int], raw: bytes) -> None:
    try:
        tensor = from_raw("x", datatype, shape, memoryview(raw))
    except InvalidInput:
        return
    assert to_raw(tensor) == raw


def test_numbers_are_a_view_and_impossible_lengths_allocate_nothing() -> None:
    raw = np.arange(50_000.0).tobytes()
    tensor = from_raw("x", "FP64", [50_000], memoryview(raw))
    assert np.shares_memory(tensor.floats(), np.frombuffer(raw))
    hostile = [
        ("FP64", [2**62], b"12345678"),
        (BYTES, [2**40], b"\0\0\0\0"),
        (BYTES, [1], struct.pack("<I", 0xFFFFFFFF) + b"abc"),
        (BYTES, [2], struct.pack("<I", 4) + b"abcd" + b"\1"),
        ("INT8", [2**30] * 8, b""),
    ]
    tracemalloc.start()
    for datatype, shape, data in hostile:
        with pytest.raises(InvalidInput):
            from_raw("x", datatype, shape, memoryview(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


def packed(items: list[Tensor], **more: Any) -> tuple[bytes, str]:
    """Return an inference request in binary as a client builds it."""
    raws = [to_raw(tensor) for tensor in items]
    inputs = [
        {"name": t.name, "shape": t.shape, "datatype": t.datatype, "parameters": {"binary_data_size": len(raw)}}
        for t, raw in zip(items, raws, strict=True)
    ]
    header = msgspec.json.encode({"inputs": inputs, **more})
    return header + b"".join(raws), str(len(header))


@given(st.lists(tensors(), max_size=3))
def test_a_binary_request_gives_back_its_tensors(items: list[Tensor]) -> None:
    call = read_call(*packed(items, id="7"))
    assert call.id == "7"
    assert len(call.tensors) == len(items)
    for ours, theirs in zip(call.tensors, items, strict=True):
        assert_equal(ours, theirs)


@given(st.lists(tensors(), min_size=1, max_size=3), st.integers(-20, 20), st.binary(max_size=9), st.integers(0, 9))
def test_a_request_whose_lengths_do_not_fit_is_our_error(
    items: list[Tensor], shift: int, more: bytes, cut: int
) -> None:
    body, header = packed(items)
    damaged = body[: len(body) - cut] + more
    try:
        call = read_call(damaged, str(int(header) + shift))
    except InvalidInput:
        assert len(damaged) != len(body) or shift or damaged != body
        return
    assert len(call.tensors) == len(items)
    assert len(damaged) == len(body)


@given(st.lists(st.tuples(tensors(), st.booleans()), min_size=1, max_size=4))
def test_an_answer_can_be_read_by_the_lengths_it_states(items: list[tuple[Tensor, bool]]) -> None:
    outputs = tuple(Tensor(f"y{k}", t.datatype, t.shape, t.values) for k, (t, _) in enumerate(items))
    wanted = tuple((f"y{k}", binary) for k, (_, binary) in enumerate(items))
    body, length = write_reply(Call((), "id", wanted), Reply("m", "1", outputs))
    document = json.loads(body[:length])
    assert document["id"] == "id"
    assert (length is None) == all(not binary for _, binary in wanted)
    at = len(body) if length is None else length
    for described, output, (_, binary) in zip(document["outputs"], outputs, wanted, strict=True):
        assert ("data" in described) != binary
        if binary:
            size = described["parameters"]["binary_data_size"]
            raw = memoryview(body)[at : at + size]
            assert_equal(from_raw(output.name, output.datatype, described["shape"], raw), output)
            at += size
    assert at == len(body)


@pytest.mark.parametrize("header", ["", "-1", "x", "1e2", "²", "9" * 30, "0", "1", "100000"])
def test_a_header_length_that_cannot_be_is_refused(header: str) -> None:
    with pytest.raises(InvalidInput):
        read_call(packed([])[0], header)


BAD_PARAMETERS = [
    {"binary_data_size": -1},
    {"binary_data_size": True},
    {"binary_data_size": "8"},
    {"binary_data_size": 8.0},
    {"binary_data_size": 7},
    {"binary_data_size": 9},
    {"binary_data_size": 2**63},
    {"binary_data_size": 8, "shared_memory_region": "r"},
    {},
]


@pytest.mark.parametrize("parameters", BAD_PARAMETERS)
def test_a_tensor_that_does_not_say_its_size_is_refused(parameters: dict[str, Any]) -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "FP64", "parameters": parameters}
    header = json.dumps({"inputs": [tensor]}).encode()
    with pytest.raises(InvalidInput):
        read_call(header + b"12345678", str(len(header)))


def test_data_in_json_and_in_binary_at_once_are_refused() -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1], "parameters": {"binary_data_size": 8}}
    header = json.dumps({"inputs": [tensor]}).encode()
    with pytest.raises(InvalidInput, match="one form"):
        read_call(header + b"12345678", str(len(header)))


def test_forms_of_data_mix_and_types_become_floats() -> None:
    half = Tensor("lag", "FP16", (2,), np.array([1.5, np.nan], np.float16))
    area = {"name": "area", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}
    flag = {"name": "flag", "shape": [2], "datatype": "BOOL", "data": [True, False]}
    scale = {"name": "scale_mw", "shape": [2, 1], "datatype": "INT64", "data": [[10], [20]]}
    body, header = packed([half])
    mixed = json.loads(body[: int(header)])
    mixed["inputs"] += [area, flag, scale]
    text = json.dumps(mixed).encode()
    call = read_call(text + to_raw(half), str(len(text)))
    rows = rows_from_tensors(call.tensors, InputColumns(("scale_mw", "flag", "lag"), at=False))
    assert rows.areas == ["a", "b"]
    assert rows.numbers["scale_mw"].tolist() == [10.0, 20.0]
    assert rows.numbers["flag"].tolist() == [1.0, 0.0]
    assert rows.numbers["lag"][0] == 1.5
    assert np.isnan(rows.numbers["lag"][1])


def test_times_may_be_microseconds_since_1970() -> None:
    columns = InputColumns(("scale_mw",))
    area, scale = Tensor("area", BYTES, (1,), ["a"]), Tensor("scale_mw", "FP64", (1,), np.array([1.0]))
    text = rows_from_tensors([area, scale, Tensor("at", BYTES, (1,), [AT])], columns)
    number = Tensor("at", "INT64", (1,), np.array([1_583_157_600_000_000]))
    assert rows_from_tensors([area, scale, number], columns).at_us == text.at_us
    for wrong in (
        Tensor("at", "INT64", (1,), np.array([2**62])),
        Tensor("at", "INT64", (2,), np.array([1, 2])),
        Tensor("at", "FP64", (1,), np.array([1.0])),
    ):
        with pytest.raises(InvalidInput) as caught:
            rows_from_tensors([area, scale, wrong], columns)
        assert caught.value.where == "at"


@given(st.binary(max_size=400), st.sampled_from(["gzip", "deflate"]))
def test_inflating_goes_round_and_damage_is_our_error(body: bytes, encoding: str) -> None:
    packed_body = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    assert inflate(packed_body, encoding, 400) == body
    for damaged in (packed_body[:-1], packed_body + b"x", b"\0" + packed_body, b""):
        with pytest.raises(InvalidInput):
            inflate(damaged, encoding, 400)


def test_a_bomb_inflates_no_further_than_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(HTTPException) as caught:
        inflate(bomb, "gzip", 100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.status_code == 413
    assert peak < 1_000_000


def request(areas: list[str], datatype: str = "FP64") -> list[Tensor]:
    n = len(areas)
    numbers = [("scale_mw", 1000), ("swing", 1), ("lag", 1)]
    return [
        Tensor("area", BYTES, (n,), areas),
        Tensor("at", BYTES, (n,), [AT] * n),
        *(Tensor(name, datatype, (n,), np.full(n, number, DTYPES[datatype])) for name, number in numbers),
    ]


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "UINT64", "UINT32", "UINT16"])
def test_binary_both_ways_over_http(kit: SimpleNamespace, datatype: str) -> None:
    client = kit.Client(kit.service())
    body, header = packed(request(["b", "a"], datatype), parameters={"binary_data_output": True})
    headers = {"inference-header-content-length": header, "content-type": "application/octet-stream"}
    response = client("POST", "/v2/models/forecast/infer", content=body, headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers["inference-header-content-length"])
    document, at, got = json.loads(response.content[:length]), length, {}
    for output in document["outputs"]:
        size = output["parameters"]["binary_data_size"]
        raw = memoryview(response.content)[at : at + size]
        got[output["name"]] = from_raw(output["name"], output["datatype"], output["shape"], raw)
        at += size
    assert got["q50"].floats().tolist() == [1105.0, 1105.0]
    assert got["served_by"].texts() == ["canary", "canary"]
    assert "binary_tensor_data" in client("GET", "/v2").json()["extensions"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_requests(kit: SimpleNamespace, encoding: str) -> None:
    client = kit.Client(kit.service(body_limit=100_000))
    body, header = packed(request(["a"] * 1500))
    squeezed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    headers = {"inference-header-content-length": header, "content-encoding": encoding}
    answer = client("POST", "/v2/models/forecast/infer", content=squeezed, headers=headers)
    assert answer.json()["outputs"][0]["shape"] == [1500]
    small = kit.Client(kit.service(body_limit=20_000))
    assert small("POST", "/v2/models/forecast/infer", content=squeezed, headers=headers).status_code == 413


def test_binary_content_needs_its_header(kit: SimpleNamespace) -> None:
    client = kit.Client(kit.service())
    body, header = packed(request(["a"]))
    typed = {"content-type": "application/octet-stream"}
    assert client("POST", "/v2/models/forecast/infer", content=body, headers=typed).status_code == 415
    short = {"inference-header-content-length": str(int(header) - 1)}
    assert client("POST", "/v2/models/forecast/infer", content=body, headers=short).status_code == 400
