"""Owns reading many streams at once and handing on what they say about one instant together. Alignment is pure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from recloser.connectors.c37118.batches.concentrator import Concentrator, Waits
from recloser.connectors.c37118.batches.points import Chosen, Selection, block_of, selection_of
from recloser.connectors.live.c37118.carrier import Stream
from recloser.connectors.live.c37118.client import Read, StreamReader, counts_of, offline
from recloser.connectors.live.latest import LatestReadings
from recloser.connectors.live.link import Backoff
from recloser.connectors.live.supervision import Deliver
from recloser.connectors.points import (
    BlockHead,
    PointQuality,
    PointReading,
    PointRegistry,
    ReadingBlock,
    merged,
    nanoseconds,
)
from recloser.core import Clock, Unavailable

LOOK_S = 0.01
APART = "c37118:not aligned"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is taken of what a stream offers, and what it is called where a frame is not part of its instant."""

    offered: list[Chosen]
    chosen: list[Chosen]
    selection: Selection
    apart: BlockHead


class ConcentratingClient:
    """Reads the points of a registry from several streams, in the order of their instants.

    What the streams say about one instant comes as one block, which arrived when its last frame did. A frame that comes
    too late for its instant is handed on all the same, its origin says so; the others wait for it no
    longer than `waits` says. The link is up while one stream is; the points of one that is away are stale.

    Args:
        source: the device, as the project names it.
        streams: where they are; the rate of alignment is that of the first configuration that comes.
        registry: the points of all; an address that several streams have is the first one's.
        clock: tells the time of arrival; it should be bound to UTC unless `waits` is relative.
        waits: how long frames wait for each other.
        answer_s: within which a device must answer, and send its next frame.
    """

    def __init__(
        self,
        source: str,
        streams: Sequence[Stream],
        registry: PointRegistry,
        clock: Clock,
        waits: Waits,
        *,
        answer_s: float = 10.0,
    ) -> None:
        self._source, self._registry, self._clock, self._waits = source, registry, clock, waits
        self._readers = [StreamReader(source, one, registry, clock, answer_s=answer_s) for one in streams]
        self._backoff = Backoff(0.5, 30.0)
        self._begin()

    def _begin(self) -> None:
        self._concentrator: Concentrator[ReadingBlock] | None = None
        self._latest = [LatestReadings() for _ in self._readers]
        self._owner: dict[str, int] = {}
        self._wanted: list[_Wanted | None] = [None for _ in self._readers]
        self._absent: list[set[str] | None] = [None for _ in self._readers]
        self._out: list[PointReading | ReadingBlock] = []

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        """Read until no stream is there.

        Raises:
            Unavailable: none can be reached, or the last one is lost.
        """
        self._begin()
        reasons: list[str | None] = ["" for _ in self._readers]
        tasks = [asyncio.ensure_future(self._keep(place, reasons)) for place in range(len(self._readers))]
        told = False
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                self._release()
                if self._out:
                    up() if not told else None
                    told = True
                    out, self._out = self._out, []
                    deliver(out)
                for task in tasks:
                    if task.done():
                        task.result()  # a fault of ours ends the link
                if all(reasons):
                    raise Unavailable("no stream is there", got=reasons[0], where=self._source)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def counts(self) -> dict[str, int]:
        """Return what happened on all streams, and what became of their frames, since the connection."""
        total: dict[str, int] = {}
        for reader in self._readers:
            for name, number in counts_of(reader).items():
                total[name] = total.get(name, 0) + number
        if self._concentrator is not None:
            tallies = self._concentrator.tallies()
            total |= {
                "instants": self._concentrator.instants,
                "instants_complete": self._concentrator.complete,
                "aligned_missing": sum(tally.missing for tally in tallies),
                "aligned_late": sum(tally.late for tally in tallies),
                "aligned_ahead": sum(tally.ahead for tally in tallies),
                "aligned_repeated": sum(tally.repeated for tally in tallies),
            }
        return total

    async def _keep(self, place: int, reasons: list[str | None]) -> None:
        """Keep one stream; `reasons` tells why it is away, None while it is there."""
        failures = 0

        def tell(read: Read) -> None:
            nonlocal failures
            failures, reasons[place] = 0, None
            self._take(place, read)

        while True:
            try:
                await self._readers[place].run(tell)
            except Unavailable as error:
                reasons[place] = error.explain()
            self._lost(place)
            failures += 1
            await asyncio.sleep(self._backoff.delay_s(failures))

    def _take(self, place: int, read: Read) -> None:
        rate = read.batch.layout.configuration.rate
        if self._concentrator is None:
            self._concentrator = Concentrator(len(self._readers), max(rate, 1), self._waits)
        if read.absent or self._absent[place] is None:
            self._tell_absent(place, {point.name for point in read.absent}, read.receive_ns)
        wanted = self._wanted_of(place, read)
        for lost in read.lost:
            self._out += [
                _missing(self._source, item.point.name, item.point.unit, lost.start_ns) for item in wanted.chosen
            ]
        block = block_of(read.batch, wanted.selection, read.receive_ns)
        self._latest[place].note(block)
        for row, t_ns in enumerate(read.batch.t_ns.tolist()):
            frame = block.rows(row, row + 1)
            if self._concentrator.add(place, t_ns, frame, read.receive_ns) in {"late", "ahead"}:
                self._out.append(replace(frame, head=wanted.apart))

    def _wanted_of(self, place: int, read: Read) -> _Wanted:
        """Return what is taken of a stream; an address that several have is the first one's."""
        known = self._wanted[place]
        if known is None or known.offered is not read.chosen:
            chosen = [item for item in read.chosen if self._owner.setdefault(item.point.name, place) == place]
            selection = selection_of(chosen, self._source)
            known = _Wanted(read.chosen, chosen, selection, replace(selection.head, origin=APART))
            self._wanted[place] = known
        return known

    def _release(self) -> None:
        if self._concentrator is None:
            return
        for aligned in self._concentrator.due(nanoseconds(self._clock.now())):
            self._out += merged([frame for frame in aligned.items if frame is not None])

    def _lost(self, place: int) -> None:
        if self._concentrator is not None:
            self._concentrator.away(place)
        now_ns = nanoseconds(self._clock.now())
        self._release()
        self._out += self._latest[place].gone_stale(now_ns, "c37118:stream down")
        self._latest[place].forget()

    def _tell_absent(self, place: int, names: set[str], now_ns: int) -> None:
        """Tell the points that none of the streams has, once all are known."""
        self._absent[place] = names
        known = [one for one in self._absent if one is not None]
        if len(known) == len(self._readers):
            nowhere = set.intersection(*known)
            self._out += [offline(self._source, p, now_ns) for p in self._registry.points if p.name in nowhere]


def _missing(source: str, name: str, unit: str, at_ns: int) -> PointReading:
    return PointReading(source, name, at_ns, at_ns, None, unit, PointQuality.STALE, 0, "c37118:missing")
