"""Owns which registers a device is asked for together while one connection lasts: smaller blocks where it refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from recloser.connectors.live.modbus.plan import ModbusRead, split_read
from recloser.connectors.points import PointReading

UNREADABLE = {2, 3, 4}
"""Exceptions that one register may cause for all that are asked for with it: address, value, failure of the device."""
ROUNDS = 600  # after which the blocks that were planned are tried again


@dataclass(frozen=True, slots=True)
class Answer:
    """What a device answered to a request: the code of its exception, or None, and the readings."""

    read: ModbusRead
    exception: int | None
    readings: Sequence[PointReading]


class Blocks:
    """Asks for blocks, splits those that the device will not answer, and remembers what worked.

    Args:
        planned: the requests that read all points.
        ask: asks for one.
    """

    def __init__(self, planned: Sequence[ModbusRead], ask: Callable[[ModbusRead], Awaitable[Answer]]) -> None:
        self._planned, self._ask = tuple(planned), ask
        self._learnt: list[ModbusRead] = []
        self._hopeless: set[ModbusRead] = set()
        self._rounds = 0

    def round(self) -> Sequence[ModbusRead]:
        """Return the requests of the next round; each goes to `answers` once."""
        if self._rounds % ROUNDS == 0:
            self._hopeless.clear()
        found = self._learnt if self._rounds % ROUNDS else self._planned
        self._rounds += 1
        self._learnt = []
        return found

    async def answers(self, read: ModbusRead) -> list[Answer]:
        """Return the answers that tell all points of a request: one, or those of smaller ones that can be answered."""
        found = await self._answers(read)
        self._learnt += [answer.read for answer in found]
        return found

    async def _answers(self, read: ModbusRead) -> list[Answer]:
        whole = await self._ask(read)
        if whole.exception not in UNREADABLE or len(read.places) < 2 or read in self._hopeless:
            return [whole]
        found = [answer for part in split_read(read) for answer in await self._answers(part)]
        if any(answer.exception is None for answer in found):
            return found
        self._hopeless.add(read)  # no part of it can be read: one request a round finds out that it still is so
        return [whole]
