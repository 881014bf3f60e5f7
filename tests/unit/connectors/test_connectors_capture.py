"""Capture files become conversations: formats, link layers, fragments, TCP in every disorder."""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.connectors.capture import (
    ByteStream,
    Chunk,
    Damage,
    LinkFrame,
    Packet,
    Traffic,
    read_packets,
    read_traffic,
)
from recloser.core import InvalidInput
from recloser.testing import CaptureBuilder

A, B = (1, 4001), (2, 4712)


def chunks(path: Path) -> list[Chunk]:
    return [event for event in read_traffic(path) if isinstance(event, Chunk)]


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += b"\0" * (-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def pcapng(packets: list[bytes], order: str = "<", ticks: int = 9) -> bytes:
    options = struct.pack(order + "HHB3x", 9, 1, ticks) + struct.pack(order + "HH", 0, 0)
    whole = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    whole += block(5, b"\0" * 12, order)  # statistics: to be skipped
    whole += block(1, struct.pack(order + "HHI", 1, 0, 0) + options, order)
    for index, packet in enumerate(packets):
        head = struct.pack(order + "IIIII", 0, 0, 5_000 + index, len(packet), len(packet))
        whole += block(6, head + packet, order)
    return whole


def test_pcap_and_pcapng_tell_the_same_packets(tmp_path: Path) -> None:
    capture = CaptureBuilder().udp(A, B, b"one").udp(A, B, b"two")
    classic = capture.write(tmp_path / "a.pcap")
    for order in "<>":
        modern = tmp_path / "b.pcapng"
        modern.write_bytes(pcapng(capture.packets, order))
        found = [packet for packet in read_packets(modern) if isinstance(packet, Packet)]
        assert [packet.t_ns for packet in found] == [5_000, 5_001]
        assert [(c.packet, c.data) for c in chunks(modern)] == [(c.packet, c.data) for c in chunks(classic)]
    assert [c.data for c in chunks(classic)] == [b"one", b"two"]
    assert chunks(classic)[1].t_ns == 1_700_000_000_001_000_000


def test_a_big_endian_nanosecond_pcap_is_read(tmp_path: Path) -> None:
    packet = CaptureBuilder().udp(A, B, b"x").packets[0]
    path = tmp_path / "a.pcap"
    head = struct.pack(">IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65_535, 1)
    path.write_bytes(head + struct.pack(">IIII", 3, 7, len(packet), len(packet)) + packet)
    assert chunks(path)[0].t_ns == 3_000_000_007


@pytest.mark.parametrize("cut", [10, 30, 45, 80])
def test_a_file_cut_short_ends_with_damage_and_no_exception(tmp_path: Path, cut: int) -> None:
    whole = CaptureBuilder().udp(A, B, b"x" * 10).udp(A, B, b"y" * 10).content()
    path = tmp_path / "a.pcap"
    path.write_bytes(whole[:cut])
    events = list(read_traffic(path))
    assert isinstance(events[-1], Damage)
    path.write_bytes(pcapng([b"z" * 60])[: cut + 60])
    assert isinstance(list(read_traffic(path))[-1], Damage)


@pytest.mark.parametrize("spoil", [lambda packed: packed[:-400], lambda packed: packed[:-400] + b"\xff" * 392])
def test_a_packed_file_that_is_damaged_ends_with_damage(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    noise = random.Random(5)
    capture = CaptureBuilder()
    for _ in range(400):
        capture.udp(A, B, noise.randbytes(100))
    path = tmp_path / "a.pcap.gz"
    path.write_bytes(gzip.compress(capture.content()))
    whole = list(read_packets(path))
    assert [packet.data for packet in whole if isinstance(packet, Packet)] == capture.packets
    path.write_bytes(spoil(path.read_bytes()))
    read = list(read_packets(path))
    assert isinstance(read[-1], Damage)
    assert len(read) > 100
    assert read[100] == whole[100]


def test_what_is_no_capture_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(b"\x1f\x8b\x08\x00 compressed")
    with pytest.raises(InvalidInput, match="pcap or pcapng"):
        list(read_packets(path))
    path.write_bytes(b"BZh9 compressed otherwise")
    with pytest.raises(InvalidInput, match="than by gzip"):
        list(read_packets(path))
    with pytest.raises(InvalidInput, match="no such file"):
        list(read_packets(tmp_path / "none.pcap"))


@pytest.mark.parametrize(
    ("link", "head"),
    [
        (113, b"\0\0\0\1\0\6" + b"\2" * 8 + b"\x08\0"),
        (276, b"\x08\0" + b"\0" * 18),
        (0, b"\2\0\0\0"),
        (108, b"\0\0\0\2"),
        (101, b""),
        (228, b""),
        (9, b"\xff\x03\0\x21"),
        (9, b"\0\x21"),
        (9, b"\xff\x03\x21"),
        (50, b"\x21"),
        (9, b"\xff\x03\x02\x81\0\0\x11\xff"),
        (1, b"\1" * 12 + b"\x88\xa8\0\5\x81\0\0\6\x08\0"),
    ],
)
def test_every_link_layer_gives_its_datagram(link: int, head: bytes) -> None:
    packet = CaptureBuilder().udp(A, B, b"payload").packets[0][14:]
    (event,) = Traffic().add(Packet(1, 0, link, head + packet))
    assert isinstance(event, Chunk)
    assert (event.data, event.source.host, event.source.port) == (b"payload", "10.0.0.1", 4001)


def test_other_ethertypes_are_link_frames_and_unknown_links_damage() -> None:
    packet = CaptureBuilder().frame(0x88B8, b"goose", vlan=3).packets[0]
    assert list(Traffic().add(Packet(4, 9, 1, packet))) == [LinkFrame(4, 9, 0x88B8, "02:00:00:00:00:01", b"goose")]
    assert isinstance(next(Traffic().add(Packet(4, 9, 9999, packet))), Damage)


def test_ipv6_with_extension_headers_and_fragments() -> None:
    udp = struct.pack(">HHHH", 1, 2, 8 + 16, 0) + b"0123456789abcdef"
    pieces = [(0, udp[:16], 1), (16, udp[16:], 0)]
    traffic, found = Traffic(), []
    for offset, data, more in reversed(pieces):
        fragment = struct.pack(">BBHI", 17, 0, offset | more, 77) + data
        hop = bytes([44, 0]) + b"\0" * 6 + fragment
        head = struct.pack(">IHBB", 6 << 28, len(hop), 0, 64) + bytes(15) + b"\1" + bytes(15) + b"\2"
        found += list(traffic.add(Packet(1, 0, 101, head + hop)))
    assert [event.data for event in found if isinstance(event, Chunk)] == [b"0123456789abcdef"]
    assert found[0].source.host == "::1"


def test_ipv4_fragments_come_together_in_any_order(tmp_path: Path) -> None:
    udp = struct.pack(">HHHH", 5, 6, 8 + 40, 0) + bytes(range(40))
    capture = CaptureBuilder().ip(1, 2, 17, udp[24:], fragment=3).ip(1, 2, 17, udp[:24], fragment=0x2000)
    assert [c.data for c in chunks(capture.write(tmp_path / "a.pcap"))] == [bytes(range(40))]


def test_datagrams_of_which_pieces_are_missing_are_told(tmp_path: Path) -> None:
    capture = CaptureBuilder().ip(1, 2, 17, bytes(24), fragment=0x2000).udp(A, B, b"whole")
    events = list(read_traffic(capture.write(tmp_path / "a.pcap")))
    assert [(event.packet, type(event)) for event in events] == [(2, Chunk), (1, Damage)]
    traffic = Traffic()
    for ident in range(300):
        head = struct.pack(">BBHHHBBH", 0x45, 0, 28, ident, 0x2000, 64, 17, 0) + b"\1\0\0\1\1\0\0\2"
        list(traffic.add(Packet(ident + 1, 0, 101, head + bytes(8))))
    assert [event.packet for event in traffic.finish()] == list(range(45, 301))


def test_fragments_that_come_twice_are_told_once_and_nothing_is_missing(tmp_path: Path) -> None:
    udp = struct.pack(">HHHH", 5, 6, 8 + 40, 0) + bytes(range(40))
    capture = CaptureBuilder()
    for start, end, word in ((0, 24, 0x2000), (24, 48, 3)):
        capture.ip(1, 2, 17, udp[start:end], fragment=word).ip(1, 2, 17, udp[start:end], fragment=word)
    events = list(read_traffic(capture.write(tmp_path / "a.pcap")))
    assert [(type(event), event.packet) for event in events] == [(Chunk, 3)]
    other = udp[:20] + b"other" + udp[25:]
    capture.ip(1, 3, 17, udp[:24], fragment=0x2000).ip(1, 2, 17, other[:24], fragment=0x2000)
    events = list(read_traffic(capture.write(tmp_path / "a.pcap")))
    assert [event.packet for event in events if isinstance(event, Damage)] == [5, 6]


@given(
    data=st.binary(min_size=1, max_size=60),
    seed=st.integers(0, 10_000),
    start=st.sampled_from([1, 2**32 - 20, 2**31 - 5]),
)
def test_a_stream_in_any_order_with_repetitions_is_the_stream(data: bytes, seed: int, start: int) -> None:
    rng = random.Random(seed)
    cuts = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(5))})
    segments = list(pairwise(cuts))
    segments += [(max(0, a - 3), b) for a, b in segments if rng.random() < 0.5]  # repeated, overlapping
    rng.shuffle(segments)
    capture = CaptureBuilder().tcp(A, B, b"", at=start - 1, flags=2)
    for first, last in segments:
        capture.tcp(A, B, data[first:last], at=start + first)
    traffic, found = Traffic(), []
    for number, packet in enumerate(capture.packets, 1):
        found += [event for event in traffic.add(Packet(number, 0, 1, packet)) if isinstance(event, Chunk)]
    found += [event for event in traffic.finish() if isinstance(event, Chunk)]
    assert b"".join(chunk.data for chunk in found) == data
    assert [chunk.lost for chunk in found if chunk.lost] == []


