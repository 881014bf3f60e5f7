"""Modbus TCP: every function both ways, responses matched to requests, damage that costs only itself."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from recloser.connectors import decode_file
from recloser.connectors.modbus import read_pdu
from recloser.testing import CaptureBuilder

SERVER, CLIENT = (1, 502), (2, 40_000)


def frame(pdu: bytes, transaction: int = 1, unit: int = 4) -> bytes:
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def rows(path: Path, capture: CaptureBuilder) -> list[dict[str, Any]]:
    return list(decode_file("modbus", capture.write(path / "a.pcap")))


@pytest.mark.parametrize(
    ("asked", "answered", "told"),
    [
        (b"\x01\0\x01\0\x0a", b"\x01\x02\x05\x02", {"address": 1, "count": 10, "bits": [1, 0, 1, 0, 0, 0, 0, 0, 0, 1]}),
        (b"\x03\0\x07\0\x02", b"\x03\x04\0\x05\xff\xff", {"address": 7, "count": 2, "registers": [5, 65_535]}),
        (b"\x05\0\x07\xff\0", b"\x05\0\x07\xff\0", {"address": 7, "bits": [1]}),
        (b"\x06\0\x07\0\x09", b"\x06\0\x07\0\x09", {"address": 7, "registers": [9]}),
        (b"\x07", b"\x07\x55", {"data": "55"}),
        (b"\x08\0\x02\0\0", b"\x08\0\x02\0\x01", {"sub_function": 2, "data": "0001"}),
        (b"\x0b", b"\x0b\0\0\0\x09", {"data": "00000009"}),
        (b"\x0f\0\x01\0\x04\x01\x09", b"\x0f\0\x01\0\x04", {"address": 1, "count": 4}),
        (b"\x10\0\x01\0\x01\x02\0\x08", b"\x10\0\x01\0\x01", {"address": 1, "count": 1}),
        (b"\x11", b"\x11\x02\x05\xff", {"data": "05ff"}),
        (b"\x14\x00", b"\x14\x00", {"data": ""}),
        (b"\x16\0\x01\0\x02\0\x03", b"\x16\0\x01\0\x02\0\x03", {"address": 1, "and_mask": 2, "or_mask": 3}),
        (b"\x17\0\x01\0\x01\0\x02\0\x01\x02\0\x08", b"\x17\x02\0\x06", {"address": 1, "count": 1, "registers": [6]}),
        (b"\x18\0\x01", b"\x18\0\x06\0\x02\0\x07\0\x08", {"address": 1, "count": 2, "registers": [7, 8]}),
        (b"\x2b\x0e\x01\0", b"\x2b\x0e\x01\x83", {"sub_function": 14, "data": "0183"}),
        (b"\x41user", b"\x41data", {"data": b"data".hex()}),
        (b"\x03\0\x07\0\x02", b"\x83\x02", {"exception": 2, "meaning": "illegal data address", "address": 7}),
    ],
)
def test_every_function_is_read_and_answered(tmp_path: Path, asked: bytes, answered: bytes, told: Any) -> None:
    capture = CaptureBuilder().tcp(CLIENT, SERVER, frame(asked, 9)).tcp(SERVER, CLIENT, frame(answered, 9))
    request, response = rows(tmp_path, capture)
    assert (request["request"], response["request"], response["request_packet"]) == (True, False, 1)
    assert {key: response[key] for key in told} == told
    assert "error" not in request
    assert "error" not in response
    assert response["function"] == asked[0]


def test_writes_tell_their_values() -> None:
    assert read_pdu(b"\x0f\0\x01\0\x0a\x02\x09\x01", request=True).bits == (1, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    both = read_pdu(b"\x17\0\x01\0\x01\0\x02\0\x01\x02\0\x08", request=True)
    assert (both.write_address, both.write_count, both.registers) == (2, 1, (8,))


@pytest.mark.parametrize("request_", [True, False])
@pytest.mark.parametrize("function", [1, 3, 5, 6, 8, 15, 16, 20, 22, 23, 24, 43])
def test_wrong_lengths_are_errors_of_their_own_row(function: int, request_: bool) -> None:  # noqa: FBT001
    assert read_pdu(bytes([function]), request=request_).error is not None
    assert read_pdu(bytes([function]) + b"\x09\x09\x09", request=request_).error is not None or function in {8, 43}
    assert read_pdu(b"", request=request_).error is not None
    assert read_pdu(bytes([function | 0x80]), request=request_).error is not None


def test_pipelined_requests_are_matched_by_transaction_and_unit(tmp_path: Path) -> None:
    asks = b"".join(frame(struct.pack(">BHH", 3, n * 10, 1), n, n % 2) for n in range(4))
    answers = b"".join(frame(b"\x03\x02" + n.to_bytes(2), n, n % 2) for n in (2, 0, 3, 1))
    capture = CaptureBuilder().tcp(CLIENT, SERVER, asks[:15]).tcp(CLIENT, SERVER, asks[15:])
    capture.tcp(SERVER, CLIENT, answers[:5]).tcp(SERVER, CLIENT, answers[5:])
    found = [row for row in rows(tmp_path, capture) if not row["request"]]
    assert [(row["address"], row["registers"]) for row in found] == [(20, [2]), (0, [0]), (30, [3]), (10, [1])]
    assert [row["request_packet"] for row in found] == [2, 1, 2, 2]


def test_answers_to_nothing_and_to_another_function(tmp_path: Path) -> None:
    capture = CaptureBuilder().tcp(SERVER, CLIENT, frame(b"\x01\x01\x05"))
    capture.tcp(CLIENT, SERVER, frame(b"\x03\0\0\0\x01", 7)).tcp(SERVER, CLIENT, frame(b"\x04\x02\0\x01", 7))
    alone, _, other = rows(tmp_path, capture)
    assert (alone["request_packet"], alone["address"], alone["bits"]) == (None, None, [1, 0, 1, 0, 0, 0, 0, 0])
    assert "function 3" in other["error"]


def test_odd_ports_noise_and_cut_streams(tmp_path: Path) -> None:
    ask = frame(b"\x03\0\0\0\x01", 7)
    capture = CaptureBuilder().tcp((1, 5020), (2, 9), ask).tcp((2, 9), (1, 5020), frame(b"\x03\x02\0\x01", 7))
    capture.tcp((3, 80), (2, 9), b"GET / HTTP/1.1").udp(CLIENT, SERVER, ask)
    capture.tcp(CLIENT, SERVER, b"noise, noise" + ask).tcp(CLIENT, SERVER, ask[:9])
    found = rows(tmp_path, capture)
    assert [row["request"] for row in found[:3]] == [True, False, True]
    assert [("error" in row) for row in found] == [False, False, False, True, False, True]


ASK, ANSWER = frame(b"\x03\0\x64\0\x02", 2), frame(b"\x03\x04\0\x01\0\x02", 2)
BIG = frame(b"\x03\xfa" + struct.pack(">125H", 0, 0, 0, 7, 0x0103, 3, *[0] * 119))


def told(found: list[dict[str, Any]]) -> list[tuple[int, bool | None, bool]]:
    return [(row["packet"], row["request"], "error" in row) for row in found]


@pytest.mark.parametrize("missing", [1, 9, 12, 15, 17, 200])
def test_after_a_hole_no_frame_is_made_of_what_is_left_of_one(tmp_path: Path, missing: int) -> None:
    capture = CaptureBuilder().tcp(CLIENT, SERVER, frame(b"\x03\0\0\0\x7d"), at=1)
    capture.tcp(SERVER, CLIENT, b"", at=0, flags=2).tcp(SERVER, CLIENT, BIG[missing:], at=1 + missing)
    capture.tcp(CLIENT, SERVER, ASK, acknowledged=1 + len(BIG)).tcp(SERVER, CLIENT, ANSWER)
    found = rows(tmp_path, capture)
    assert told([row for row in found if "error" not in row]) == [(1, True, False), (4, True, False), (5, False, False)]
    assert f"{missing} bytes" in found[1]["error"]
    assert [row["packet"] for row in found[1:-2]] == [3] * (len(found) - 3)


@pytest.mark.parametrize("split", [0, 3, 100])
def test_a_frame_longer_than_allowed_is_one_frame(tmp_path: Path, split: int) -> None:
    long = frame(b"\x03\xfe" + b"\0" * 254, 1)
    capture = CaptureBuilder().tcp(CLIENT, SERVER, frame(b"\x03\0\0\0\x7f", 1))
    capture.tcp(SERVER, CLIENT, long[:split]).tcp(SERVER, CLIENT, long[split:])
    capture.tcp(CLIENT, SERVER, ASK).tcp(SERVER, CLIENT, ANSWER)
    found = rows(tmp_path, capture)
    assert told(found) == [(1, True, False), (3, False, False), (4, True, False), (5, False, False)]
    assert len(found[1]["registers"]) == 127


@pytest.mark.parametrize("wrong", [7, 200, 9_000])
def test_a_wrong_length_costs_its_own_frame(tmp_path: Path, wrong: int) -> None:
    bad = ANSWER[:4] + wrong.to_bytes(2) + ANSWER[6:]
    capture = CaptureBuilder().tcp(SERVER, CLIENT, bad + (b"\0" if wrong == 7 else b""))
    for transaction in (3, 4):
        capture.tcp(SERVER, CLIENT, frame(b"\x03\x04\0\x01\0\x02", transaction))
    found = rows(tmp_path, capture)
    assert [row["transaction"] for row in found if "error" not in row] == ([2, 3, 4] if wrong == 7 else [3, 4])
    assert sum("error" in row for row in found) == 1


def test_a_function_of_zero_is_none(tmp_path: Path) -> None:
    capture = CaptureBuilder().tcp(CLIENT, SERVER, frame(b"\0\0\0") + frame(b"\x80\0")).tcp(CLIENT, SERVER, ASK)
    assert told(rows(tmp_path, capture)) == [(1, None, True), (2, True, False)]


def test_a_large_piece_of_noise_is_gone_over_in_bounded_work(tmp_path: Path) -> None:
    heads = b"\0\0\0\0\0\x02\x01\x03" * 180 + b"\xff"
    capture = CaptureBuilder()
    for _ in range(20):
        capture.tcp(SERVER, CLIENT, b"\xff" + heads)
    found = rows(tmp_path, capture.tcp(SERVER, CLIENT, ANSWER))
    assert [row["packet"] for row in found if "error" not in row] == [21]


@pytest.mark.parametrize("ports", [(5020, 40_000), (40_000, 5020), (502, 502)])
@pytest.mark.parametrize("first", [ANSWER, frame(b"\x83\x02", 2), frame(b"\x06\0\x01\0\x02", 2)])
def test_a_capture_that_begins_with_an_answer_tells_who_asks_by_the_form(
    tmp_path: Path, ports: tuple[int, int], first: bytes
) -> None:
    server, client = (1, ports[0]), (2, ports[1])
    capture = CaptureBuilder().tcp(server, client, first)
    for transaction in (3, 4):
        capture.tcp(client, server, frame(b"\x03\0\x64\0\x02", transaction))
        capture.tcp(server, client, frame(b"\x03\x04\0\x01\0\x02", transaction))
    found = rows(tmp_path, capture)
    assert [row["request"] for row in found[1:]] == [True, False, True, False]
    assert [row["address"] for row in found[1:]] == [100] * 4
    assert found[0]["request"] is (first[7] == 6)  # both readings fit: who spoke first
    assert not [row for row in found if "error" in row]


def test_who_asks_is_told_once(tmp_path: Path) -> None:
    one, other = (1, 5020), (2, 40_000)
    capture = CaptureBuilder().tcp(other, one, ASK).tcp(one, other, ANSWER).tcp(other, one, ANSWER).tcp(one, other, ASK)
    found = rows(tmp_path, capture)
    assert [(row["request"], "error" in row) for row in found] == [
        (True, False),
        (False, False),
        (True, True),
        (False, True),
    ]
