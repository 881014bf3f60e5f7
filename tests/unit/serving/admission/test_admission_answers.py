"""Callers that do not take their answers, and answers that many callers wait for at once; over real sockets."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from recloser.serving import GuardPolicy
from recloser.serving.http.admission import TrafficLimits
from recloser.serving.http.admission.handshake import loop_with
from recloser.serving.plane import PlanePolicy

INFER = "/v2/models/forecast/infer"
JSON = {"content_type": "application/json"}
Served = Callable[..., Any]
short_loop = loop_with(0.3)


def post(body: bytes, *more: str) -> bytes:
    head = [f"POST {INFER} HTTP/1.1", "host: localhost", "content-type: application/json", *more]
    return ("\r\n".join([*head, f"content-length: {len(body)}"]) + "\r\n\r\n").encode() + body


def slow_reader(address: tuple[str, int]) -> socket.socket:
    """Return a connection that takes little at once."""
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.settimeout(20)
    wire.connect(address)
    return wire


@pytest.mark.parametrize(("rows", "more"), [(2500, ()), (2500, ("connection: close",)), (150, ())])
def test_who_does_not_take_an_answer_loses_the_connection(
    kit: SimpleNamespace, served: Served, net: SimpleNamespace, rows: int, more: tuple[str, ...]
) -> None:
    limits = TrafficLimits(write_seconds=0.3, connections=1)
    server = served(kit.service(limits=limits), send_buffer=4096, timeout_keep_alive=1)
    with slow_reader(server.address) as wire:
        wire.sendall(post(net.infer_body(["a", "b", "c", "d"], rows), *more))
        for _ in range(400):
            other = server.wire()
            other.send(b"GET /v2 HTTP/1.1\r\nhost: localhost\r\n\r\n")
            reply = other.read()
            other.close()
            if reply is not None and reply.status == 200:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("the connection was never given up")


def test_who_takes_an_answer_slowly_gets_all_of_it(kit: SimpleNamespace, served: Served, net: SimpleNamespace) -> None:
    server = served(kit.service(limits=TrafficLimits(write_seconds=0.1)), send_buffer=4096)
    content = b""
    with slow_reader(server.address) as wire:
        wire.sendall(post(net.infer_body(["a", "b", "c", "d"], 2500), "connection: close"))
        while part := wire.recv(16_384):
            content += part
            time.sleep(0.005)
    head, _, body = content.partition(b"\r\n\r\n")
    assert b" 200 " in head.partition(b"\r\n")[0]
    assert len(json.loads(body)["outputs"][1]["data"]) == 10_000


def test_an_unfinished_handshake_is_given_up(kit: SimpleNamespace, served: Served, tls_files: Any) -> None:
    server = served(kit.service(), ssl_certfile=tls_files[0], ssl_keyfile=tls_files[1], loop=f"{__name__}:short_loop")
    with socket.create_connection(server.address, 20) as wire:
        wire.sendall(b"\x16\x03\x01")  # how a handshake begins
        assert wire.recv(1) == b""  # a time-out of this socket is a failure
    known = server.wire(tls_files[2])
    assert known.ask("GET", "/v2").status == 200


def test_answers_of_many_connections_are_each_their_own(
    kit: SimpleNamespace, served: Served, net: SimpleNamespace
) -> None:
    # However busy the machine is, nobody is late here and nobody is sent away.
    policy = GuardPolicy(trip_after=10**6, late_after_ms=60_000.0)
    gate = kit.gateway({"rel-2": kit.Faulty("rel-2", "far", ["c"])}, policy=policy)
    limits, waiting = TrafficLimits(overload_ms=60_000.0), PlanePolicy(deadline_ms=60_000.0)
    server, callers, rounds = served(kit.service(gate, limits=limits, waiting=waiting)), 32, 12
    wrong: list[Any] = []

    def body(number: int) -> tuple[bytes, list[str]]:
        """Return a request whose levels follow from its number, and its areas."""
        areas = [("a", "b", "c", "d")[(number + k) % 4] for k in range(number % 3 + 1)]
        document = json.loads(net.infer_body(areas))
        for tensor in document["inputs"]:
            if tensor["name"] == "scale_mw":
                tensor["data"] = [1000.0 + number + k / 8 for k in range(len(areas))]
        return json.dumps({**document, "id": str(number)}).encode(), areas

    def outputs(content: bytes) -> dict[str, Any]:
        answer = json.loads(content)
        return {"id": answer["id"], **{tensor["name"]: tensor["data"] for tensor in answer["outputs"]}}

    alone = {
        number: outputs(server.ask("POST", INFER, body(number)[0], **JSON).body) for number in range(callers * rounds)
    }
    start = threading.Barrier(callers)

    def call(caller: int) -> None:
        wire = server.wire()
        start.wait()
        for k in range(rounds):
            number = caller * rounds + k
            found = outputs(wire.ask("POST", INFER, body(number)[0], **JSON).body)
            if found != alone[number]:
                wrong.append((alone[number], found))

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len({str(answer["q50"]) for answer in alone.values()}) == callers * rounds
