"""The rules of an STTP connection and what its frames become: against a publisher that the test plays, bit by bit."""

from __future__ import annotations

import gzip
import math
import struct
from uuid import UUID, uuid4

import pytest

from recloser.connectors.live.sttp.client import DeviceWatch, readings_of
from recloser.connectors.live.sttp.session import SttpSession, SttpTiming, Told
from recloser.connectors.live.sttp.wanted import MOST_ASKED, resolve
from recloser.connectors.points import Point, PointQuality, sttp_quality
from recloser.connectors.sttp import Command, Response, Signal, answer, ticks_of, write_compact, write_signals
from recloser.core import Unavailable
from recloser.simulation.devices.sttp_publisher import metadata

ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))
POINTS = (Point("F01_P", "one", "MW", scale=2.0), Point(str(TWO), "two", "MW"), Point("GONE", "gone"))
XML = metadata((("F01", ONE), ("F02", TWO)), 50)
AT = ticks_of(1_767_254_400_000_000_000)
GRANTED = answer(Response.SUCCEEDED, Command.SUBSCRIBE)
TABLE = answer(
    Response.UPDATE_SIGNAL_INDEX_CACHE,
    Command.SUBSCRIBE,
    b"\0" + gzip.compress(write_signals(uuid4(), {0: ONE, 1: TWO, 2: THREE}, "S")),
)
# Of sttpapi's encoder, values of the signals 0, 300 and 600; see test_sttp_codec.py.
FIRST = bytes.fromhex("118080ccb5eab3a8ed081f0000704203d112f00000008035378000")


def described(xml: bytes = XML) -> bytes:
    return answer(Response.SUCCEEDED, Command.METADATA_REFRESH, gzip.compress(xml))


def values(*rows: tuple[int, int, float], cache: int = 0) -> bytes:
    body = b"".join(write_compact(index, AT, flags, number) for index, flags, number in rows)
    return answer(Response.DATA_PACKET, Command.SUBSCRIBE, struct.pack(">BI", 2 | cache << 4, len(rows)) + body)


def packed(number: int, count: int, data: bytes) -> bytes:
    head = struct.pack(">BIBH", 8, count, 85, number)
    return answer(Response.DATA_PACKET, Command.SUBSCRIBE, head + data)


def begun(timing: SttpTiming | None = None) -> SttpSession:
    session = SttpSession(POINTS, timing or SttpTiming(), 0.0)
    session.outgoing(0.0)
    session.feed(described(), 0.1)
    session.outgoing(0.1)
    session.feed(GRANTED + TABLE, 0.2)
    assert session.started
    return session


def test_it_asks_for_modes_and_metadata_then_subscribes_then_is_started() -> None:
    session = SttpSession(POINTS, SttpTiming(), 0.0)
    modes, refresh = struct.pack(">IBI", 5, 6, 0xE000_0262), struct.pack(">IB", 1, 1)
    assert session.outgoing(0.0) == modes + refresh
    assert session.feed(answer(Response.SUCCEEDED, Command.DEFINE_OPERATIONAL_MODES, b"fine"), 0.1) == []
    assert session.feed(described(), 0.2) == []
    asked = session.outgoing(0.2)
    assert (asked[4], asked[5]) == (Command.SUBSCRIBE, 2)
    assert f"SignalID IN ('{ONE}', '{TWO}')".encode() in asked
    assert b"requestNaNValueFilter=False" in asked
    assert not session.started
    told = session.feed(GRANTED + TABLE, 0.3)
    assert session.started
    assert [[point.name for point in one.absent] for one in told] == [["gone"]]
    assert session.outgoing(0.3) == struct.pack(">IB", 1, Command.CONFIRM_UPDATE_SIGNAL_INDEX_CACHE)


def test_without_compression_no_tssc_is_asked_for() -> None:
    (modes,) = struct.unpack_from(">I", SttpSession(POINTS, SttpTiming(compressed=False), 0.0).outgoing(0.0), 5)
    assert modes == 0xC000_0222


def test_values_cut_at_any_byte_are_the_same() -> None:
    stream = values((0, 0, 1.5), (1, 2, -3.0), (2, 0, 9.0)) + values((1, 0, 4.0))
    whole = [value for told in begun().feed(stream, 1.0) for value in told.values]
    session = begun()
    single = [value for byte in stream for told in session.feed(bytes([byte]), 1.0) for value in told.values]
    assert single == whole
    assert [(value.point.name, value.ticks, value.flags, value.number) for value in whole] == [
        ("one", AT, 0, 1.5),
        ("two", AT, 2, -3.0),
        ("two", AT, 0, 4.0),
    ]
    assert (session.packets, session.values, session.foreign) == (2, 3, 1)


