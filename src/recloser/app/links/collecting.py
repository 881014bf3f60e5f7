"""Owns the process that fills the store: spools into the table of readings, that into series. Talks to no device."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from recloser.app.clock import SystemClock
from recloser.app.links.linking import spool_policy
from recloser.app.links.opening import registry_of, rules_of
from recloser.app.links.series import SeriesKeeper, series_of
from recloser.app.links.sink import RECALL_S, TableSink
from recloser.app.links.state import CollectorReport, LinkFolders, write_report
from recloser.app.project.layout import Layout
from recloser.app.project.settings import Project, load_project
from recloser.app.project.storage.opening import places_of
from recloser.connectors.cleaning import Cleaner, ColumnCleaner
from recloser.connectors.points import PointRegistry, nanoseconds
from recloser.connectors.spool import Forwarder, SealedSpool, Spool
from recloser.core import Clock, RecloserError
from recloser.journal import take_lock
from recloser.store import ReadingTable, Store

ROUND_S = 1.0
STREAMING_RECALL_S = 60.0  # a PMU never says again what was not taken


class Collector:
    """Moves what links have spooled into the store.

    Args:
        root: the project's folder.
        project: its settings.
        clock: the present.

    Raises:
        InvalidInput: a registry is wrong, or its points make no series.
        Unavailable: a registry or the store cannot be read.
    """

    def __init__(self, root: Path, project: Project, clock: Clock) -> None:
        self._project, self._clock, layout = project, clock, Layout(root)
        self.folders = LinkFolders(layout.links)
        self.folders.root.mkdir(parents=True, exist_ok=True)
        self._devices = {device.name: device for device in project.links.devices}
        self._registries = {name: registry_of(root, device) for name, device in self._devices.items()}
        areas = {*project.project.areas, *project.monitoring.groups}
        series = series_of(self._registries, project.links, areas)
        places = places_of(project.store, layout)
        self._table = ReadingTable(places.readings)
        self._step = project.resolution
        store = Store.open(places.series, self._step)
        self._keeper = SeriesKeeper(self._table, store, series, project.links, self.folders.cursor)
        self._sinks: dict[str, TableSink] = {}
        self._hour: int | None = None
        self._orphans_sealed = False

    def round(self) -> list[str]:
        """Move what is sealed, make the series that are due; return what could not be done now, as sentences."""
        now, trouble = self._clock.now(), list[str]()
        streams: dict[str, int] = {}
        if not self._orphans_sealed:
            self._seal_orphans()
            self._orphans_sealed = True
        for device, folder in self.folders.spools():
            sink = self._sink(device)
            try:
                spool = SealedSpool(folder, self._clock)
                Forwarder(spool, sink).step()
                streams[f"spool:{spool.identity}"] = sink.committed(f"spool:{spool.identity}")
            except RecloserError as error:
                trouble.append(f"{device}: {error.explain()}")
        try:
            self._make_series(now, streams)
            if self._hour not in (None, now.hour):
                self._table.tidy()
            self._hour = now.hour
        except RecloserError as error:
            trouble.append(error.explain())
        return trouble

    def report(self, trouble: list[str]) -> CollectorReport:
        """Return the heartbeat."""
        by_kind = {
            kind: {device: sink.counts[kind] for device, sink in self._sinks.items()}
            for kind in ("readings", "repeated", "flagged", "gaps")
        }
        return CollectorReport(
            pid=os.getpid(),
            beat_ns=nanoseconds(self._clock.now()),
            **by_kind,
            samples=self._keeper.samples,
            closed_ns=self._keeper.closed_ns,
            trouble=" ".join(trouble),
        )

    def _make_series(self, now: datetime, streams: dict[str, int]) -> None:
        earliest = [sink.earliest_ns for sink in self._sinks.values() if sink.earliest_ns is not None]
        self._keeper.tick(now, self._step, min(earliest, default=None), streams)
        for sink in self._sinks.values():
            sink.earliest_ns = None

    def _sink(self, name: str) -> TableSink:
        if name not in self._sinks:
            device = self._devices.get(name)
            registry = self._registries.get(name, PointRegistry("", ()))
            points = {point.name: point for point in registry.points}
            rules = None if device is None else rules_of(device)
            streaming = device is not None and device.protocol == "c37118"
            kind, recall_s = (ColumnCleaner, STREAMING_RECALL_S) if streaming else (Cleaner, RECALL_S)
            self._sinks[name] = TableSink(self._table, name, lambda: kind(points, rules), recall_s)
        return self._sinks[name]

    def _seal_orphans(self) -> None:
        """Close the spools of devices that the project names no more: what they hold is moved like the rest."""
        for device, folder in self.folders.spools():
            if device not in self._devices:
                with suppress(RecloserError):  # somebody still writes there
                    Spool(folder, spool_policy(self._project.links), self._clock, time.monotonic).close()


def collect(folder: Path, say: Callable[[str], None]) -> int:
    """Fill the store until told to stop; what is unavailable now is tried again every second.

    Raises:
        InvalidInput: the project or a registry is wrong.
        Unavailable: another collector is at work here.
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    collector = Collector(folder, load_project(folder), SystemClock())
    lock = take_lock(collector.folders.devices)
    told: list[str] = []
    try:
        while True:
            last = ended.is_set()
            trouble = collector.round()
            for sentence in trouble:
                if sentence not in told:
                    say(f"collector: {sentence}")
            told = trouble
            with suppress(OSError):
                write_report(collector.folders.collector, collector.report(trouble))
            if last:
                return 0
            ended.wait(ROUND_S)
    finally:
        os.close(lock)
