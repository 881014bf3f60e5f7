"""The same conversation however it was recorded: link layers, tags, tunnels, formats, disorder; beside tshark.

Modbus over TCP stands for all: what is tried is the way to its bytes. Where tshark is installed it reads
the same files.
"""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recloser.connectors import decode_file
from recloser.connectors.capture import LinkFrame, Packet, Traffic
from recloser.core import InvalidInput
from recloser.testing import CaptureBuilder

CLIENT, SERVER = (1, 40_001), (2, 502)
Wrap = Callable[[bytes], bytes]
needs_tshark = pytest.mark.skipif(
    shutil.which("tshark") is None, reason="tshark is not installed (Debian: apt-get install tshark)"
)


def request(transaction: int, address: int = 0, count: int = 2) -> bytes:
    return struct.pack(">HHHBBHH", transaction, 0, 6, 1, 3, address, count)


def response(transaction: int, *registers: int) -> bytes:
    body = struct.pack(f">BBB{len(registers)}H", 1, 3, 2 * len(registers), *registers)
    return struct.pack(">HHH", transaction, 0, len(body)) + body


def conversation() -> CaptureBuilder:
    """Three requests with answers: alone, two in one segment, one answer in two."""
    capture = CaptureBuilder()
    capture.tcp(CLIENT, SERVER, b"", at=0, flags=2).tcp(SERVER, CLIENT, b"", at=0, flags=0x12, acknowledged=1)
    capture.tcp(CLIENT, SERVER, request(1)).tcp(SERVER, CLIENT, response(1, 10, 11))
    capture.tcp(CLIENT, SERVER, request(2) + request(3))
    capture.tcp(SERVER, CLIENT, response(2, 20, 21) + response(3, 30, 31)[:5])
    return capture.tcp(SERVER, CLIENT, response(3, 30, 31)[5:])


def ip_of(payload: bytes, protocol: int) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 9, 0, 64, protocol, 0)
    return b"\2" * 12 + b"\x08\0" + head + bytes([192, 168, 0, 1, 192, 168, 0, 2]) + payload


def with_options(packet: bytes) -> bytes:
    total = struct.pack(">H", len(packet) - 14 + 4)
    return packet[:14] + b"\x46" + packet[15:16] + total + packet[18:34] + b"\1\1\1\0" + packet[34:]


def as_ipv6(packet: bytes) -> bytes:
    payload = packet[34:]
    hop = bytes([6, 0, 1, 4, 0, 0, 0, 0])  # hop by hop with padding
    ends = bytes(15) + packet[29:30] + bytes(15) + packet[33:34]
    return packet[:12] + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, 8 + len(payload), 0, 64) + ends + hop + payload


WRAPS: dict[str, tuple[int, Wrap]] = {
    "plain": (1, lambda p: p),
    "padded": (1, lambda p: p + b"\0\0\0\0\x55"),
    "vlan": (1, lambda p: p[:12] + b"\x81\0\0\5" + p[12:]),
    "two vlans": (1, lambda p: p[:12] + b"\x88\xa8\0\5\x81\0\0\6" + p[12:]),
    "hsr": (1, lambda p: p[:12] + b"\x89\x2f" + struct.pack(">HH", len(p) - 8, 77) + p[12:]),
    "vlan, hsr": (1, lambda p: p[:12] + b"\x81\0\0\5\x89\x2f" + struct.pack(">HH", len(p) - 8, 77) + p[12:]),
    "mpls": (1, lambda p: p[:12] + b"\x88\x47\0\1\0\x40\0\2\1\x40" + p[14:]),
    "snap": (1, lambda p: p[:12] + struct.pack(">H", len(p) - 6) + b"\xaa\xaa\x03\0\0\0" + p[12:] + b"pad"),
    "pppoe": (1, lambda p: p[:12] + b"\x88\x64\x11\0\0\1" + struct.pack(">HH", len(p) - 12, 0x21) + p[14:]),
    "sll": (113, lambda p: b"\0\0\0\1\0\6" + p[6:12] + b"\0\0" + p[12:]),
    "sll2": (276, lambda p: p[12:14] + b"\0\0\0\0\0\1\0\1\0\6" + p[6:12] + b"\0\0" + p[14:]),
    "raw": (101, lambda p: p[14:]),
    "ipv4": (228, lambda p: p[14:]),
    "loopback": (0, lambda p: b"\2\0\0\0" + p[14:]),
    "ip options": (1, with_options),
    "ipv6": (1, as_ipv6),
    "ipip": (1, lambda p: ip_of(p[14:], 4)),
    "gre": (1, lambda p: ip_of(b"\0\0\x08\0" + p[14:], 47)),
    "gre with key": (1, lambda p: ip_of(b"\x20\0\x08\0\0\0\0\7" + p[14:], 47)),
    "erspan": (1, lambda p: ip_of(b"\x10\0\x88\xbe\0\0\0\1" + b"\x10\x0a\0\1\0\0\0\0" + p, 47)),
    "bridged gre": (1, lambda p: ip_of(b"\0\0\x65\x58" + p, 47)),
    "vxlan": (1, lambda p: ip_of(struct.pack(">HHHH", 5, 4789, 16 + len(p), 0) + b"\x08\0\0\0\0\0\5\0" + p, 17)),
}


