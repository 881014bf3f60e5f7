"""Owns the process of one link: a client, its spool and its heartbeat. Writes no store and sends no control."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from recloser.app.clock import SystemClock
from recloser.app.links.encryption import first_to_end
from recloser.app.links.opening import client_of, device_named
from recloser.app.links.state import LinkFolders, LinkReport, read_link, write_report
from recloser.app.logs.told import told
from recloser.app.project.layout import Layout
from recloser.app.project.settings import load_project
from recloser.app.project.tables.links import DeviceSection, LinksSection
from recloser.app.security.certificates import Certificate
from recloser.connectors.live import Backoff, Link, LinkEvent, LinkState
from recloser.connectors.points import Readings, nanoseconds
from recloser.connectors.spool import Spool, SpoolPolicy
from recloser.core import Clock, RecloserError, Unavailable

BEAT_S = 1.0
CERTIFICATES_S = 60.0
MB = 1 << 20
SEGMENT_BYTES = 4 * MB


def spool_policy(links: LinksSection) -> SpoolPolicy:
    """Return the bounds of a device's spool."""
    most = int(links.spool_mb * MB)
    return SpoolPolicy(
        most_bytes=most,
        segment_bytes=min(SEGMENT_BYTES, most // 4),
        when_full=links.when_full,
        segment_s=links.store_seconds,
    )


class SpoolOutput:
    """A link's output: everything into the spool, changes of the link too.

    Args:
        spool: of this device.
        say: told of every change.
    """

    def __init__(self, spool: Spool, say: Callable[[str], None]) -> None:
        self.spool, self._say = spool, say
        self.gaps = self.refused = 0

    def accept(self, readings: Readings) -> int:
        """Make readings durable."""
        try:
            return self.spool.accept(readings)
        except Unavailable:
            self.refused += 1
            raise

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        """Record that readings are missing between two times."""
        sequence = self.spool.tell_gap(source, start_ns, end_ns, reason)
        self.gaps += 1
        return sequence

    def tell_link(self, event: LinkEvent) -> None:
        """Record a change of the link; where the disk takes nothing the log and the heartbeat tell it alone."""
        level = "warning" if event.state is LinkState.DOWN else "info"
        self._say(told(f"link {event.source}: {event.state.value}: {event.reason}", level, device=event.source))
        with suppress(Unavailable):
            self.spool.tell_link(event.source, event.state.value, event.at_ns, event.reason)


def run_link(folder: Path, name: str, say: Callable[[str], None]) -> int:
    """Keep the link to a device until told to stop.

    Args:
        folder: project.
        name: device.
        say: told of changes.

    Raises:
        InvalidInput: the device or its points are wrong.
        Unavailable: its spool is in use or cannot be written, or an extra is missing.
    """
    project, clock = load_project(folder), SystemClock()
    device, links = device_named(project, name), project.links
    client = client_of(folder, device, clock)
    folders = LinkFolders(Layout(folder).links)
    spool = Spool(folders.spool(name), spool_policy(links), clock, time.monotonic)
    output = SpoolOutput(spool, say)
    before = read_link(folders, name)
    backoff = Backoff(links.first_wait_seconds, links.longest_wait_seconds)
    link = Link(name, client, output, clock, backoff)
    if before is not None:
        link.was_lost(before.last_ns or before.beat_ns)

    def report() -> LinkReport:
        return report_of(link, output, device.protocol, clock, certificate.found)

    certificate = FirstCertificate(folder, device)

    async def beat() -> None:
        while True:
            with suppress(Unavailable):  # the next record or the next beat tries again
                spool.seal_due()
            certificate.look(time.monotonic())
            with suppress(OSError):
                write_report(folders.state(name), report())
            await asyncio.sleep(BEAT_S)

    try:
        asyncio.run(until_told(link.run(), beat()))
        with suppress(OSError):
            write_report(folders.state(name), report())
    finally:
        spool.close()
    return 0


class FirstCertificate:
    """Knows which certificate of a device ends first, looked up now and then: files are renewed under a running link.

    Args:
        root: the project's folder.
        device: whose.
    """

    def __init__(self, root: Path, device: DeviceSection) -> None:
        self._root, self._device = root, device
        self._looked_s = -CERTIFICATES_S
        self.found: Certificate | None = None

    def look(self, now_s: float) -> None:
        """Look the files up, if that was long ago; one that cannot be read now is what it was."""
        if now_s - self._looked_s >= CERTIFICATES_S:
            self._looked_s = now_s
            with suppress(RecloserError):
                self.found = first_to_end(self._root, self._device)


def report_of(
    link: Link, output: SpoolOutput, protocol: str, clock: Clock, certificate: Certificate | None = None
) -> LinkReport:
    """Return the heartbeat of a link."""
    status, kept = link.status, output.spool.status()
    return LinkReport(
        device=link.source,
        protocol=protocol,
        pid=os.getpid(),
        state=status.state.value,
        since_ns=status.since_ns,
        reason=status.reason,
        connects=status.connects,
        failures=status.failures,
        gaps=output.gaps,
        readings=status.readings,
        last_ns=status.last_ns,
        beat_ns=nanoseconds(clock.now()),
        spool_bytes=kept.bytes,
        spool_dropped=kept.dropped,
        spool_refused=output.refused,
        counts=link.counts(),
        certificate_ns=None if certificate is None else nanoseconds(certificate.until),
        certificate="" if certificate is None else certificate.subject,
    )


async def until_told(*works: Coroutine[Any, Any, None]) -> None:
    """Run works until SIGTERM or SIGINT, or until one of them fails, which is raised."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    tasks = [asyncio.ensure_future(work) for work in works]
    stop = asyncio.ensure_future(ended.wait())
    await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
    for task in (*tasks, stop):
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
