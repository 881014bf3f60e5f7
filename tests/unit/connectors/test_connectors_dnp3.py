"""DNP3: check words, segments, every layout of object, ranges and prefixes, times; damage is told and survived."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.connectors import decode_file
from recloser.connectors.dnp3 import crc, link_frame, read_fragment, read_link
from recloser.connectors.dnp3.objects import LAYOUTS, layout_of
from recloser.testing import CaptureBuilder

OUTSTATION, MASTER = (1, 20_000), (2, 50_000)
MS = 1_097_501_938_504
TIME = MS.to_bytes(6, "little")


def frames(fragment: bytes, source: int = 4, target: int = 3, size: int = 249, first: int = 0) -> list[bytes]:
    parts = [fragment[start : start + size] for start in range(0, len(fragment), size)]
    last = len(parts) - 1
    heads = [(index + first & 0x3F) | (index == 0) << 6 | (index == last) << 7 for index in range(len(parts))]
    return [link_frame(source, target, bytes([head]) + part) for head, part in zip(heads, parts, strict=True)]


def response(objects: bytes) -> bytes:
    return b"\xc0\x81\x00\x00" + objects


def stream(path: Path, *data: bytes) -> list[dict[str, Any]]:
    capture = CaptureBuilder()
    for piece in data:
        capture.tcp(OUTSTATION, MASTER, piece)
    return list(decode_file("dnp3", capture.write(path / "a.pcap")))


def points(objects: bytes) -> list[tuple[int | None, Any]]:
    return [(point.index, point.parts.get("reading")) for point in read_fragment(response(objects)).points]


def test_the_check_word_is_that_of_a_real_frame() -> None:
    assert crc(bytes.fromhex("056405c00100000c")) == crc(bytes.fromhex("056405c00100000c"))
    assert (
        link_frame(4, 3, b"").hex()
        == bytes.fromhex("0564054403000400").hex() + crc(bytes.fromhex("0564054403000400")).to_bytes(2, "little").hex()
    )
    assert crc(b"123456789") == 0xEA82  # the catalogue's check value of CRC-16/DNP


@given(data=st.binary(max_size=250))
def test_a_link_frame_is_read_as_it_was_written(data: bytes) -> None:
    read = read_link(link_frame(65_519, 1, data))
    assert (read.source, read.target, read.data, read.error) == (65_519, 1, data, None)


@pytest.mark.parametrize(
    ("group", "variation"), [(g, v) for g, row in LAYOUTS.items() for v, form in enumerate(row, 1) if form != "-"]
)
def test_every_object_of_the_table_takes_its_bytes_and_no_more(group: int, variation: int) -> None:
    layout = layout_of(group, variation)
    assert layout is not None
    if not layout.letters:
        return
    body = bytes(range(7, 7 + (layout.size * 2 or 1)))
    read = read_fragment(response(bytes([group, variation, 0, 5, 6]) + body + b"\x3c\x02\x06"))
    assert [(point.group, point.index, point.error) for point in read.points] == [
        (group, 5, None),
        (group, 6, None),
        (60, None, None),
    ]
    assert all({"reading", "t_ns", "user"} & set(point.parts) for point in read.points[:2])
    cut = read_fragment(response(bytes([group, variation, 0, 5, 6]) + body[:-1]))
    assert "ends inside" in (cut.points[-1].error or "")


def test_values_flags_and_times() -> None:
    analog = b"\x20\x07\x17\x01" + b"\x09" + b"\x81" + struct.pack("<f", -1.5) + TIME
    (point,) = read_fragment(response(analog)).points
    assert (point.index, point.parts) == (9, {"flags": 0x81, "reading": -1.5, "t_ns": MS * 10**6})
    common = b"\x33\x01\x07\x01" + TIME + b"\x02\x03\x28\x01\x00" + b"\x02\x01\x81" + struct.pack("<H", 250)
    time, change = read_fragment(response(common)).points
    assert time.parts["reading"] == MS
    assert change.index == 0x0102
    assert change.parts == {"flags": 0x81, "reading": 1, "t_ns": (MS + 250) * 10**6, "relative_ms": 250}
    alone = read_fragment(response(b"\x02\x03\x17\x01\x05\x01\x0a\x00")).points[0]
    assert alone.parts["t_ns"] is None


def test_packed_bits_and_double_bits() -> None:
    assert points(b"\x01\x01\x00\x03\x0c" + b"\x05\x02") == [(3 + n, int(n in {0, 2, 9})) for n in range(10)]
    assert points(b"\x03\x01\x01\x00\x01\x04\x01" + b"\xe4\x01") == [(256, 0), (257, 1), (258, 2), (259, 3), (260, 1)]


def test_relay_commands_strings_attributes_and_sized_objects() -> None:
    relay = b"\x0c\x01\x28\x01\x00\x9f\x86" + struct.pack("<BBIIB", 0x41, 1, 100, 200, 4)
    fragment = read_fragment(b"\xc0\x03" + relay)
    (point,) = fragment.points
    assert point.index == 0x869F
    assert point.parts["control"]["operation"] == "pulse on"
    assert point.parts["control"]["trip_close"] == 1
    assert point.parts["status"] == 4
    assert points(b"\x6e\x03\x00\x01\x01abc") == [(1, b"abc".hex())]
    assert points(b"\x00\xf2\x00\x00\x00\x01\x05hello") == [(0, "hello")]
    assert points(b"\x00\xf0\x00\x00\x00\x03\x02\xfe\xff") == [(0, -2)]
    assert points(b"\x46\x02\x5b\x01\x03\x00xyz") == [(0, b"xyz".hex())]


def test_requests_name_ranges_or_indexes_without_values() -> None:
    read = read_fragment(b"\xc0\x01\x3c\x02\x06\x1e\x00\x00\x02\x05\x01\x00\x17\x02\x07\x09")
    assert [(p.group, p.index, p.parts) for p in read.points] == [
        (60, None, {}),
        (30, None, {"range": [2, 5]}),
        (1, 7, {}),
        (1, 9, {}),
    ]


def test_segments_come_together_and_rows_name_the_last_packet(tmp_path: Path) -> None:
    objects = b"\x1e\x01\x01\x00\x00\x63\x00" + b"".join(b"\x01" + struct.pack("<i", n) for n in range(100))
    parts = frames(response(objects), size=100, first=61)
    rows = stream(tmp_path, *parts[:-1], parts[-1][:7], parts[-1][7:])
    assert [(row["index"], row["reading"]) for row in rows] == [(n, n) for n in range(100)]
    assert {(row["packet"], row["src"], row["dst"], row["function"]) for row in rows} == {(len(parts) + 1, 4, 3, 129)}


def test_damage_is_told_and_the_next_frame_is_read(tmp_path: Path) -> None:
    good = frames(response(b"\x1e\x02\x00\x01\x01\x01\x05\x00"))[0]
    wrong_block = good[:12] + b"\xff" + good[13:]
    wrong_head = good[:3] + b"\xff" + good[4:]
    rows = stream(tmp_path, good + b"noise\x05" + good, wrong_block, wrong_head + good, good[:9])
    assert sum(row.get("reading") == 5 for row in rows) == 3
    errors = " ".join(row["error"] for row in rows if "error" in row)
    for words in ("begin no frame", "check word of block 1", "ends inside a frame"):
        assert words in errors


def test_lost_segments_unknown_objects_and_link_frames_alone(tmp_path: Path) -> None:
    parts = frames(response(b"\x6e\x64\x00\x01\x01" + bytes(300)), size=100)
    unknown = frames(response(b"\xfe\x09\x00\x01\x02rest"))[0]
    rows = stream(tmp_path, parts[1], parts[0] + parts[2], unknown, link_frame(4, 3, b"", 0x49), link_frame(4, 3, b""))
    errors = [row.get("error") for row in rows]
    assert errors[0] == "a transport segment without its first"
    assert errors[1] == "transport segment 2 where 1 was due"
    assert "254 variation 9 is not known" in str(errors[2])
    assert (rows[3]["link"], errors[3]) == ("REQUEST_LINK_STATUS", None)
    assert errors[4] == "user data without a transport head"


def test_udp_and_odd_ports_are_known_by_their_check_word(tmp_path: Path) -> None:
    good = frames(b"\xc0\x00")[0]
    capture = CaptureBuilder().udp((1, 9), (2, 8), good + good).udp((1, 9), (2, 8), b"\x05\x64 other")
    capture.tcp((1, 7), (2, 6), good).tcp((1, 5), (2, 4), b"something else")
    rows = list(decode_file("dnp3", capture.write(tmp_path / "a.pcap")))
    assert [(row["packet"], row["function_name"]) for row in rows] == [(1, "confirm"), (1, "confirm"), (3, "confirm")]


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\xc0\x81\x00"])
def test_fragments_too_short_for_a_function_are_errors(data: bytes) -> None:
    assert read_fragment(data).error is not None


def test_variation_zero_names_points_without_objects() -> None:
    freeze = b"\xc0\x0b\x32\x02\x07\x01" + TIME + struct.pack("<I", 60_000)
    read = read_fragment(freeze + bytes.fromhex("1400000009 15002801000700"))
    assert [(p.group, p.variation, p.index, p.parts.get("range"), p.error) for p in read.points] == [
        (50, 2, 0, None, None),
        (20, 0, None, [0, 9], None),
        (21, 0, 7, None, None),
    ]
    assert read.points[0].parts == {"t_ns": MS * 1_000_000, "reading": 60_000}


def test_a_qualifier_that_is_not_defined_ends_the_fragment() -> None:
    read = read_fragment(response(bytes.fromhex("0102030000000001000000 8101")))
    assert [(point.group, point.error) for point in read.points] == [(1, "qualifier 0x03 is not defined")]


def test_a_status_is_seven_bits() -> None:
    analog, relay = b"\x29\x02\x17\x01\x05\xe8\x03\x84", b"\x0c\x01\x17\x01\x02\x41\x01" + bytes(8) + b"\x81"
    read = read_fragment(b"\xc0\x05" + analog + relay)
    assert [(point.parts["reading"], point.parts["status"]) for point in read.points] == [(1000, 4), (0x41, 1)]


def test_a_fragment_whose_first_segment_came_last_is_of_that_packet(tmp_path: Path) -> None:
    one, two = frames(response(bytes.fromhex("1e02000001") + b"\1\5\0\1\6\0"), size=8)
    capture = CaptureBuilder().tcp(OUTSTATION, MASTER, b"", at=0, flags=2)
    capture.tcp(OUTSTATION, MASTER, two, at=1 + len(one)).tcp(OUTSTATION, MASTER, one, at=1)
    found = list(decode_file("dnp3", capture.write(tmp_path / "a.pcap")))
    assert [(row["packet"], row["index"], row["reading"]) for row in found] == [(3, 0, 5), (3, 1, 6)]


@pytest.mark.parametrize("twice", [0, 1, 2, 3])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_segment_that_comes_twice_costs_nothing(tmp_path: Path, transport: str, twice: int) -> None:
    objects = b"\x1e\x02\x00\x00\x1d" + b"".join(b"\x01" + struct.pack("<h", n) for n in range(30))
    parts = frames(response(objects), size=28, first=62)
    assert len(parts) == 4
    capture = CaptureBuilder()
    for part in (*parts[: twice + 1], *parts[twice:], *parts):
        getattr(capture, transport)(OUTSTATION, MASTER, part)
    rows = list(decode_file("dnp3", capture.write(tmp_path / "a.pcap")))
    assert [(row["index"], row["reading"], "error" in row) for row in rows] == [(n, n, False) for n in range(30)] * 2
    assert {row["packet"] for row in rows[30:]} == {9}


def test_a_segment_that_is_only_numbered_as_the_one_before_is_told(tmp_path: Path) -> None:
    one, two, three = frames(response(bytes.fromhex("1e02000001") + b"\1\5\0\1\6\0"), size=6)
    other = link_frame(4, 3, b"\x01" + b"other")
    errors = [row.get("error") for row in stream(tmp_path, one, two, other, three)]
    assert errors == ["transport segment 1 where 2 was due", "a transport segment without its first"]


def test_small_numbers_decimals_and_intervals_are_what_they_say() -> None:
    assert points(b"\x66\x01\x00\x00\x01\xc8\x7f") == [(0, 200), (1, 127)]
    assert points(bytes.fromhex("6501000000 3412")) == [(0, 1234)]
    assert points(bytes.fromhex("6502000000 78563412")) == [(0, 12_345_678)]
    assert points(bytes.fromhex("6503000000 0000000000000099")) == [(0, 99 * 10**14)]
    (wrong,) = read_fragment(response(bytes.fromhex("6501000000 3a12"))).points
    assert wrong.parts == {"reading": None, "raw": "3a12"}
    (interval,) = read_fragment(response(b"\x32\x04\x07\x01" + TIME + struct.pack("<IB", 10, 200))).points
    assert interval.parts == {"t_ns": MS * 10**6, "reading": 10, "interval_unit": 200}


def test_requests_of_secure_authentication_do_not_end_the_reading() -> None:
    aggressive = bytes.fromhex("c005 78030701 010000000200 3c0106 78095b01 0400 aabbccdd")
    assert [(p.group, p.variation, p.parts, p.error) for p in read_fragment(aggressive).points] == [
        (120, 3, {"reading": 1, "user": 2}, None),
        (60, 1, {}, None),
        (120, 9, {"reading": "aabbccdd"}, None),
    ]
    (status,) = read_fragment(bytes.fromhex("c020 78040701 0300")).points
    assert (status.parts, status.error) == ({"user": 3}, None)
    (sized,) = read_fragment(bytes.fromhex("c020 78010701 0300")).points
    assert "carries its size" in str(sized.error)