def test_compressed_packets_are_read_in_order_and_a_missing_one_ends_the_connection() -> None:
    session, table = begun(), write_signals(uuid4(), {0: ONE, 300: TWO, 600: THREE}, "S")
    session.feed(answer(Response.UPDATE_SIGNAL_INDEX_CACHE, 2, b"\x01" + gzip.compress(table)), 1.0)
    cached = packed(0, 3, FIRST).replace(b"\x08\0\0\0\x03U", b"\x18\0\0\0\x03U")
    (told,) = session.feed(cached, 1.0)
    assert [(value.point.name, value.number) for value in told.values] == [("one", 60.0), ("two", 0.0)]
    (again,) = session.feed(cached, 1.0)  # number 0 begins anew
    assert again == told
    with pytest.raises(Unavailable, match="a packet is missing"):
        session.feed(cached.replace(b"U\0\0", b"U\0\x02"), 1.0)


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (values((7, 0, 1.0)), "signal 7, which the table"),
        (values((0, 0, 1.0), cache=1), "without a table"),
        (packed(0, 3, FIRST[:9]), "ends inside"),
        (answer(Response.DATA_PACKET, 2, b"\x02"), "cannot be read"),
        (answer(Response.DATA_PACKET, 2, struct.pack(">BIBH", 8, 1, 84, 0)), "version 84"),
        (answer(Response.PROCESSING_COMPLETE, 2, b"the end"), "ended the stream"),
        (answer(Response.FAILED, Command.SUBSCRIBE, b"not you"), "not you"),
        (answer(Response.FAILED, Command.DEFINE_OPERATIONAL_MODES, b"version"), "refused: define_operational_modes"),
        (struct.pack(">IBBI", 6, 0x42, 0, 0), "0x42"),
        (b"\xff\xff\xff\xff", "no frame"),
    ],
)
def test_what_breaks_the_rules_ends_the_connection(frame: bytes, sentence: str) -> None:
    with pytest.raises(Unavailable, match=sentence):
        begun().feed(frame, 1.0)


def test_keep_alive_notices_and_keys_say_nothing() -> None:
    session = begun()
    quiet = [Response.NO_OPERATION, Response.NOTIFY, Response.UPDATE_CIPHER_KEYS, Response.DATA_START_TIME]
    assert session.feed(b"".join(answer(code, 2, b"12345678") for code in quiet), 1.0) == []
    assert session.notices == 1


@pytest.mark.parametrize("step", ["metadata", "an answer to the subscription", "its table of signals"])
def test_a_publisher_that_does_not_answer_is_given_up(step: str) -> None:
    session = SttpSession(POINTS, SttpTiming(answer_s=5.0), 0.0)
    steps = {"metadata": b"", "an answer to the subscription": described()}
    for frame in [steps[step]] if step in steps else [described(), GRANTED]:
        session.feed(frame, 1.0)
    session.outgoing(5.0)
    with pytest.raises(Unavailable, match=f"does not send {step}"):
        session.outgoing(6.1)


def test_a_silent_publisher_is_given_up() -> None:
    session = begun(SttpTiming(silence_s=15.0))
    session.feed(answer(Response.NO_OPERATION, 2), 10.0)
    session.outgoing(25.0)
    with pytest.raises(Unavailable, match="silent"):
        session.outgoing(25.1)


def test_changed_signals_end_the_connection_and_the_same_ones_do_not() -> None:
    session = begun()
    session.outgoing(1.0)
    session.feed(answer(Response.CONFIGURATION_CHANGED, 2), 1.0)
    assert session.outgoing(1.0) == struct.pack(">IB", 1, Command.METADATA_REFRESH)
    session.feed(described(), 1.1)
    session.feed(values((0, 0, 1.0)), 1.2)
    session.feed(answer(Response.CONFIGURATION_CHANGED, 2), 2.0)
    with pytest.raises(Unavailable, match="signals changed"):
        session.feed(described(metadata((("F01", THREE), ("F02", TWO)), 50)), 2.1)


def test_without_metadata_uuids_are_enough_and_tags_are_not() -> None:
    refused = answer(Response.FAILED, Command.METADATA_REFRESH, b"not allowed")
    session = SttpSession(POINTS, SttpTiming(), 0.0)
    session.feed(refused, 0.1)
    assert f"SignalID IN ('{TWO}')".encode() in session.outgoing(0.1)
    with pytest.raises(Unavailable, match="not allowed"):
        SttpSession(POINTS[:1], SttpTiming(), 0.0).feed(refused, 0.1)


def test_more_signals_than_a_publisher_takes_are_all_asked_for() -> None:
    signals = [Signal(UUID(int=number + 1), f"T{number}") for number in range(MOST_ASKED + 1)]
    points = [Point(signal.tag, signal.tag) for signal in signals]
    assert "IS NOT NULL" in resolve(points, signals).expression
    expression = resolve(points[:-1], signals).expression
    assert "IS NOT NULL" not in expression
    assert len(expression) < 32_000
    assert ";" not in expression


