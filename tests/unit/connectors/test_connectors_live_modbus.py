"""Modbus reads that a device will not answer whole: a register that cannot be read takes no other with it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.connectors.live import Endpoint, ModbusClient, ModbusRead, plan_reads
from recloser.connectors.live.modbus.blocks import ROUNDS, Answer, Blocks
from recloser.connectors.points import Point, PointQuality, PointReading, PointRegistry
from recloser.core import VirtualClock

CLOCK = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))


def registry(*addresses: str) -> PointRegistry:
    return PointRegistry("modbus", tuple(Point(address, address) for address in addresses))


class Device:
    """Answers a request whose registers it all has; else an exception, and counts."""

    def __init__(self, has: set[int], exception: int = 2) -> None:
        self.has, self.exception, self.asked = has, exception, 0

    async def ask(self, read: ModbusRead) -> Answer:
        self.asked += 1
        whole = set(range(read.start, read.start + read.count)) <= self.has
        quality = PointQuality.GOOD if whole else PointQuality.INVALID
        readings = [
            PointReading("meter", place.point.name, None, 0, 1.0 if whole else None, "", quality)
            for place in read.places
        ]
        return Answer(read, None if whole else self.exception, readings)


def lived(blocks: Blocks) -> dict[str, PointQuality]:
    async def main() -> list[PointReading]:
        return [
            reading for read in blocks.round() for answer in await blocks.answers(read) for reading in answer.readings
        ]

    found = asyncio.run(main())
    assert len({reading.point for reading in found}) == len(found), "each point once"
    return {reading.point: reading.quality for reading in found}


@given(
    points=st.sets(st.integers(0, 300), min_size=1, max_size=60),
    missing=st.sets(st.integers(0, 300), max_size=20),
    exception=st.sampled_from([2, 3, 4]),
)
def test_exactly_what_the_device_lacks_is_invalid_in_the_first_round_and_later(
    points: set[int], missing: set[int], exception: int
) -> None:
    device = Device(set(range(301)) - missing, exception)
    blocks = Blocks(plan_reads(registry(*(f"1:holding:{at}" for at in points))), device.ask)
    expected = {f"1:holding:{at}": PointQuality.INVALID if at in missing else PointQuality.GOOD for at in points}
    assert lived(blocks) == expected
    first, device.asked = device.asked, 0
    assert lived(blocks) == expected
    assert device.asked <= first


def test_what_worked_is_remembered_and_the_plan_tried_again_after_many_rounds() -> None:
    device = Device({100, 101, 105})
    blocks = Blocks(plan_reads(registry("1:holding:100", "1:holding:101", "1:holding:105")), device.ask)
    asked = []
    for turn in range(ROUNDS + 2):
        if turn == ROUNDS:
            device.has = set(range(200))
        device.asked = 0
        assert set(lived(blocks).values()) == {PointQuality.GOOD}
        asked.append(device.asked)
    assert asked == [3, *[2] * (ROUNDS - 1), 1, 1]


def test_a_device_that_answers_nothing_is_asked_for_each_block_once_a_round() -> None:
    device = Device(set(), 4)
    blocks = Blocks(plan_reads(registry(*(f"1:holding:{at}" for at in range(100)))), device.ask)
    lived(blocks)
    device.asked = 0
    assert set(lived(blocks).values()) == {PointQuality.INVALID}
    assert device.asked == 1
    device.has = set(range(100))
    assert set(lived(blocks).values()) == {PointQuality.GOOD}


@pytest.mark.parametrize("exception", [1, 5, 6, 10, 11])
def test_other_exceptions_split_nothing(exception: int) -> None:
    device = Device(set(), exception)
    lived(Blocks(plan_reads(registry("1:holding:1", "1:holding:2")), device.ask))
    assert device.asked == 1


def test_neighbours_of_a_hole_are_read_over_a_socket_and_the_plan_is_new_on_each_connection() -> None:
    numbers, requests = {100: 11, 101: 12, 105: 21}, []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(6):
            transaction, *_, unit, function, start, count = struct.unpack(">HHHBBHH", await reader.readexactly(12))
            requests.append((start, count))
            wanted = range(start, start + count)
            if set(wanted) <= numbers.keys():
                body = bytes([function, 2 * count]) + b"".join(struct.pack(">H", numbers[at]) for at in wanted)
            else:
                body = bytes([function | 0x80, 2])
            writer.write(struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body)
        writer.close()

    found: list[Any] = []

    def deliver(told: Sequence[Any]) -> None:
        found.extend(told)

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
            points = registry("1:holding:100", "1:holding:101", "1:holding:105", "1:holding:106")
            client = ModbusClient("meter", endpoint, points, CLOCK, period_s=0.0)
            for _ in range(2):
                await asyncio.gather(client.run(lambda: None, deliver), return_exceptions=True)

    asyncio.run(main())
    first = [(100, 7), (100, 2), (105, 2), (105, 1), (106, 1), (100, 2)]
    assert requests == first * 2
    assert [(reading.number, reading.quality) for reading in found[:4]] == [
        (11.0, PointQuality.GOOD),
        (12.0, PointQuality.GOOD),
        (21.0, PointQuality.GOOD),
        (None, PointQuality.INVALID),
    ]
