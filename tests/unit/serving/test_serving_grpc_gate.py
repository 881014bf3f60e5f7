"""The gate, the stream and the health service of gRPC, over real sockets."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
import time
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from recloser.serving import GuardPolicy, Route
from recloser.serving.grpc import grpc_lifespan
from recloser.serving.http import Access
from recloser.serving.http.admission import Priority, TrafficLimits
from recloser.serving.plane import PlanePolicy

grpc = pytest.importorskip("grpc", reason="the extra grpc is not installed")

from recloser.serving.grpc.calls import MOST_STREAMS, STREAM_AT_ONCE, address_of, priority_of_call  # noqa: E402
from recloser.serving.grpc.messages import MESSAGES  # noqa: E402  # only with the extra

SERVICE = "/inference.GRPCInferenceService/"
INFER, STREAM, LIVE, INDEX, CHECK = (
    SERVICE + "ModelInfer",
    SERVICE + "ModelStreamInfer",
    SERVICE + "ServerLive",
    SERVICE + "RepositoryIndex",
    "/grpc.health.v1.Health/Check",
)


def infer_request(area: str = "a", model: str = "forecast", name: str = "") -> bytes:
    """Return a request of one row."""
    request = MESSAGES["ModelInferRequest"](model_name=model, id=name)
    for column, text in (("area", area), ("at", "2020-03-02T14:00:00Z")):
        request.inputs.add(name=column, datatype="BYTES", shape=[1]).contents.bytes_contents.append(text.encode())
    for column, number in (("scale_mw", 1000.0), ("swing", 1.0), ("lag", 1.0)):
        request.inputs.add(name=column, datatype="FP64", shape=[1]).contents.fp64_contents.append(number)
    return bytes(request.SerializeToString())


class Held:
    """A champion that waits until it is let go, and counts who is with it."""

    release = "rel-1"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked = threading.Event()

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        if rows["area"].n_unique() == 1:  # not what the kit asks before anything is served
            self.asked.set()
            assert self.go.wait(20)
        level = rows["scale_mw"].to_numpy()
        return np.stack([level - 40.0, level, level + 40.0], axis=1)


PATIENCE = PlanePolicy(deadline_ms=60_000.0)


def patient(kit: SimpleNamespace, champion: Held) -> Any:
    """Return a gateway that waits for its champion."""
    return kit.gateway({"rel-1": champion}, policy=GuardPolicy(late_after_ms=60_000.0))


class Wire:
    """One channel; a call gives the response's bytes or the error."""

    def __init__(self, port: int, service: Any = None) -> None:
        self.service = service
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def __call__(self, method: str, content: bytes = b"", *metadata: tuple[str, str]) -> Any:
        try:
            return self.channel.unary_unary(method)(content, timeout=20, metadata=metadata)
        except grpc.RpcError as error:
            return error

    def later(self, method: str, content: bytes = b"") -> Any:
        return self.channel.unary_unary(method).future(content, timeout=20)


@pytest.fixture
def opened(kit: SimpleNamespace) -> Iterator[Any]:
    """Open services, each with a wire to it."""
    with contextlib.ExitStack() as stack:

        def open_one(**changes: Any) -> Wire:
            whole = kit.service(**changes)
            wire = Wire(stack.enter_context(kit.grpc_port(whole)), whole)
            stack.callback(wire.channel.close)
            return wire

        yield open_one


def test_a_caller_that_is_too_fast_is_told_when_to_come_back(opened: Any) -> None:
    wire = opened(limits=TrafficLimits(requests_per_second=0.01, burst=3))
    assert all(isinstance(wire(LIVE), bytes) for _ in range(3))
    error = wire(INFER, infer_request())
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    trailing = dict(error.trailing_metadata())
    assert 90 < int(trailing["retry-after"]) <= 100
    assert int(trailing["grpc-retry-pushback-ms"]) == 1000 * int(trailing["retry-after"])


