"""Rows of `decode` come in capture order, whatever was known late, within bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recloser.connectors import decode_file, decoding
from recloser.connectors.c37118 import header_frame
from recloser.connectors.capture import Chunk, Ended, read_traffic
from recloser.connectors.decoding import in_capture_order
from recloser.testing import CaptureBuilder

STATION, FIRST, SECOND = (1, 2404), (2, 40_001), (3, 40_002)
UNIT = bytes.fromhex("680443000000")
SYN, FIN, RST = 0x02, 0x11, 0x14
DIFFERENT = {"iec104": (2404, UNIT), "c37118": (4712, header_frame(7, "text"))}


def packets(path: Path, capture: CaptureBuilder, protocol: str = "iec104") -> list[int]:
    return [row["packet"] for row in decode_file(protocol, capture.write(path / "a.pcap"))]


def beside(capture: CaptureBuilder, count: int, port: int = 2404, unit: bytes = UNIT) -> CaptureBuilder:
    for _ in range(count):
        capture.tcp((1, port), SECOND, unit)
    return capture


@pytest.mark.parametrize("protocol", DIFFERENT)
def test_what_came_behind_a_hole_of_a_one_way_capture_stands_in_its_place(tmp_path: Path, protocol: str) -> None:
    port, unit = DIFFERENT[protocol]
    capture = CaptureBuilder().tcp((1, port), FIRST, unit)
    for place in range(2, 300):
        capture.tcp((1, port), FIRST, unit, at=1 + place * len(unit))
        beside(capture, 1, port, unit)
    found = packets(tmp_path, capture, protocol)
    assert found == sorted(found)
    assert len(found) == 1 + 2 * 298 + 1


@pytest.mark.parametrize("protocol", DIFFERENT)
@pytest.mark.parametrize("flags", [0, FIN, RST])
def test_half_a_frame_stands_where_its_bytes_came(tmp_path: Path, protocol: str, flags: int) -> None:
    port, unit = DIFFERENT[protocol]
    capture = CaptureBuilder().tcp((1, port), FIRST, unit + unit[:-1])
    if flags:
        capture.tcp((1, port), FIRST, b"", flags=flags)
    found = packets(tmp_path, beside(capture, 300, port, unit), protocol)
    assert found == [1, 1, *range(3 if flags else 2, len(capture.packets) + 1)]


def test_lost_fragments_stand_where_the_first_came(tmp_path: Path) -> None:
    capture = beside(CaptureBuilder(), 100).ip(1, 2, 17, bytes(24), fragment=0x2000)
    found = packets(tmp_path, beside(capture, 300))
    assert found == list(range(1, 402))


def test_the_end_of_a_connection_is_told_once_all_before_it_was(tmp_path: Path) -> None:
    capture = CaptureBuilder().tcp(STATION, FIRST, b"ab").tcp(STATION, FIRST, b"", at=5, flags=FIN)
    capture.tcp(STATION, FIRST, b"cd", at=3).tcp(FIRST, STATION, b"xy").tcp(FIRST, STATION, b"", at=1, flags=RST)
    capture.tcp(FIRST, STATION, b"", at=3, flags=RST)
    events = list(read_traffic(capture.write(tmp_path / "a.pcap")))
    assert [(type(event), event.packet) for event in events] == [
        (Chunk, 1),
        (Chunk, 3),
        (Ended, 3),
        (Chunk, 4),
        (Ended, 6),
        (Ended, 6),
    ]


def test_what_follows_a_reset_on_the_same_ports_is_read_anew(tmp_path: Path) -> None:
    capture = CaptureBuilder().tcp(STATION, FIRST, UNIT[:4]).tcp(STATION, FIRST, b"", flags=RST)
    found = list(decode_file("iec104", capture.tcp(STATION, FIRST, UNIT).write(tmp_path / "a.pcap")))
    assert [(row["packet"], "error" in row) for row in found] == [(1, True), (3, False)]


def test_rows_that_wait_are_bounded_and_say_what_they_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "KEPT", 20_000)
    told = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal told
        for told in range(2, 2_000):
            yield {"packet": told, "value": 1.5 if told % 2 else math.nan, "large": 1 << 80, "text": "\u00e9"}
        yield {"packet": 1, "error": "late"}

    found = []
    for row in in_capture_order(rows(), lambda: 1):
        found.append(row)
        assert told - len(found) < 600
    assert [row["packet"] for row in found if "value" in row] == list(range(2, 2_000))
    assert sum(row["packet"] == 1 for row in found) == 1
    assert [math.isnan(row["value"]) for row in found if "value" in row] == [n % 2 == 0 for n in range(2, 2_000)]
    assert {(row["large"], row["text"]) for row in found if "value" in row} == {(1 << 80, "\u00e9")}