def test_a_hole_that_the_receiver_acknowledged_is_told_at_once(tmp_path: Path) -> None:
    capture = CaptureBuilder().tcp(A, B, b"aaaa", at=1).tcp(A, B, b"cccc", at=9).tcp(B, A, b"ok", at=1, acknowledged=13)
    capture.tcp(A, B, b"dddd", at=13)
    found = chunks(capture.write(tmp_path / "a.pcap"))
    assert [(c.packet, c.data, c.lost) for c in found] == [
        (1, b"aaaa", 0),
        (2, b"cccc", 4),
        (3, b"ok", 0),
        (4, b"dddd", 0),
    ]


def test_a_hole_at_the_end_is_told_at_the_end_and_a_new_connection_starts_anew(tmp_path: Path) -> None:
    capture = CaptureBuilder().tcp(A, B, b"aaaa", at=1).tcp(A, B, b"cccc", at=9)
    capture.tcp(A, B, b"", at=5000, flags=2).tcp(A, B, b"new", at=5001).tcp(A, B, b"late", at=5010)
    found = chunks(capture.write(tmp_path / "a.pcap"))
    assert [(c.data, c.lost, c.connection) for c in found] == [
        (b"aaaa", 0, 0),
        (b"cccc", 4, 0),
        (b"new", 0, 1),
        (b"late", 6, 1),
    ]


def test_a_byte_stream_names_the_packet_that_completed_the_bytes() -> None:
    stream = ByteStream()
    stream.append(b"abc", 5)
    stream.append(b"defg", 9)
    assert stream.take(2) == (b"ab", 5)
    assert stream.take(2) == (b"cd", 9)
    assert stream.take(3) == (b"efg", 9)
    assert len(stream) == 0
