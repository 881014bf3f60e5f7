"""Conversations of one capture beside each other: none is read by what another one said."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recloser.connectors import decode_file
from recloser.connectors.c37118 import (
    Configuration,
    Location,
    PhasorChannel,
    PmuConfiguration,
    configuration_frames,
    data_frame,
    header_frame,
)
from recloser.connectors.dnp3 import link_frame
from recloser.testing import CaptureBuilder

PMU, ONE, OTHER = (1, 4712), (2, 40_001), (3, 40_002)


def rows(path: Path, capture: CaptureBuilder, protocol: str = "c37118") -> list[dict[str, Any]]:
    return list(decode_file(protocol, capture.write(path / "a.pcap")))


def stream(form: int = 0, scale: float = 0.01, nominal: int = 50, kind: int = 2) -> Configuration:
    pmu = PmuConfiguration("X", 1, form, (PhasorChannel("P", "V", scale),), (), (), nominal, 1)
    return Configuration(7, 1_000_000, (pmu,), 50, kind)


def frame(known: Configuration, re: float) -> bytes:
    return data_frame(known, [0, re, 0, 0, 0], (1_700_000_000, 0))


def told(found: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(row["pmus"][0]["phasors"][0]["re"], row["pmus"][0]["frequency_hz"]) for row in found if "pmus" in row]


@pytest.mark.parametrize(("form", "nominal"), [(10, 60), (0, 60)])
@pytest.mark.parametrize("other", [OTHER, (2, 40_002)])
def test_two_clients_of_one_server_are_each_read_by_their_own_configuration(
    tmp_path: Path, form: int, nominal: int, other: tuple[int, int]
) -> None:
    one, two = stream(), stream(form, 1.0, nominal)
    capture = CaptureBuilder().tcp(PMU, ONE, configuration_frames(one)[0]).tcp(PMU, ONE, frame(one, 100))
    capture.tcp(PMU, other, configuration_frames(two)[0])
    for _ in range(2):
        capture.tcp(PMU, other, frame(two, 7)).tcp(PMU, ONE, frame(one, 100))
    found = rows(tmp_path, capture)
    assert not [row for row in found if "error" in row]
    assert told(found) == [(1, 50), (7, 0.0 if form else 60), (1, 50), (7, 0.0 if form else 60), (1, 50)]


def test_pieces_of_two_clients_configurations_do_not_mix(tmp_path: Path) -> None:
    one, two = (
        replace(known, pmus=(replace(known.pmus[0], location=Location("00" * 16, None, None, None, "M", 0, 0)),))
        for known in (stream(kind=3), stream(scale=1.0, kind=3))
    )
    capture, pieces = CaptureBuilder(), [configuration_frames(known, piece=60) for known in (one, two)]
    for first, second in zip(*pieces, strict=True):
        capture.tcp(PMU, ONE, first).tcp(PMU, OTHER, second)
    capture.tcp(PMU, ONE, frame(one, 100)).tcp(PMU, OTHER, frame(two, 100))
    assert len(pieces[0]) > 1
    assert told(rows(tmp_path, capture)) == [(pytest.approx(1), 50), (100, 50)]


def test_datagrams_are_read_by_what_their_receiver_was_told_else_by_what_fits(tmp_path: Path) -> None:
    one, two = stream(), stream(10)
    capture = CaptureBuilder().tcp(PMU, ONE, configuration_frames(one)[0]).tcp(PMU, OTHER, configuration_frames(two)[0])
    capture.udp((1, 4713), (2, 6000), frame(one, 100)).udp((1, 4713), (3, 6000), frame(two, 7))
    capture.udp((1, 4713), (99, 6000), frame(two, 7)).udp((1, 4713), (99, 6000), frame(one, 100))
    found = rows(tmp_path, capture)
    assert not [row for row in found if "error" in row]
    assert [re for re, _ in told(found)] == [1, 7, 7, 1]


def test_a_conversation_that_was_told_a_cfg1_alone_is_read_by_the_cfg2_of_another(tmp_path: Path) -> None:
    could, sends = stream(scale=1.0, kind=1), stream()
    capture = CaptureBuilder().tcp(PMU, OTHER, configuration_frames(sends)[0])
    capture.tcp(PMU, ONE, configuration_frames(could)[0]).tcp(PMU, ONE, frame(sends, 100))
    assert told(rows(tmp_path, capture)) == [(1, 50)]


SERVER, CLIENT = (1, 502), (2, 40_000)
SYN, ANSWER = 2, 18


def ask(transaction: int) -> bytes:
    return struct.pack(">HHHBBHH", transaction, 0, 6, 1, 3, 100, 2)


def answer(transaction: int) -> bytes:
    return struct.pack(">HHHBBBHH", transaction, 0, 7, 1, 3, 4, 1, 2)


OPENINGS: dict[str, list[tuple[tuple[int, int], int, int, int]]] = {
    "both": [(CLIENT, 1000, SYN, 0), (SERVER, 5000, ANSWER, 1001)],
    "the client's alone": [(CLIENT, 1000, SYN, 0)],
    "the server's alone": [(SERVER, 5000, ANSWER, 1001)],
    "tried again": [(CLIENT, 77, SYN, 0), (CLIENT, 1000, SYN, 0), (SERVER, 5000, ANSWER, 1001)],
    "repeated": [(CLIENT, 1000, SYN, 0)] * 2 + [(SERVER, 5000, ANSWER, 1001)] * 2,
    "in the wrong order": [(SERVER, 5000, ANSWER, 1001), (CLIENT, 1000, SYN, 0)],
}


@pytest.mark.parametrize("first", OPENINGS)
@pytest.mark.parametrize("second", OPENINGS)
def test_answers_find_their_requests_however_much_was_seen_of_the_openings(
    tmp_path: Path, first: str, second: str
) -> None:
    capture, packets = CaptureBuilder(), []
    for base, name in ((0, first), (70_000_000, second)):
        for source, at, flags, acknowledged in OPENINGS[name]:
            target = SERVER if source == CLIENT else CLIENT
            capture.tcp(source, target, b"", base + at, flags, base + acknowledged if acknowledged else 0)
        capture.tcp(CLIENT, SERVER, ask(2), base + 1001).tcp(SERVER, CLIENT, answer(2), base + 5001)
        capture.tcp(CLIENT, SERVER, ask(3), base + 1013).tcp(SERVER, CLIENT, answer(3), base + 5014)
        packets += [len(capture.packets) - 3, len(capture.packets) - 1]
    found = [row for row in rows(tmp_path, capture, "modbus") if not row["request"]]
    assert [(row["request_packet"], row["address"], row["registers"]) for row in found] == [
        (packet, 100, [1, 2]) for packet in packets
    ]


def test_a_late_opening_takes_nothing_back(tmp_path: Path) -> None:
    capture = CaptureBuilder().tcp(SERVER, CLIENT, b"", 5000, ANSWER, 1001).tcp(CLIENT, SERVER, ask(1), 1001)
    capture.tcp(CLIENT, SERVER, b"", 1000, SYN).tcp(CLIENT, SERVER, ask(2), 1013).tcp(SERVER, CLIENT, answer(2), 5001)
    found = rows(tmp_path, capture, "modbus")
    assert [(row["packet"], row["request"], "error" in row) for row in found] == [
        (2, True, False),
        (4, True, False),
        (5, False, False),
    ]


def test_what_an_old_connection_said_answers_nothing_in_a_new_one(tmp_path: Path) -> None:
    capture = CaptureBuilder().tcp(CLIENT, SERVER, b"", 1000, SYN).tcp(SERVER, CLIENT, b"", 5000, ANSWER, 1001)
    capture.tcp(CLIENT, SERVER, ask(2), 1001).tcp(CLIENT, SERVER, b"", 900_000, SYN)
    capture.tcp(SERVER, CLIENT, b"", 800_000, ANSWER, 900_001).tcp(SERVER, CLIENT, answer(2), 800_001)
    assert rows(tmp_path, capture, "modbus")[-1]["request_packet"] is None


UNIT = bytes.fromhex("68040100") + b"\0\0"
LINK = link_frame(10, 1, b"\xc0\xc0\x01")
FRAMES = {
    "c37118": (PMU, [header_frame(7, f"h{n}") for n in range(6)]),
    "iec104": ((1, 2404), [UNIT] * 6),
    "dnp3": ((1, 20_000), [LINK] * 6),
    "modbus": (SERVER, [answer(n) for n in range(6)]),
}


@pytest.mark.parametrize("acknowledged", [True, False])
@pytest.mark.parametrize("missing", [0, 3])
@pytest.mark.parametrize("protocol", FRAMES)
def test_a_hole_between_two_frames_is_told(tmp_path: Path, protocol: str, missing: int, acknowledged: bool) -> None:  # noqa: FBT001
    source, frames = FRAMES[protocol]
    capture, place = CaptureBuilder().tcp(source, ONE, b"", at=0, flags=SYN), 1
    for number, one in enumerate(frames):
        if number != missing:
            capture.tcp(source, ONE, one, at=place)
        place += len(one)
    if acknowledged:
        capture.tcp(ONE, source, b"", at=1, acknowledged=place)
    found = rows(tmp_path, capture, protocol)
    if protocol == "c37118" and missing == 0:  # nothing is told of a stream before it is known
        assert len(found) == 5
        return
    assert [row.get("error") for row in found].count(f"{len(frames[missing])} bytes of the stream are missing") == 1
    assert [row["packet"] for row in found] == sorted(row["packet"] for row in found)
    assert len(found) == 6
