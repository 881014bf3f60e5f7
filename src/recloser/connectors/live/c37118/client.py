"""Owns reading one stream of a PMU or PDC, one connection at a time. The rules are the session's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recloser.connectors.c37118 import DataBatch, Layout
from recloser.connectors.c37118.batches.points import Chosen, Selection, block_of, choose, selection_of
from recloser.connectors.live.c37118.carrier import Carrier, Stream, Transport, open_carrier
from recloser.connectors.live.c37118.session import C37118Session, SessionRules
from recloser.connectors.live.supervision import Deliver
from recloser.connectors.points import Missed, Point, PointQuality, PointReading, PointRegistry, nanoseconds
from recloser.connectors.stamps import StampWatch
from recloser.core import Clock, Unavailable

REPEAT_S = 2.0  # a command that went in a datagram


@dataclass(frozen=True, slots=True)
class Read:
    """What one batch gives.

    Attributes:
        batch: the frames.
        chosen: what the registry wants of them.
        absent: points that a new configuration has not; empty while it stays.
        lost: runs of frames that are missing before or among them.
        receive_ns: time of arrival, ns since 1970 UTC.
    """

    batch: DataBatch
    chosen: list[Chosen]
    absent: Sequence[Point]
    lost: Sequence[Missed]
    receive_ns: int


class StreamReader:
    """Reads one stream and tells each batch.

    Args:
        source: the device, as the project names it.
        stream: where and how.
        registry: the points that are wanted.
        clock: tells the time of arrival.
        answer_s: within which the device must answer, and send its next frame.
    """

    def __init__(
        self, source: str, stream: Stream, registry: PointRegistry, clock: Clock, *, answer_s: float = 10.0
    ) -> None:
        self._source, self._stream, self._registry, self._clock = source, stream, registry, clock
        datagrams = stream.transport in {Transport.UDP, Transport.MIXED}
        listens = stream.transport is Transport.LISTEN
        self._rules = SessionRules(answer_s, stream.kind, REPEAT_S if datagrams else None, listens)
        self.missing = self.late = self.damaged = self.configurations = 0

    async def run(self, tell: Callable[[Read], None]) -> None:
        """Read until the connection is lost.

        Raises:
            Unavailable: it cannot be made, or is lost.
        """
        carrier = await open_carrier(self._stream, self._rules.answer_s, self._source)
        session = C37118Session(self._stream.idcode, self._rules, time.monotonic())
        try:
            await self._talk(session, carrier, tell)
        except OSError as error:
            raise Unavailable("the connection broke", got=str(error), where=self._source) from error
        finally:
            carrier.close(session.goodbye())

    async def _talk(self, session: C37118Session, carrier: Carrier, tell: Callable[[Read], None]) -> None:
        known: Layout | None = None
        chosen: list[Chosen] = []
        stamps, before = StampWatch(), (self.missing, self.late, self.damaged, self.configurations)
        while True:
            await carrier.send(session.outgoing(time.monotonic()))
            arrived = await carrier.receive()
            now_s, now_ns = time.monotonic(), nanoseconds(self._clock.now())
            batches = session.feed(arrived.stream, now_s) if arrived.stream else []
            batches += session.feed_datagrams(arrived.datagrams, now_s) if arrived.datagrams else []
            for batch in batches:
                absent: list[Point] = []
                if batch.layout is not known:
                    known = batch.layout
                    chosen, absent = choose(known, self._registry.points)
                lost = stamps.look(batch.t_ns, known.configuration.rate)
                tell(Read(batch, chosen, absent, lost, now_ns))
            self.missing, self.late = before[0] + stamps.missing, before[1] + stamps.late
            self.damaged, self.configurations = before[2] + session.damaged, before[3] + session.configurations
            if arrived.ended:
                raise Unavailable("the device closed the connection", where=self._source)


class C37118Client:
    """Reads the points of a registry from one stream.

    Args:
        source: the device, as the project names it.
        stream: where and how.
        registry: its points; a point that the configuration has not is told once as OFFLINE.
        clock: tells the time of arrival.
        answer_s: within which the device must answer, and send its next frame.
    """

    def __init__(
        self, source: str, stream: Stream, registry: PointRegistry, clock: Clock, *, answer_s: float = 10.0
    ) -> None:
        self._source = source
        self._reader = StreamReader(source, stream, registry, clock, answer_s=answer_s)

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        """Read until the connection is lost; raises as `StreamReader.run`."""
        told, known = False, list[Chosen]()
        selection: Selection | None = None

        def tell(read: Read) -> None:
            nonlocal told, known, selection
            up() if not told else None
            told = True
            if selection is None or read.chosen is not known:
                known, selection = read.chosen, selection_of(read.chosen, self._source)
            deliver([offline(self._source, point, read.receive_ns) for point in read.absent])
            deliver([*read.lost, block_of(read.batch, selection, read.receive_ns)])

        await self._reader.run(tell)

    def counts(self) -> dict[str, int]:
        """Return what happened on the stream since the start."""
        return counts_of(self._reader)


def counts_of(reader: StreamReader) -> dict[str, int]:
    """Return frames that are missing, late or damaged, and configurations."""
    return {
        "frames_missing": reader.missing,
        "frames_late": reader.late,
        "frames_damaged": reader.damaged,
        "configurations": reader.configurations,
    }


def offline(source: str, point: Point, now_ns: int) -> PointReading:
    """Return the reading of a point that no configuration has."""
    origin = "c37118:not in the configuration"
    return PointReading(source, point.name, None, now_ns, None, point.unit, PointQuality.OFFLINE, 0, origin)