def pcap(packets: list[bytes], link: int, order: str = "<", *, nano: bool = False) -> bytes:
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    whole = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65_535, link)
    for index, packet in enumerate(packets):
        whole += struct.pack(order + "IIII", 1_700_000_000, 1000 * index, len(packet), len(packet)) + packet
    return whole


def block(kind: int, body: bytes, order: str) -> bytes:
    body += b"\0" * (-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(packets: list[bytes], link: int, order: str, resolution: int, before: bytes = b"") -> bytes:
    """Return a section with an interface of another kind before the one that recorded, and a block nobody knows."""
    whole = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    whole += block(1, struct.pack(order + "HHI", 147, 0, 0), order)
    options = struct.pack(order + "HHB3x", 9, 1, resolution) + struct.pack(order + "HH", 0, 0)
    whole += block(1, struct.pack(order + "HHI", link, 0, 0) + options, order)
    whole += block(0x7777, b"a block of tomorrow", order) + before
    for index, packet in enumerate(packets):
        head = struct.pack(order + "IIIII", 1, 0, 5_000 + index, len(packet), len(packet))
        whole += block(6, head + packet, order)
    return whole


FORMATS: dict[str, Callable[[list[bytes], int], bytes]] = {
    "pcap": pcap,
    "pcap, big-endian, ns": lambda p, link: pcap(p, link, ">", nano=True),
    "gzip": lambda p, link: gzip.compress(pcap(p, link)),
    "pcapng": lambda p, link: section(p, link, "<", 6),
    "pcapng, gzip": lambda p, link: gzip.compress(section(p, link, ">", 6)),
    "pcapng, big-endian, powers of two": lambda p, link: section(p, link, ">", 0x80 | 20),
    "custom block": lambda p, link: section(p, link, "<", 6, block(0x0BAD, b"\xed\x7e\0\0whose", "<")),
    "two sections": lambda p, link: section(p[:3], link, "<", 9) + section(p[3:], link, ">", 6),
}


def rows(path: Path, **options: Any) -> list[tuple[Any, ...]]:
    names = ("packet", "transaction", "unit", "function", "request", "registers", "error")
    return [tuple(row.get(name) for name in names) for row in decode_file("modbus", path, **options)]


def written(path: Path, form: str, wrap: str, packets: list[bytes]) -> Path:
    link, outer = WRAPS[wrap]
    path.write_bytes(FORMATS[form]([outer(packet) for packet in packets], link))
    return path


def disorders() -> dict[str, list[bytes]]:
    """Return the conversation's packets as networks and recorders spoil them."""
    packets = conversation().packets
    overlapping = conversation()
    overlapping.packets.pop()
    whole = response(2, 20, 21) + response(3, 30, 31)
    started = 1 + len(response(1, 10, 11))
    overlapping.tcp(SERVER, CLIENT, whole[2:], at=started + 2)  # sent again from an earlier byte on, and further
    return {
        "in order": packets,
        "sent again": [*packets[:4], packets[3], packets[4], packets[4], *packets[5:], packets[5]],
        "out of order": [*packets[:5], packets[6], packets[5]],
        "overlapping": overlapping.packets,
        "from the middle": packets[4:],
        "keep-alive": [*packets[:4], CaptureBuilder().tcp(CLIENT, SERVER, b"\0", at=12).packets[0], *packets[4:]],
    }


DISORDERS = tuple(disorders())


@pytest.mark.parametrize("wrap", WRAPS)
def test_every_wrapping_gives_the_same_rows(wrap: str, tmp_path: Path) -> None:
    expected = rows(written(tmp_path / "plain.pcap", "pcap", "plain", conversation().packets))
    assert [row[1] for row in expected] == [1, 1, 2, 3, 2, 3]
    assert rows(written(tmp_path / "wrapped.pcap", "pcap", wrap, conversation().packets)) == expected


def test_blocks_that_wireshark_counts_have_a_number(tmp_path: Path) -> None:
    path = written(tmp_path / "custom.pcapng", "custom block", "plain", conversation().packets)
    assert [row[0] for row in rows(path)] == [4, 5, 6, 6, 7, 8]


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "custom block"])
def test_every_format_gives_the_same_rows(form: str, tmp_path: Path) -> None:
    expected = rows(written(tmp_path / "plain.pcap", "pcap", "plain", conversation().packets))
    assert rows(written(tmp_path / "other", form, "vlan", conversation().packets)) == expected