def test_http_and_grpc_share_a_callers_rate(kit: SimpleNamespace) -> None:
    whole = kit.service(limits=TrafficLimits(requests_per_second=0.001, burst=2))
    ports: queue.Queue[int] = queue.Queue()
    with kit.Running(whole, grpc_lifespan(whole, "127.0.0.1", 0, ports.put)) as running:
        wire = Wire(ports.get(timeout=20))
        with running.connection() as http:
            http.request("GET", "/v2")
            assert http.getresponse().status == 200
        assert isinstance(wire(LIVE), bytes)
        assert wire(LIVE).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        wire.channel.close()


def test_when_there_is_too_much_to_do_probes_are_answered_and_the_rest_is_sent_away(
    kit: SimpleNamespace, opened: Any
) -> None:
    held = Held()
    wire = opened(gate=patient(kit, held), waiting=PATIENCE, limits=TrafficLimits(concurrent=5))
    waiting = [wire.later(INFER, infer_request()) for _ in range(4)]  # 4/5 of the room: no more inference
    while wire.service.gate.load.under_way < 4:
        time.sleep(0.01)
    error = wire(INFER, infer_request())
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert dict(error.trailing_metadata())["retry-after"] == "1"
    assert wire(INDEX).code() == grpc.StatusCode.UNAVAILABLE
    assert wire(LIVE) == b"\x08\x01"
    assert wire(CHECK) == b"\x08\x01"
    held.go.set()
    assert all(call.result() for call in waiting)
    assert isinstance(wire(INFER, infer_request()), bytes)


def test_health_is_the_standard_one(opened: Any) -> None:
    wire = opened()
    assert wire(CHECK) == b"\x08\x01"
    assert wire(CHECK, b"\n\x1e" + b"inference.GRPCInferenceService") == b"\x08\x01"
    assert wire(CHECK, b"\n\x05other").code() == grpc.StatusCode.NOT_FOUND
    wire.service.gateway.swap(Route(2, None, fallback=()), {})
    assert wire(CHECK) == b"\x08\x02"


def test_who_calls_and_what_for() -> None:
    assert address_of("ipv4:127.0.0.1:5000") == "127.0.0.1"
    assert address_of("ipv6:%5B::1%5D:5000") == "::1"
    assert address_of("ipv6:[::1]:5000") == "::1"
    assert address_of("unix:/run/x") == "unix:/run/x"
    assert priority_of_call("ModelInferRequest", infer_request()) == Priority.ROUTED
    assert priority_of_call("ModelInferRequest", infer_request(model="rel-2")) == Priority.OTHER
    assert priority_of_call("ModelInferRequest", b"") == Priority.OTHER
    assert priority_of_call("ServerLiveRequest", b"") == Priority.FORECAST
    assert priority_of_call("ModelStatisticsRequest", b"\n\x08forecast") == Priority.OTHER


def streamed(wire: Wire, contents: Any, *metadata: tuple[str, str]) -> list[Any]:
    """Send messages on one stream and return the answers, the error last if it ended with one."""
    found: list[Any] = []
    try:
        call = wire.channel.stream_stream(STREAM)(iter(contents), timeout=30, metadata=metadata)
        found.extend(MESSAGES["ModelStreamInferResponse"].FromString(content) for content in call)
    except grpc.RpcError as error:
        found.append(error)
    return found


def test_a_stream_answers_in_order_and_an_error_ends_it_not(opened: Any) -> None:
    wrong = {3: infer_request("nowhere", name="3"), 5: b"\xff\xff", 7: infer_request(model="rel-9", name="7")}
    contents = [wrong.get(k, infer_request(name=str(k))) for k in range(100)]
    answers = streamed(opened(), contents)
    assert [one.infer_response.id for one in answers] == [str(k) if k != 5 else "" for k in range(100)]
    assert {k for k, one in enumerate(answers) if one.error_message} == set(wrong)
    assert "unknown area" in answers[3].error_message
    assert list(answers[99].infer_response.outputs[3].contents.bytes_contents) == [b"canary"]
    final = {p.key: p.value.bool_param for p in answers[99].infer_response.parameters}
    assert final == {"triton_final_response": True}


