"""Owns polling a Modbus TCP device, one request after another. Functions 1 to 4 only: it cannot write."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator

from recloser.connectors.live.endpoint import Endpoint
from recloser.connectors.live.modbus.blocks import Answer, Blocks
from recloser.connectors.live.modbus.plan import ModbusRead, plan_reads, value_of
from recloser.connectors.live.supervision import Deliver
from recloser.connectors.modbus import Pdu, read_pdu
from recloser.connectors.points import PointReading, PointRegistry, measured, nanoseconds
from recloser.core import Clock, Unavailable


class ModbusClient:
    """Polls the points of a registry.

    Args:
        source: the device, as the project names it.
        endpoint: where it listens.
        registry: its points.
        clock: tells the time of arrival.
        period_s: between the starts of two rounds, seconds.
        answer_s: within which the device must answer, seconds.
    """

    def __init__(
        self,
        source: str,
        endpoint: Endpoint,
        registry: PointRegistry,
        clock: Clock,
        *,
        period_s: float = 1.0,
        answer_s: float = 3.0,
    ) -> None:
        self._source, self._endpoint, self._clock = source, endpoint, clock
        self._reads = plan_reads(registry)
        self._period_s, self._answer_s = period_s, answer_s
        self._transaction = 0

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        """Poll until the connection is lost.

        Raises:
            Unavailable: it cannot be made, is lost, or the device does not answer as it must.
        """
        reader, writer = await self._endpoint.open(self._answer_s, self._source)

        async def ask(read: ModbusRead) -> Answer:
            pdu = await self._ask(reader, writer, read)
            return Answer(read, pdu.exception, list(self._readings(read, pdu)))

        loop, told, blocks = asyncio.get_running_loop(), False, Blocks(self._reads, ask)
        try:
            while True:
                started = loop.time()
                for read in blocks.round():
                    answers = await blocks.answers(read)
                    if not told:
                        up()
                        told = True
                    deliver([reading for answer in answers for reading in answer.readings])
                await asyncio.sleep(max(0.0, self._period_s - (loop.time() - started)))
        except OSError as error:
            raise Unavailable("the connection broke", got=str(error), where=self._source) from error
        finally:
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read: ModbusRead) -> Pdu:
        self._transaction = (self._transaction + 1) % 65_536
        writer.write(read.request(self._transaction))
        try:
            async with asyncio.timeout(self._answer_s):
                return await self._answer(reader, writer, read)
        except TimeoutError as error:
            raise Unavailable("the device does not answer", expected=f"within {self._answer_s} s") from error
        except asyncio.IncompleteReadError as error:
            raise Unavailable("the device closed the connection", where=self._source) from error

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read: ModbusRead) -> Pdu:
        await writer.drain()
        transaction, protocol, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
        if protocol or not 2 <= length <= 254 or (transaction, unit) != (self._transaction, read.unit):
            raise Unavailable("an answer to something else", got=f"transaction {transaction}, unit {unit}")
        pdu = read_pdu(await reader.readexactly(length - 1), request=False)
        values = pdu.bits if read.function <= 2 else pdu.registers
        if pdu.error is not None or pdu.function != read.function:
            raise Unavailable("an answer that cannot be read", got=pdu.error or f"function {pdu.function}")
        if pdu.exception is None and (values is None or len(values) < read.count):
            raise Unavailable("an answer that is too short", got=len(values or ()), expected=f"{read.count} values")
        return pdu

    def _readings(self, read: ModbusRead, answer: Pdu) -> Iterator[PointReading]:
        """Yield a reading of each point; an exception of the device is a reading without a number."""
        now_ns = nanoseconds(self._clock.now())
        values = answer.bits if read.function <= 2 else answer.registers
        for place in read.places:
            absent = answer.exception is not None or values is None
            found = measured(place.point, None if absent else value_of(place, read.start, values or ()))
            yield PointReading(
                source=self._source,
                point=place.point.name,
                source_ns=None,
                receive_ns=now_ns,
                number=found.number,
                unit=place.point.unit,
                quality=found.quality,
                raw_flags=answer.exception or 0,
                origin="modbus:poll" if answer.exception is None else f"modbus:exception {answer.exception}",
                raw=found.raw,
            )