@needs_tshark
@pytest.mark.parametrize(
    ("form", "wrap", "disorder"),
    [
        *(("pcap", wrap, "in order") for wrap in WRAPS),
        *((form, "hsr", "in order") for form in FORMATS),
        *(("pcap", "plain", disorder) for disorder in DISORDERS),
    ],
)
def test_tshark_reads_the_same_frames(form: str, wrap: str, disorder: str, tmp_path: Path) -> None:
    path = written(tmp_path / "capture.pcapng", form, wrap, disorders()[disorder])
    fields = ["frame.number", "mbtcp.trans_id", "modbus.func_code"]
    words = ["tshark", "-r", str(path), "-o", "tcp.reassemble_out_of_order:TRUE", "-Y", "mbtcp", "-T", "fields"]
    words += [word for name in fields for word in ("-e", name)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    theirs = []
    for line in done.stdout.splitlines():
        number, transactions, functions = line.split("\t")
        pairs = zip(transactions.split(","), functions.split(","), strict=True)
        theirs += [(int(number), int(transaction), int(function)) for transaction, function in pairs]
    ours = [(row[0], row[1], row[3]) for row in rows(path) if row[6] is None]
    assert ours == theirs


def test_a_goose_message_in_a_ring_is_a_goose_message() -> None:
    inner = CaptureBuilder().frame(0x88B8, b"goose").packets[0]
    packet = WRAPS["vlan, hsr"][1](inner)
    assert list(Traffic().add(Packet(4, 9, 1, packet))) == [LinkFrame(4, 9, 0x88B8, "02:00:00:00:00:01", b"goose")]


def test_tunnels_in_tunnels_end() -> None:
    packet = conversation().packets[2]
    for _ in range(50):
        packet = ip_of(packet[14:], 4)
    assert list(Traffic().add(Packet(1, 0, 1, packet))) == []


@pytest.mark.parametrize("cut", range(14, 120))
@pytest.mark.parametrize("wrap", ["mpls", "pppoe", "gre", "erspan", "vxlan", "hsr", "ipip"])
def test_a_packet_cut_anywhere_breaks_nothing(wrap: str, cut: int) -> None:
    link, outer = WRAPS[wrap]
    for event in Traffic().add(Packet(1, 0, link, outer(conversation().packets[3])[:cut], whole=False)):
        assert event.packet == 1


def test_a_port_that_is_told_speaks_the_protocol(tmp_path: Path) -> None:
    server = (2, 1502)
    capture = CaptureBuilder().tcp(CLIENT, server, request(1)[:7]).tcp(CLIENT, server, request(1)[7:])
    capture.tcp(server, CLIENT, response(1, 10, 11)[:4]).tcp(server, CLIENT, response(1, 10, 11)[4:])
    path = capture.write(tmp_path / "a.pcap")
    assert rows(path) == [], "no piece of it is whole frames"
    told = rows(path, ports=[1502])
    assert [(row[1], row[4]) for row in told] == [(1, True), (1, False)]
    with pytest.raises(InvalidInput, match="known by its frames"):
        list(decode_file("goose", path, ports=[1502]))