def test_a_stream_reads_no_more_than_it_can_answer(kit: SimpleNamespace, opened: Any) -> None:
    held, taken = Held(), []
    wire = opened(gate=patient(kit, held), waiting=PATIENCE)

    def contents() -> Iterator[bytes]:
        for k in range(60):
            taken.append(k)
            yield infer_request(name=str(k))

    answers: list[Any] = []
    reader = threading.Thread(target=lambda: answers.extend(streamed(wire, contents())))
    reader.start()
    assert held.asked.wait(20)
    while wire.service.plane.waiting < STREAM_AT_ONCE:
        time.sleep(0.01)
    time.sleep(0.1)
    assert wire.service.plane.waiting == STREAM_AT_ONCE  # what the server has begun, whatever lies in the sockets
    held.go.set()
    reader.join()
    assert [one.infer_response.id for one in answers] == [str(k) for k in range(60)]


def test_messages_of_a_stream_pass_the_gate_one_by_one(opened: Any) -> None:
    answers = streamed(opened(limits=TrafficLimits(requests_per_second=0.01, burst=3)), [infer_request()] * 5)
    assert [bool(one.error_message) for one in answers] == [False, False, False, True, True]
    told = {p.key: p.value.int64_param for p in answers[-1].infer_response.parameters}
    assert 90 < told["retry_after_s"] <= 200


def test_a_token_that_is_revoked_ends_the_stream(opened: Any) -> None:
    tokens = {hashlib.sha256(b"secret").hexdigest(): ("ann", frozenset({"infer"}))}
    known = dict(tokens)
    wire = opened(access=Access(tokens))
    gate = ("authorization", "Bearer secret")
    assert streamed(wire, [infer_request()])[-1].code() == grpc.StatusCode.UNAUTHENTICATED
    todo: queue.Queue[bytes | None] = queue.Queue()
    call = wire.channel.stream_stream(STREAM)(iter(todo.get, None), timeout=30, metadata=(gate,))
    todo.put(infer_request())
    assert next(call)
    tokens[next(iter(known))] = ("ann", frozenset({"read"}))
    todo.put(infer_request())
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    todo.put(None)


def test_streams_leave_room_for_single_calls(opened: Any) -> None:
    wire = opened()
    todo: queue.Queue[None] = queue.Queue()
    calls = [wire.channel.stream_stream(STREAM)(iter(todo.get, None), timeout=60) for _ in range(MOST_STREAMS)]
    for call in calls:
        call.initial_metadata  # noqa: B018 - nothing is sent yet
    while not isinstance(refused := streamed(wire, [infer_request()])[-1], grpc.RpcError):
        time.sleep(0.01)
    assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(refused.trailing_metadata())["retry-after"] == "1"
    assert isinstance(wire(INFER, infer_request()), bytes)
    for call in calls:
        call.cancel()
    for _ in calls:
        todo.put(None)
    while isinstance(streamed(wire, [infer_request()])[-1], grpc.RpcError):
        time.sleep(0.01)


def test_tritons_own_stream(kit: SimpleNamespace) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's dependencies warn on import
        triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient[grpc] is not installed")

    def given(area: str) -> list[Any]:
        texts = {"area": area, "at": "2020-03-02T14:00:00Z"}
        numbers = {"scale_mw": 1000.0, "swing": 1.0, "lag": 1.0}
        cells: dict[str, Any] = {name: np.array([text.encode()], np.object_) for name, text in texts.items()}
        cells |= {name: np.array([number]) for name, number in numbers.items()}
        tensors = []
        for name, array in cells.items():
            tensors.append(triton.InferInput(name, [1], "BYTES" if name in texts else "FP64"))
            tensors[-1].set_data_from_numpy(array)
        return tensors

    told: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with kit.grpc_port(kit.service()) as port, triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        client.start_stream(lambda result, error: told.put((result, error)))
        for k, area in enumerate("abxc"):
            client.async_stream_infer("forecast", given(area), request_id=str(k))
        found = [told.get(timeout=20) for _ in range(4)]
        client.stop_stream()
    assert [error is None for _, error in found] == [True, True, False, True]
    assert "unknown area" in found[2][1].message()
    assert [result.get_response().id for result, _ in found if result] == ["0", "1", "3"]
    assert found[3][0].as_numpy("q50").tolist() == [1105.0]
