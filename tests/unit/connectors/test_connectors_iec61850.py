"""GOOSE and sampled values: all data types, several units, and every way to be malformed as a row."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from recloser.connectors import decode_file
from recloser.testing import CaptureBuilder

UTC = struct.pack(">I", 1_700_000_000) + b"\x80\0\0\x0a"


def node(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2)
    return bytes([tag]) + length + content


def envelope(body: bytes, appid: int = 3, reserved: int = 0) -> bytes:
    return struct.pack(">HHHH", appid, len(body) + 8, reserved, 0) + body


def goose(entries: bytes, count: int = 1) -> bytes:
    fields = node(0x80, b"IED/LLN0$GO$g") + node(0x81, b"\x07\xd0") + node(0x82, b"IED/LLN0$DS") + node(0x83, b"ID")
    fields += node(0x84, UTC) + node(0x85, b"\x00\xff") + node(0x86, b"\x05") + node(0x87, b"\1") + node(0x88, b"\2")
    return node(0x61, fields + node(0x89, b"\0") + node(0x8A, bytes([count])) + node(0xAB, entries))


def decode(path: Path, protocol: str, ethertype: int, *payloads: bytes) -> list[dict[str, Any]]:
    capture = CaptureBuilder()
    for payload in payloads:
        capture.frame(ethertype, payload, vlan=4)
    return list(decode_file(protocol, capture.write(path / "a.pcap")))


def test_a_goose_message_with_every_data_type(tmp_path: Path) -> None:
    entries = [
        (node(0x83, b"\1"), "boolean", True),
        (node(0x84, b"\x03\xa8"), "bit-string", "10101"),
        (node(0x85, b"\xff\xfe"), "integer", -2),
        (node(0x86, b"\xff\xfe"), "unsigned", 65_534),
        (node(0x87, b"\x08" + struct.pack(">f", 1.5)), "floating-point", 1.5),
        (node(0x87, b"\x0b" + struct.pack(">d", -2.5)), "floating-point", -2.5),
        (node(0x87, b"\x08\x7f\x80\0\0"), "floating-point", None),
        (node(0x88, b"\x031.5"), "real", "03312e35"),
        (node(0x89, b"\1\2"), "octet-string", "0102"),
        (node(0x8A, b"text"), "visible-string", "text"),
        (node(0x8C, b"\0\0\0\1"), "binary-time", "00000001"),
        (node(0x8D, b"\x42"), "bcd", 66),
        (node(0x8E, b"\x04\xf0"), "boolean-array", "1111"),
        (node(0x8F, b"\x2a\x86\x48\x03"), "object-identifier", "1.2.840.3"),
        (node(0x8F, b"\x88\x37\x03"), "object-identifier", "2.999.3"),
        (node(0x90, "Ü".encode()), "mms-string", "Ü"),
        (node(0x91, UTC), "utc-time", 1_700_000_000_500_000_000),
        (node(0x9E, b"\7"), "tag 0x9e", "07"),
        (node(0xA2, node(0x83, b"\0")), "structure", [{"type": "boolean", "value": False}]),
        (node(0xA1, node(0x85, b"\1")), "array", [{"type": "integer", "value": 1}]),
    ]
    payload = envelope(goose(b"".join(raw for raw, _, _ in entries), len(entries)), 0x3FFF, 0x8000)
    (row,) = decode(tmp_path, "goose", 0x88B8, payload + b"\0" * 9)
    assert "error" not in row
    quality = {"utc-time": {"time_quality": UTC[7]}}
    assert row["entries"] == [{"type": kind, "value": value} | quality.get(kind, {}) for _, kind, value in entries]
    assert (row["appid"], row["simulated"], row["go_id"]) == (0x3FFF, True, "ID")
    assert (row["st_num"], row["sq_num"], row["test"], row["conf_rev"]) == (255, 5, True, 2)
    assert (row["t_ns"], row["time_quality"], row["time_allowed_to_live_ms"]) == (1_700_000_000_500_000_000, 10, 2000)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0\1\0",
        envelope(goose(node(0x83, b"\1")))[:-5],
        envelope(goose(node(0x83, b"\1"), 2)),
        envelope(node(0x60, b"")),
        envelope(b""),
        envelope(node(0x61, node(0x84, b"short"))),
        envelope(node(0x61, b"\x85\0")),
        envelope(node(0x61, b"\xab\x84\xff\xff\xff\xff")),
        envelope(node(0x61, b"\xab\x80\0\0")),
        envelope(node(0x61, b"\x9f\x1f\0")),
        envelope(goose(node(0x84, b"\x09\0"))),
        envelope(goose(node(0x87, b"\1\2\3"))),
        envelope(goose(node(0x8F, b"\x2a\x86"))),
        envelope(goose(node(0xA2, node(0xA2, node(0xA2, b"\x83"))))),
    ],
)
def test_malformed_goose_is_a_row_with_an_error(tmp_path: Path, payload: bytes) -> None:
    good = envelope(goose(node(0x83, b"\1")))
    rows = decode(tmp_path, "goose", 0x88B8, payload, good)
    assert [("error" in row) for row in rows] == [True, False]


def test_an_entry_that_cannot_be_read_costs_itself_and_what_follows(tmp_path: Path) -> None:
    entries = node(0x83, b"\1") + node(0x87, b"\1\2\3") + node(0x83, b"\0")
    (row,) = decode(tmp_path, "goose", 0x88B8, envelope(goose(entries, 3)))
    assert row["entries"] == [{"type": "boolean", "value": True}]
    assert (row["st_num"], row["error"]) == (255, "entry 2: a floating-point number of 3 bytes")


def test_a_data_set_that_nests_without_end_is_an_error(tmp_path: Path) -> None:
    inner = node(0x83, b"\1")
    for _ in range(200):
        inner = node(0xA2, inner)
    (row,) = decode(tmp_path, "goose", 0x88B8, envelope(goose(inner)))
    assert "nests" in row["error"]


def unit(number: int, data: bytes) -> bytes:
    fields = node(0x80, b"MU01") + node(0x82, number.to_bytes(2)) + node(0x83, b"\0\0\0\1") + node(0x85, b"\2")
    return node(0x30, fields + node(0x87, data))


def test_sampled_values_one_row_a_unit(tmp_path: Path) -> None:
    data = struct.pack(">iIiI", -100, 0, 2**31 - 1, 0x2000)
    units = unit(4, data) + unit(5, b"\1\2\3")
    payload = envelope(node(0x60, node(0x80, b"\2") + node(0xA2, units)), 0x4000)
    first, second = decode(tmp_path, "sv", 0x88BA, payload)
    assert (first["sv_id"], first["smp_cnt"], first["conf_rev"], first["appid"]) == ("MU01", 4, 1, 0x4000)
    assert first["samples"] == [{"value": -100, "quality": 0}, {"value": 2**31 - 1, "quality": 0x2000}]
    assert (second["samples"], second["raw"], second["asdu"]) == (None, "010203", 1)


def test_a_unit_that_cannot_be_read_costs_itself(tmp_path: Path) -> None:
    clock = node(0x30, node(0x80, b"MU02") + node(0x89, bytes(range(8))))
    units = unit(4, bytes(8)) + node(0x30, b"\x80\x55") + clock
    rows = decode(tmp_path, "sv", 0x88BA, envelope(node(0x60, node(0x80, b"\3") + node(0xA2, units))))
    assert [(row["asdu"], row.get("sv_id"), "error" in row) for row in rows] == [
        (0, "MU01", False),
        (1, None, True),
        (2, "MU02", False),
    ]
    assert [row.get("gm_identity") for row in rows] == [None, None, "0001020304050607"]


@pytest.mark.parametrize("body", [node(0x60, b""), node(0x61, b""), node(0x60, node(0xA2, b"\x30\x05"))])
def test_malformed_sampled_values_are_rows_with_an_error(tmp_path: Path, body: bytes) -> None:
    (row,) = decode(tmp_path, "sv", 0x88BA, envelope(body))
    assert "error" in row
    missing = envelope(node(0x60, node(0x80, b"\3") + node(0xA2, unit(1, b""))))
    assert "tells 3" in decode(tmp_path, "sv", 0x88BA, missing)[-1]["error"]
