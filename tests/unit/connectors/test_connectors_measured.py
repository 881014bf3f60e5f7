"""A number that is none (NaN, infinity, one that scaling takes beyond the largest) is none in every protocol."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recloser.connectors.dnp3 import read_fragment
from recloser.connectors.iec104 import read_asdu
from recloser.connectors.live.dnp3 import client as dnp3
from recloser.connectors.live.iec104 import client as iec104
from recloser.connectors.live.mqtt_payload import MqttFormat, reading_of
from recloser.connectors.points import Measured, Point, PointQuality, PointReading, PointRegistry, measured, source_time
from recloser.connectors.spool import Batch, Spool, SpoolPolicy
from recloser.core import VirtualClock

NONE = [math.nan, math.inf, -math.inf, 3e38]
CLOCK = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
HUGE = 1e300  # as a scale: 3e38 times this is no number any more


@pytest.mark.parametrize("value", [*NONE, None, "7", [1.0], 10**400])
def test_what_is_no_number_is_none_and_invalid(value: Any) -> None:
    assert measured(Point("1:1", "P", scale=HUGE), value) == Measured(None, None, PointQuality.INVALID)


def test_a_number_is_scaled_and_kept_raw_where_that_changes_it() -> None:
    assert measured(Point("1:1", "P", scale=2.0, offset=1.0), 3) == Measured(7.0, 3.0, PointQuality.GOOD)
    assert measured(Point("1:1", "P"), True) == Measured(1.0, None, PointQuality.GOOD)


def of_iec104(point: Point, number: float) -> PointReading:
    asdu = read_asdu(struct.pack("<BBBBH", 13, 1, 3, 0, 10) + b"\7\0\0" + struct.pack("<fB", number, 0))
    assert asdu is not None
    (reading,) = iec104.readings_of(asdu, {"10:7": point}, "rtu", 5)
    return reading


def of_dnp3(point: Point, number: float) -> PointReading:
    fragment = read_fragment(b"\xc0\x81\0\0" + bytes([30, 5, 0, 7, 7, 1]) + struct.pack("<f", number))
    (reading,) = dnp3.readings_of(fragment, {"analog:7": point}, "rtu", 5)
    return reading


def of_mqtt(point: Point, number: float) -> PointReading:
    return reading_of(b'{"value": %s}' % repr(number).replace("inf", "Infinity").encode(), point, MqttFormat(), "s", 5)


def of_opcua(point: Point, number: float, stamp: datetime | None = None) -> PointReading:
    ua = pytest.importorskip("asyncua", reason="needs the extra opcua").ua
    from recloser.connectors.live.opcua import OpcUaClient

    point = Point("ns=2;s=P", point.name, scale=point.scale)
    client = OpcUaClient("plant", "opc.tcp://127.0.0.1:1/", PointRegistry("opcua", (point,)), CLOCK)
    value = ua.DataValue(ua.Variant(number, ua.VariantType.Double), SourceTimestamp=stamp)
    return client.reading(ua.NodeId("P", 2), value)


@pytest.mark.parametrize("number", NONE)
@pytest.mark.parametrize("of", [of_iec104, of_dnp3, of_mqtt, of_opcua])
def test_no_protocol_takes_it_for_good(of: Any, number: float) -> None:
    reading = of(Point("x", "P", scale=HUGE), number)
    assert (reading.number, reading.quality, reading.usable) == (None, PointQuality.INVALID, False)


@pytest.mark.parametrize(
    ("at_ns", "expected"),
    [
        (None, (None, PointQuality.GOOD)),
        (0, (0, PointQuality.GOOD)),
        (2**63 - 1, (2**63 - 1, PointQuality.GOOD)),
        (-1, (None, PointQuality.TIME_INVALID)),
        (2**63, (None, PointQuality.TIME_INVALID)),
    ],
)
def test_a_time_that_no_clock_can_mean_is_none(at_ns: int | None, expected: tuple[int | None, PointQuality]) -> None:
    assert source_time(at_ns) == expected


def timed_dnp3() -> PointReading:
    event = b"\xc0\x81\0\0" + bytes([32, 7, 0x17, 1, 7]) + struct.pack("<Bf", 1, 2.0) + b"\xff" * 6
    (reading,) = dnp3.readings_of(read_fragment(event), {"analog:7": Point("analog:7", "P")}, "rtu", 5)
    return reading


def timed_opcua() -> PointReading:
    return of_opcua(Point("x", "P"), 2.0, datetime(9999, 12, 31, tzinfo=UTC))


def timed_mqtt() -> PointReading:
    payload = b'{"value": 2, "t": "9999-12-31T00:00:00Z"}'
    return reading_of(payload, Point("x", "P"), MqttFormat(time="t"), "s", 5)


@pytest.mark.parametrize("timed", [timed_dnp3, timed_opcua, timed_mqtt])
def test_a_reading_of_the_year_9999_is_kept_without_its_time_and_ends_no_link(tmp_path: Path, timed: Any) -> None:
    reading = timed()
    assert (reading.number, reading.source_ns, reading.quality) == (2.0, None, PointQuality.TIME_INVALID)
    spool = Spool(tmp_path / "s", SpoolPolicy(), CLOCK, lambda: 0.0)
    spool.accept([reading])
    assert [r for record in spool.pending() if isinstance(record, Batch) for r in record.readings] == [reading]
    spool.close()


def test_an_opcua_time_that_is_not_told_says_nothing_against_the_value() -> None:
    reading = of_opcua(Point("x", "P"), 2.0, datetime(1601, 1, 1, tzinfo=UTC))
    assert (reading.source_ns, reading.quality) == (None, PointQuality.GOOD)
