"""The codec of STTP: against bytes of sttpapi's encoder, against sttpapi itself where it is there, and damaged."""

from __future__ import annotations

import gzip
import math
import random
import struct
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.connectors.sttp import (
    TsscDamage,
    TsscDecoder,
    is_leap_second,
    measure,
    nanoseconds_of,
    read_base_times,
    read_compact,
    read_metadata,
    read_signals,
    sentence,
    ticks_of,
    unpacked,
    write_compact,
    write_signals,
)
from recloser.connectors.sttp.packets import BASE_TIME, LEAP_SECOND, TIME_INDEX
from recloser.simulation.devices.sttp_publisher import metadata

START = 638_000_000_000_000_000
# Four packets of sttpapi 0.7.6: signals 0, 300 and 600, 333,333 ticks apart; flags and values as in `expected`.
PACKETS = [
    "118080ccb5eab3a8ed081f0000704203d112f00000008035378000",
    "0391251195ac2cb1008031808004f80000c03f00",
    "081c01001821f10000807f3c8180808008",
    "23640080740000d04b",
]
ONE, TWO = UUID("83673c68-d59d-4926-b7e9-e7678f9f66b4"), UUID("83673c68-d59d-4926-b7e9-e7678f9f66b5")


def expected(packet: int) -> list[tuple[int, int, int, float]]:
    at = START + packet * 333_333
    return [
        (0, at, 0, 60.0 + packet / 8),
        (300, at, packet % 2 * 0x10000, -1.5 * packet),
        (600, at, 0x8000_0001 if packet == 2 else 0, 0.0),
    ]


def test_packets_of_the_reference_encoder_are_read() -> None:
    decoder = TsscDecoder()
    for number, packet in enumerate(PACKETS):
        assert decoder.decode(bytes.fromhex(packet), 3) == expected(number)


@pytest.mark.parametrize("count", [2, 4])
def test_a_packet_must_hold_what_it_announces(count: int) -> None:
    with pytest.raises(TsscDamage):
        TsscDecoder().decode(bytes.fromhex(PACKETS[0]), count)


def test_a_packet_that_is_cut_off_is_damage() -> None:
    whole = bytes.fromhex(PACKETS[0])
    for length in range(len(whole) - 1):
        with pytest.raises(TsscDamage):
            TsscDecoder().decode(whole[:length], 3)


@given(st.lists(st.binary(max_size=80), max_size=4), st.integers(0, 20))
def test_no_bytes_break_the_decoder_otherwise(packets: list[bytes], count: int) -> None:
    decoder = TsscDecoder()
    for packet in packets:
        try:
            found = decoder.decode(packet, count)
        except TsscDamage:
            return
        assert len(found) == count
        assert all(0 <= ticks < 1 << 64 and 0 <= flags < 1 << 32 for _, ticks, flags, _ in found)


def same(one: tuple[int, int, int, float], two: tuple[int, int, int, float]) -> bool:
    return one[:3] == two[:3] and struct.pack("<f", one[3]) == struct.pack("<f", two[3])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_it_reads_what_the_reference_encoder_writes_as_the_reference_decoder_does(seed: int) -> None:
    pytest.importorskip("sttp", reason="needs sttpapi as the peer")
    import numpy as np
    from sttp.transport.tssc.decoder import Decoder
    from sttp.transport.tssc.encoder import Encoder

    rng, encoder, mine, theirs = random.Random(seed), Encoder(), TsscDecoder(), Decoder()
    most = (5, 70, 5_000, 200_000, 5, 300)[seed]
    signals = [rng.randrange(most) for _ in range((1, 3, 50, 100, 7, 20)[seed])]
    ticks = START
    for _ in range(60):
        ticks += rng.choice([333_333, 333_334, 166_667, 10_000_000])
        buffer, sent = bytearray(32_768), []
        encoder.set_buffer(buffer, np.uint32(0), np.uint32(len(buffer)))
        for signal in signals:
            index = rng.randrange(most) if rng.random() < 0.05 else signal
            at = ticks + rng.choice([0, 0, 0, 1, -5, 1000])
            at |= -(1 << 63) if seed == 4 and rng.random() < 0.02 else 0  # a leap second is the sign of 64 bits
            flags = rng.choice([0, 0, 0, 1, 0x10000, 0xFFFF_FFFF, 0x8000_0000])
            number = rng.choice([60.0, 0.0, rng.gauss(100, 1), float(rng.randrange(10)), math.nan, 1e30])
            assert encoder.try_add_measurement(np.int32(index), np.int64(at), np.uint32(flags), np.float32(number))
            sent.append((index, at & (1 << 64) - 1, flags, float(np.float32(number))))
        packet = bytes(buffer[: encoder.finish_block()])
        found = mine.decode(packet, len(sent))
        assert all(map(same, found, sent))
        assert len(found) == len(sent)
        assert all(map(same, found, read_by(theirs, packet)))


