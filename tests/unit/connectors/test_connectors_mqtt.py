"""Payloads of MQTT: numbers, JSON by paths, times, qualities; what cannot be read is a reading without a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.connectors.live.mqtt_payload import MqttFormat, reading_of, split_address
from recloser.connectors.points import Point, PointQuality
from recloser.core import InvalidInput

FULL = MqttFormat(value="v", time="t", time_unit="ms", quality="q")
T_NS = 1_700_000_000_500_000_000


@pytest.mark.parametrize(
    ("payload", "number", "source_ns", "quality"),
    [
        (b"12.5", 12.5, None, PointQuality.GOOD),
        (b"true", 1.0, None, PointQuality.GOOD),
        (b'{"v": -3, "t": 1700000000500, "q": "good"}', -3.0, T_NS, PointQuality.GOOD),
        (b'{"v": 1, "t": 1700000000500, "q": "Uncertain"}', 1.0, T_NS, PointQuality.UNCERTAIN),
        (b'{"v": 1, "t": 1700000000500, "q": false}', 1.0, T_NS, PointQuality.INVALID),
        (b'{"v": 1, "t": 1700000000500, "q": 192}', 1.0, T_NS, PointQuality.INVALID),
        (b'{"v": 1, "t": "today", "q": true}', 1.0, None, PointQuality.TIME_INVALID),
        (b'{"v": 1, "t": -5, "q": true}', 1.0, None, PointQuality.TIME_INVALID),
        (b'{"v": "1", "t": 1700000000500, "q": true}', None, T_NS, PointQuality.INVALID),
        (b'{"v": NaN, "t": 1700000000500, "q": true}', None, T_NS, PointQuality.INVALID),
        (b"nonsense", None, None, PointQuality.INVALID),
        (b"\xff\xfe", None, None, PointQuality.INVALID),
        (b"1" * 400, None, None, PointQuality.INVALID),
        (b"[" * 100_000, None, None, PointQuality.INVALID),
        (b" " * (1 << 21), None, None, PointQuality.INVALID),
    ],
)
def test_payloads(payload: bytes, number: float | None, source_ns: int | None, quality: PointQuality) -> None:
    read = reading_of(payload, Point("a/b", "P", "MW"), FULL, "site", 9)
    assert (read.number, read.source_ns, read.quality, read.receive_ns) == (number, source_ns, quality, 9)


def test_paths_of_points_scales_and_iso_times() -> None:
    point = Point("a/b|m.q", "Q", "kvar", scale=2.0)
    read = reading_of(b'{"m": {"q": 4}, "t": "2023-11-14T22:13:20.5Z"}', point, MqttFormat(time="t"), "site", 9)
    assert (read.number, read.raw, read.source_ns) == (8.0, 4.0, T_NS)
    assert reading_of(b'{"m": 4}', point, MqttFormat(), "site", 9).number is None
    assert split_address("a/b|m.q") == ("a/b", "m.q")
    assert split_address("a/b") == ("a/b", None)
    with pytest.raises(InvalidInput, match="unit of time"):
        MqttFormat(time_unit="minutes")


@given(payload=st.binary(max_size=200))
def test_no_payload_raises(payload: bytes) -> None:
    reading_of(payload, Point("a", "P"), FULL, "site", 9)
    reading_of(payload, Point("a|x.y", "P"), MqttFormat(time="t"), "site", 9)
