"""IEC 104: every type both ways of addressing, control units, damage that costs only itself."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from recloser.connectors import decode_file
from recloser.connectors.iec104 import TYPES, read_asdu
from recloser.testing import CaptureBuilder

STATION, CENTRE = (1, 2404), (2, 50_000)
CP56 = bytes.fromhex("3110170884070d")  # 4 July 2013 08:23:04.145
CP56_NS = 1_372_926_184_145_000_000


def asdu(type_id: int, objects: bytes, count: int = 1, *, sequence: bool = False, cause: int = 3) -> bytes:
    return bytes([type_id, count | sequence << 7, cause, 9]) + struct.pack("<H", 513) + objects


def unit(body: bytes, send: int = 0, receive: int = 0) -> bytes:
    return bytes([0x68, len(body) + 4]) + struct.pack("<HH", send << 1, receive << 1) + body


def address(number: int) -> bytes:
    return number.to_bytes(3, "little")


def rows(path: Path, capture: CaptureBuilder) -> list[dict[str, Any]]:
    return list(decode_file("iec104", capture.write(path / "a.pcap")))


def stream(path: Path, data: bytes) -> list[dict[str, Any]]:
    return rows(path, CaptureBuilder().tcp(STATION, CENTRE, data))


@pytest.mark.parametrize("type_id", sorted(TYPES))
@pytest.mark.parametrize("sequence", [False, True])
def test_every_type_carries_its_objects_both_ways(type_id: int, sequence: bool) -> None:  # noqa: FBT001
    length = TYPES[type_id].length
    one, two = bytes(range(1, length + 1)), bytes(range(3, length + 3))
    body = address(70_000) + one + two if sequence else address(70_000) + one + address(5) + two
    read = read_asdu(asdu(type_id, body, 2, sequence=sequence, cause=0x80 | 0x40 | 20))
    assert read is not None
    assert read.error is None
    assert [item.address for item in read.objects] == [70_000, 70_001 if sequence else 5]
    assert (read.cause, read.negative, read.test, read.originator, read.common_address) == (20, True, True, 9, 513)
    for spoilt in (body[:-1], body + b"\0"):
        bad = read_asdu(asdu(type_id, spoilt, 2, sequence=sequence))
        assert bad is not None
        assert bad.error is not None
        assert bad.objects == ()


@pytest.mark.parametrize(
    ("type_id", "raw", "element", "quality"),
    [
        (30, b"\x81" + CP56, 1, (1, 0, 0, 0, None)),
        (31, b"\x42" + CP56, 2, (0, 1, 0, 0, None)),
        (32, b"\xbf\x21" + CP56, 63, (0, 0, 1, 0, 1)),
        (32, b"\x40\x00" + CP56, -64, (0, 0, 0, 0, 0)),
        (33, b"\x02\0\0\x01\x10" + CP56, 0x02000001, (0, 0, 0, 1, 0)),
        (34, b"\x00\xc0\x00" + CP56, -0.5, (0, 0, 0, 0, 0)),
        (35, b"\xfe\xff\x00" + CP56, -2, (0, 0, 0, 0, 0)),
        (36, struct.pack("<f", 3.5) + b"\x01" + CP56, 3.5, (0, 0, 0, 0, 1)),
        (37, struct.pack("<i", -7) + b"\x83" + CP56, -7, (1, None, None, None, None)),
    ],
)
def test_values_quality_and_time(tmp_path: Path, type_id: int, raw: bytes, element: float, quality: Any) -> None:
    (row,) = stream(tmp_path, unit(asdu(type_id, address(1) + raw), 3, 4))
    assert row["element"] == element
    assert tuple(row["quality"].values()) == quality
    assert row["t_ns"] == CP56_NS
    assert (row["ns"], row["nr"], row["sq"], row["ioa"], row["type_name"]) == (3, 4, 0, 1, TYPES[type_id].name)


def test_commands_tell_their_qualifiers_and_stamps_that_are_no_date_no_time(tmp_path: Path) -> None:
    select = unit(asdu(58, address(1) + b"\x85" + b"\0\0\0\0\0\0\0", cause=6))
    setpoint = unit(asdu(50, address(1) + struct.pack("<f", 3.14) + b"\x81", cause=6))
    one, two = stream(tmp_path, select + setpoint)
    assert (one["element"], one["qualifier"], one["t_ns"]) == (1, {"qu": 1, "se": 1}, None)
    assert two["element"] == pytest.approx(3.14)
    assert two["qualifier"] == {"ql": 1, "se": 1}


@pytest.mark.parametrize(("hour", "seconds"), [(13, 48_601), (0x80 | 13, 45_001), (0x80, -1_799)])
def test_an_hour_of_summer_time_is_one_ahead(tmp_path: Path, hour: int, seconds: int) -> None:
    stamp = struct.pack("<HBBBBB", 1_500, 30, hour, 1, 1, 24)
    (row,) = stream(tmp_path, unit(asdu(30, address(1) + b"\1" + stamp)))
    assert row["t_ns"] == (1_704_067_200 + seconds) * 1_000_000_000 + 500_000_000
    assert row["time"]["su"] == hour >> 7


def test_control_units_private_and_undefined_types(tmp_path: Path) -> None:
    start, supervise = bytes.fromhex("680407000000"), bytes.fromhex("680401000a00")
    found = stream(tmp_path, start + supervise + unit(asdu(200, b"secret")) + unit(asdu(22, b"x")) + unit(b"\1\2"))
    assert [(row["format"], row.get("function"), row.get("nr")) for row in found[:2]] == [
        ("U", "STARTDT act", None),
        ("S", None, 5),
    ]
    assert (found[2]["type_name"], found[2]["raw"], "error" in found[2]) == ("private", b"secret".hex(), False)
    assert "not defined" in found[3]["error"]
    assert "too short" in found[4]["error"]


def test_units_split_and_joined_in_segments_on_any_port(tmp_path: Path) -> None:
    data = b"".join(unit(asdu(1, address(number) + b"\1"), number) for number in range(30))
    capture = CaptureBuilder().tcp((1, 9), (2, 8), bytes.fromhex("680407000000"))
    for start in range(0, len(data), 11):
        capture.tcp((2, 8), (1, 9), data[start : start + 11])
    found = rows(tmp_path, capture)
    assert [row["ioa"] for row in found[1:]] == list(range(30))


def test_noise_and_missing_segments_cost_only_what_they_hit(tmp_path: Path) -> None:
    good = unit(asdu(1, address(1) + b"\1"))
    capture = CaptureBuilder().tcp(STATION, CENTRE, good + b"noise" + good + b"\x68\x01" + good + good[:5])
    capture.tcp(STATION, CENTRE, good[8:] + good, at=9000)
    found = rows(tmp_path, capture)
    assert sum(row.get("ioa") == 1 for row in found) == 4
    assert sum("error" in row for row in found) >= 3
    assert any("missing" in row.get("error", "") for row in found)


def test_other_traffic_on_other_ports_makes_no_rows(tmp_path: Path) -> None:
    assert rows(tmp_path, CaptureBuilder().tcp((1, 80), (2, 81), b"hello").tcp((1, 80), (2, 81), b"\x68\x04abcd")) == []
