"""Owns a simulated Modbus TCP device with the grid's loads in its holding registers. Cannot be written to."""

from __future__ import annotations

import asyncio
import struct

from recloser.connectors.points import PointRegistry
from recloser.simulation.devices.feed import DeviceFeed, Moment, Now, load_points
from recloser.simulation.devices.serving import Opened, listen

READ_HOLDING, READ_INPUT = 3, 4
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 1, 2, 3, 4


class ModbusServer:
    """Answers functions 3 and 4: each feeder's load in MW is a float in two registers, from 0 on.

    A device that is to be invalid answers with exception 4; one that is to be damaged, with another unit's number.

    Args:
        feed: what is measured.
    """

    def __init__(self, feed: DeviceFeed) -> None:
        self._now: Now = feed.now
        self.registry = PointRegistry(
            "modbus", load_points(feed.areas, lambda place, _area: f"1:holding:{2 * place}:f32")
        )

    async def open(self, host: str, port: int) -> Opened:
        """Begin to listen; raises as `Device.open`."""
        return await listen(host, port, self._now, self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            transaction, protocol, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
            if protocol or not 2 <= length <= 254:
                return
            request, moment = await reader.readexactly(length - 1), self._now()
            if moment.silent:
                continue
            body = answer(request, moment)
            unit ^= 0x10 if moment.damaged else 0
            writer.write(struct.pack(">HHHB", transaction, 0, len(body) + 1, unit) + body)
            await writer.drain()


def answer(request: bytes, moment: Moment) -> bytes:
    """Return the PDU that answers a request."""
    function = request[0]
    if function not in {READ_HOLDING, READ_INPUT} or len(request) != 5:
        return bytes([function | 0x80, ILLEGAL_FUNCTION])
    registers = struct.pack(f">{len(moment.numbers)}f", *moment.numbers)
    start, count = struct.unpack(">HH", request[1:])
    if not 1 <= count <= 125:
        return bytes([function | 0x80, ILLEGAL_VALUE])
    if 2 * (start + count) > len(registers):
        return bytes([function | 0x80, ILLEGAL_ADDRESS])
    if moment.invalid:
        return bytes([function | 0x80, DEVICE_FAILURE])
    return bytes([function, 2 * count]) + registers[2 * start : 2 * (start + count)]
