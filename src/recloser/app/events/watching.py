"""Owns the process that looks at a project's live phasors: its own connection, a gateway that follows the ledger.

Stores no reading: the link does that beside it, and neither waits for the other.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from recloser.app.events.detector import DRILL_AFTER_S, Detector
from recloser.app.events.report import DetectorReport, write_detector
from recloser.app.events.ring import PhasorRing
from recloser.app.events.windows import WindowStore
from recloser.app.links.linking import until_told
from recloser.app.links.opening import device_named, stream_of
from recloser.app.logs.told import told
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.platform import Platform
from recloser.app.processes.announcing import events_so_far
from recloser.app.processes.following import RouteFollower
from recloser.app.processes.hosts.identity import Identity
from recloser.connectors.c37118.batches.phasors import PhasorReader
from recloser.connectors.live import Link, LinkEvent, LinkState
from recloser.connectors.live.c37118.client import Read, StreamReader
from recloser.connectors.live.supervision import Deliver
from recloser.connectors.points import PointRegistry, Readings, nanoseconds
from recloser.core import InvalidInput, Unavailable

WORKER = "detector"
BEAT_S = 1.0
EXTRA_S = 30.0
TIDY_S = 3600.0


class PhasorWatch:
    """A LiveClient that looks at windows instead of handing readings on.

    Args:
        reader: of the stream.
        detector: looks at windows.
        settings: length and step of windows in seconds, and the rated voltage in V.
        now: the present (aware UTC).
    """

    def __init__(
        self,
        reader: StreamReader,
        detector: Detector,
        settings: tuple[float, float, float | None],
        now: Callable[[], datetime],
    ) -> None:
        self._reader, self._detector, self._now = reader, detector, now
        self._window_s, self._step_s, self._rated_v = settings
        self._phasors: PhasorReader | None = None
        self._ring: PhasorRing | None = None
        self._next: int | None = None
        self.missed = 0

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        """Look until the connection is lost; raises as `StreamReader.run`."""
        told = False

        def tell(read: Read) -> None:
            nonlocal told
            if not told:
                up()
            told = True
            self.take(read)
            deliver(list(read.lost))

        await self._reader.run(tell)

    def take(self, read: Read) -> None:
        """Take the frames of a batch, and look at every window that they complete.

        Raises:
            Unavailable: the stream's configuration is one that cannot be looked at.
        """
        if self._phasors is None or self._phasors.layout is not read.batch.layout:
            try:
                self._phasors = PhasorReader(read.batch.layout)
            except InvalidInput as error:
                raise Unavailable("the stream cannot be looked at", got=error.explain()) from error
            pmus, rate = len(self._phasors.names), self._phasors.rate
            kept_s = self._window_s + EXTRA_S
            self._ring = PhasorRing(pmus, rate, self._phasors.nominal_hz, kept_s, self._rated_v)
            self._next = None
        assert self._ring is not None
        self._ring.put(self._phasors.read(read.batch))
        self._look(self._ring)

    def _look(self, ring: PhasorRing) -> None:
        step, window = max(1, round(self._step_s * ring.rate)), round(self._window_s * ring.rate)
        end, first = ring.end, ring.first
        if end is None or first is None:
            return
        if self._next is None or self._next - window < first - window or self._next > end + window:
            self._next = -(-(first + window) // step) * step
        while self._next <= end:
            block = ring.block(self._next, window)
            if block is None:
                self.missed += 1
            else:
                self._detector.window(block)
            self._next += step
        longer = window + round(DRILL_AFTER_S[-1] * ring.rate)
        now = self._now()
        if end - first >= longer and self._detector.drill_due(now):
            block = ring.block(end, longer)
            if block is not None:
                self._detector.practise(block, now)


class GapsOnly:
    """A LinkOutput that keeps nothing: readings are the link's; what is missing is counted."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.gaps = 0

    def accept(self, readings: Readings) -> int:
        """Take readings that nobody asked for."""
        return len(readings)

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        """Count what is missing."""
        del source, start_ns, end_ns, reason
        self.gaps += 1
        return self.gaps

    def tell_link(self, event: LinkEvent) -> None:
        """Tell a change of the connection."""
        level = "warning" if event.state is LinkState.DOWN else "info"
        self._say(told(f"detector {event.source}: {event.state.value}: {event.reason}", level, device=event.source))


def watch_phasors(folder: Path, port: int, say: Callable[[str], None]) -> int:
    """Look at the live phasors of a project until told to stop; `port` is that of the gateway of the same `up`.

    Raises:
        InvalidInput: the project names no device for its events.
        Unavailable: the ledger cannot be used.
    """
    with Platform.open(folder, apart=True) as platform:
        events = platform.project.events
        if events is None or events.device is None:
            raise InvalidInput("no device to look at", where="events.device", next_step="Name a device of [links].")
        device, clock = device_named(platform.project, events.device), platform.clock
        loop, windows = ControlLoop(platform, LoopOptions()), WindowStore(platform.layout.windows)
        buffer, seen = events_so_far(platform.ledger)
        follower = RouteFollower(platform, loop, buffer, seen, Identity.here(WORKER, port))
        follower.begin()
        detector = Detector(platform, loop.router.gateway, windows, say)
        detector.begin(clock.now())
        reader = StreamReader(
            device.name,
            stream_of(folder, device),
            PointRegistry("c37118", ()),
            clock,
            answer_s=device.answer_seconds,
        )
        rated_v = None if events.rated_kv is None else 1000.0 * events.rated_kv
        watch = PhasorWatch(reader, detector, (events.window_seconds, events.step_seconds, rated_v), clock.now)
        output = GapsOnly(say)
        link = Link(device.name, watch, output, clock)

        async def beat() -> None:
            tidied = -TIDY_S
            while True:
                report = report_of(link, watch, detector, output, nanoseconds(clock.now()))
                with suppress(OSError):
                    write_detector(platform.layout.windows.parent, report)
                if time.monotonic() - tidied > TIDY_S:
                    with suppress(Unavailable):
                        windows.tidy(clock.now().date(), events.keep_days)
                    tidied = time.monotonic()
                await asyncio.sleep(BEAT_S)

        follower.start()
        try:
            asyncio.run(until_told(link.run(), beat()))
        finally:
            follower.stop()
            detector.flush()
    return 0


def report_of(link: Link, watch: PhasorWatch, detector: Detector, output: GapsOnly, now_ns: int) -> DetectorReport:
    """Return the heartbeat of a detector's process."""
    counts = detector.counts
    return DetectorReport(
        pid=os.getpid(),
        beat_ns=now_ns,
        state=link.status.state.value,
        reason=link.status.reason,
        windows=counts.windows,
        unanswered=counts.unanswered,
        missed=watch.missed,
        gaps=output.gaps,
        events=counts.events,
        drills=counts.drills,
        last_ns=None if counts.last_at is None else nanoseconds(counts.last_at),
        trouble=counts.trouble,
    )