def test_a_block_of_bytes_is_confirmed_and_told_to_be_missing() -> None:
    session = begun()
    session.outgoing(0.3)
    block = struct.pack(">IBI", 5, 1, 0) + b"bytes"
    (told,) = session.feed(answer(Response.BUFFER_BLOCK, 2, block), 1.0)
    assert told.block is POINTS[0]
    assert session.outgoing(1.0) == struct.pack(">IBI", 5, Command.CONFIRM_BUFFER_BLOCK, 5)


def told_of(*rows: tuple[int, int, float]) -> Told:
    (told,) = begun().feed(values(*rows), 1.0)
    return told


def test_a_reading_has_the_exact_time_the_scaled_number_and_the_flags() -> None:
    (one,) = readings_of(told_of((0, 0, 1.5)), "pdc", 9)
    assert (one.source, one.point, one.number, one.raw, one.unit) == ("pdc", "one", 3.0, 1.5, "MW")
    assert (one.source_ns, one.receive_ns, one.origin) == (1_767_254_400_000_000_000, 9, "sttp:compact")
    (two,) = readings_of(told_of((1, 0x06, math.nan)), "pdc", 9)
    assert (two.number, two.raw_flags) == (None, 6)
    assert two.quality == PointQuality.INVALID | PointQuality.TIME_INVALID
    assert two.at_ns == 9


def test_a_leap_second_is_not_the_second_before() -> None:
    body = struct.pack(">BI", 2, 1) + write_compact(0, AT | 1 << 63, 0, 1.0)
    (told,) = begun().feed(answer(Response.DATA_PACKET, 2, body), 1.0)
    (one,) = readings_of(told, "pdc", 9)
    assert one.quality == PointQuality.TIME_INVALID
    assert one.at_ns == 9


@pytest.mark.parametrize(
    ("flags", "quality"),
    [
        (0, PointQuality.GOOD),
        (0x1, PointQuality.INVALID),
        (0x4, PointQuality.OVERFLOW),
        (0xF0 | 0x1000, PointQuality.GOOD),  # alarms of the process, a calculated value
        (0x100, PointQuality.BLOCKED),
        (0x1_0000, PointQuality.TIME_INVALID),
        (0x4_0002, PointQuality.UNSYNCHRONISED | PointQuality.UNCERTAIN),
        (0x30_0000, PointQuality.DATA_MODIFIED),
        (0x1000_0000, PointQuality.TEST),
        (0x8000_0000, PointQuality.INVALID),
        (0x0C00_0000, PointQuality.GOOD),  # how a time is written
    ],
)
def test_state_flags_are_quality(flags: int, quality: PointQuality) -> None:
    assert sttp_quality(flags) == quality


def test_compact_flags_are_the_worst_they_may_stand_for() -> None:
    assert sttp_quality(0x02, compact=True) == PointQuality.INVALID
    assert sttp_quality(0x01, compact=True) == PointQuality.UNCERTAIN
    assert sttp_quality(0xD0, compact=True) == PointQuality.GOOD


STEP = 20_000_000


def test_missing_frames_are_told_once_the_rate_is_seen_to_be_true() -> None:
    watch = DeviceWatch(50)
    assert list(watch.look([0, STEP, 2 * STEP], "S")) == []
    (lost,) = watch.look([5 * STEP], "S")
    assert (lost.start_ns, lost.end_ns, lost.reason) == (3 * STEP, 5 * STEP, "S: 2 frames are missing")
    assert list(watch.look([5 * STEP], "S")) == []  # the rest of a frame in the next packet
    assert list(watch.look([4 * STEP], "S")) == []
    assert (watch.missing, watch.late) == (2, 1)


def test_a_stamp_far_ahead_blinds_the_watch_for_one_packet_only() -> None:
    watch = DeviceWatch(50)
    assert list(watch.look([0, STEP, 2 * STEP], "S")) == []
    assert list(watch.look([10**18], "S")) == []
    assert list(watch.look([3 * STEP, 4 * STEP], "S")) == []
    (lost,) = watch.look([7 * STEP], "S")
    assert (lost.start_ns, lost.end_ns) == (5 * STEP, 7 * STEP)
    assert watch.late == 0


def test_a_rate_that_is_not_true_tells_of_no_gap() -> None:
    watch = DeviceWatch(30)
    assert [lost for second in range(10) for lost in watch.look([second * 1_000_000_000], "S")] == []


def test_numbers_of_packets_go_on_at_one_after_the_last() -> None:
    session = begun()
    for number in [*range(1 << 16), 1, 2]:
        session.feed(packed(number, 0, b""), 1.0)
    with pytest.raises(Unavailable, match="a packet is missing"):
        session.feed(packed(4, 0, b""), 1.0)
