"""Owns the note that one request leaves in the log when the evidence about it is whole. Writes nothing itself."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import datetime

from recloser.serving.answer import Scoring
from recloser.serving.batch import Batch
from recloser.serving.log.record import Decided
from recloser.serving.log.standby import AnswerLog


class RequestNote:
    """Told once, by any thread, what came of a request; hands it to the log.

    Args:
        log: where to.
        asked: (request id, model asked for, route epoch), see `Decided`.
        batch: the request's rows.
        quantiles: levels of the answers.
        made_at: when it came (aware UTC).
    """

    def __init__(
        self,
        log: AnswerLog,
        asked: tuple[str, str, int],
        batch: Batch,
        quantiles: tuple[float, ...],
        made_at: datetime,
    ) -> None:
        self._log, self._asked, self._batch, self._quantiles, self._made_at = log, asked, batch, quantiles, made_at
        self._begun = time.monotonic()
        self._told: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        if log.holds_answers:
            self._told = (asyncio.get_running_loop(), asyncio.Event())

    def __call__(self, scoring: Scoring, decided_at: float) -> None:
        """Hand the whole evidence over; `decided_at` are monotonic seconds."""
        took = max(0.0, decided_at - self._begun)
        self._log.append(Decided(*self._asked, self._made_at, took, self._quantiles, self._batch, scoring))
        if self._told is not None:
            loop, event = self._told
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(event.set)

    async def settled(self, patience_s: float = 1.0) -> None:
        """Wait until the note is durable, where the log wants that; never longer than it has patience."""
        if self._told is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._told[1].wait()
                await self._log.settled()
