"""Owns what link and collector processes tell of themselves: a file each, rewritten every second. Judges nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

STATE = "state.json"
COLLECTOR = "collector.json"
SILENT_S = 10.0  # a process that has not written for so long is not there


class LinkReport(msgspec.Struct, frozen=True):
    """The heartbeat of a link's process.

    Attributes:
        device, protocol, pid: who.
        state, since_ns, reason: of the link.
        connects, failures, gaps, readings: counted since the process began.
        last_ns: of the latest reading; beat_ns: of this report.
        spool_bytes, spool_dropped, spool_refused: what waits, what was dropped, and how often nothing was taken.
        certificate_ns, certificate: when the first of the certificates that the connection rests on ends, and whose it
            is; None without TLS.
        counts: what the protocol counts: frames that are missing or late, messages out of sequence.
    """

    device: str
    protocol: str
    pid: int
    state: str
    since_ns: int
    reason: str
    connects: int
    failures: int
    gaps: int
    readings: int
    last_ns: int | None
    beat_ns: int
    spool_bytes: int
    spool_dropped: int
    spool_refused: int
    counts: dict[str, int] = {}
    certificate_ns: int | None = None
    certificate: str = ""


class CollectorReport(msgspec.Struct, frozen=True):
    """The heartbeat of the process that fills the store: what it moved since it began, by device, and its trouble.

    Attributes:
        readings, repeated, flagged, gaps: device -> count.
        samples: of the series, accepted by the store.
        closed_ns: until when the series are made.
        trouble: why the latest round could not do its work, or ''.
    """

    pid: int
    beat_ns: int
    readings: dict[str, int] = {}
    repeated: dict[str, int] = {}
    flagged: dict[str, int] = {}
    gaps: dict[str, int] = {}
    samples: int = 0
    closed_ns: int | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class LinkFolders:
    """Where a project's links keep what they have: `state/links`."""

    root: Path

    @property
    def devices(self) -> Path:
        """Return the folder of all devices."""
        return self.root / "devices"

    def spool(self, device: str) -> Path:
        """Return the folder of a device's spool."""
        return self.devices / device / "spool"

    def state(self, device: str) -> Path:
        """Return the file of a link's heartbeat."""
        return self.devices / device / STATE

    def spools(self) -> Iterator[tuple[str, Path]]:
        """Yield (device, folder) of every spool that is there, also of devices that are not named any more."""
        for path in sorted(self.devices.glob("*/spool")):
            yield path.parent.name, path

    @property
    def collector(self) -> Path:
        """Return the file of the collector's heartbeat."""
        return self.root / COLLECTOR

    @property
    def cursor(self) -> Path:
        """Return the file that tells until where the series are made."""
        return self.root / "cursor.json"


def write_report(path: Path, report: LinkReport | CollectorReport) -> None:
    """Replace a report; not synced, for it is true for a second only.

    Raises:
        OSError: the disk takes nothing.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(msgspec.json.encode(report))
    draft.replace(path)


def read_link(folders: LinkFolders, device: str) -> LinkReport | None:
    """Return the latest report of a link's process, None where there is none."""
    try:
        return msgspec.json.decode(folders.state(device).read_bytes(), type=LinkReport)
    except (OSError, msgspec.MsgspecError):
        return None


def read_collector(folders: LinkFolders) -> CollectorReport | None:
    """Return the latest report of the collector, None where there is none."""
    try:
        return msgspec.json.decode(folders.collector.read_bytes(), type=CollectorReport)
    except (OSError, msgspec.MsgspecError):
        return None