def read_by(decoder: Any, packet: bytes) -> list[tuple[int, int, int, float]]:
    decoder.set_buffer(packet)
    found = []
    while True:
        index, ticks, flags, number, more, error = decoder.try_get_measurement()
        assert error is None
        if not more:
            return found
        found.append((int(index), int(ticks) & (1 << 64) - 1, int(flags), float(number)))


def test_ticks_are_exact_nanoseconds() -> None:
    assert nanoseconds_of(621_355_968_000_000_000) == 0
    assert nanoseconds_of(639_028_512_000_000_001) == 1_767_254_400_000_000_100
    assert ticks_of(1_767_254_400_000_000_199) == 639_028_512_000_000_001
    assert nanoseconds_of(0) is None
    assert nanoseconds_of(START | LEAP_SECOND) == nanoseconds_of(START)
    assert (is_leap_second(START | LEAP_SECOND), is_leap_second(START)) == (True, False)


@given(st.integers(0, (1 << 61) - 1))
def test_every_tick_has_its_nanosecond(ticks: int) -> None:
    at_ns = nanoseconds_of(ticks)
    assert at_ns is None or ticks_of(at_ns) == ticks


def test_compact_values_with_whole_and_offset_times() -> None:
    base = (START, START + 600_000_000)
    data = write_compact(7, START + 5, 0x02, 1.5)
    data += struct.pack(">BIfI", BASE_TIME, 8, 2.5, 10) + struct.pack(">BIfI", BASE_TIME | TIME_INDEX, 9, 3.5, 20)
    found = [(one.index, one.ticks, one.flags & 0x3F, one.value) for one in read_compact(data, 3, base)]
    assert found == [(7, START + 5, 2, 1.5), (8, START + 10, 0, 2.5), (9, START + 600_000_020, 0, 3.5)]
    assert [one.ticks for one in read_compact(data, 3, (0, 0))] == [START + 5, None, None]
    for wrong, count in ((data[:-1], 3), (data + b"x", 3), (data, 2), (data, 4)):
        with pytest.raises(ValueError, match="values"):
            read_compact(wrong, count, base)


def test_base_times() -> None:
    assert read_base_times(struct.pack(">IQQ", 1, 5, 6)) == (5, 6)
    with pytest.raises(ValueError, match="cut off"):
        read_base_times(bytes(19))


def test_a_table_of_signals_is_read_as_written_and_never_beyond_its_end() -> None:
    data = write_signals(ONE, {0: ONE, 900: TWO}, "SHELBY")
    assert int.from_bytes(data[:4], "big") == len(data)
    assert read_signals(data).signals == {0: ONE, 900: TWO}
    for length in range(len(data)):
        with pytest.raises(ValueError, match="cut off"):
            read_signals(data[:length])


def test_a_frame_longer_than_any_is_no_frame() -> None:
    assert measure(bytearray(b"\0\0\0\x08")) == 12
    assert measure(bytearray(b"\0\0")) == 0
    assert measure(bytearray(b"\xff\xff\xff\xff\0")) == -5
    assert measure(bytearray(b"\0\0\0\x01\0")) == -5


def test_packed_data_are_bounded_and_plain_ones_pass() -> None:
    assert unpacked(b"<plain/>") == b"<plain/>"
    assert unpacked(gzip.compress(b"x" * 10_000)) == b"x" * 10_000
    bomb = gzip.compress(bytes(65 << 20))
    for wrong in (bomb, gzip.compress(b"some text")[:-4], b"\x1f\x8bnonsense"):
        with pytest.raises(ValueError, match="gzip"):
            unpacked(wrong)


def test_a_sentence_with_and_without_its_length() -> None:
    assert sentence(b"\0\0\0\x02no") == sentence(b"no") == "no"


def test_metadata_tell_signals_devices_and_rates() -> None:
    signals = read_metadata(metadata((("F01", ONE), ("A&B", TWO)), 50))
    assert [(one.identity, one.tag, one.device, one.frames_per_second) for one in signals] == [
        (ONE, "F01_P", "RECLOSER", 50),
        (TWO, "A&B_P", "RECLOSER", 50),
    ]
    assert signals[1].description == "Load of A&B, MW"
    namespaced = b'\xef\xbb\xbf<n:D xmlns:n="urn:x"><n:MeasurementDetail><n:SignalID>%s</n:SignalID><n:PointTag>T'
    namespaced += b"</n:PointTag><n:Enabled>0</n:Enabled></n:MeasurementDetail><n:MeasurementDetail/></n:D>"
    (only,) = read_metadata(namespaced % str(ONE).encode())
    assert (only.tag, only.enabled, only.frames_per_second) == ("T", False, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        b"<a>",
        b"\xff\xfe<\0a\0/\0>\0",
        b'<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>',
    ],
)
def test_metadata_that_cannot_be_trusted_are_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_metadata(wrong)
