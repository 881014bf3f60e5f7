"""Owns what is told of live links to people and to Prometheus, out of the processes' own reports. Asks no device."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from recloser.app.links.state import SILENT_S, CollectorReport, LinkFolders, LinkReport, read_collector, read_link
from recloser.app.project.tables.links import DeviceSection
from recloser.app.security.certificates import SOON
from recloser.connectors.points import nanoseconds
from recloser.core import format_utc
from recloser.serving.wire.figures import Family, family

SECOND_NS = 1_000_000_000


def links_document(devices: Sequence[DeviceSection], folders: LinkFolders, now: datetime) -> list[dict[str, Any]]:
    """Return a row for each device of the project: its link's state and counters, None where nothing is known.

    The state is 'silent' where the link's process has not been heard for ten seconds, 'unknown' where it never was.
    """
    collector = read_collector(folders)
    return [_row(device, read_link(folders, device.name), collector, now) for device in devices]


def link_sentences(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return what people should know of the links."""
    if not rows:
        return []
    up = sum(row["state"] == "up" for row in rows)
    lines = [f"{up} of {len(rows)} links are up."]
    lines += [
        f"Link {row['device']} is {row['state']}" + (f": {row['reason']}" if row["reason"] else ".")
        for row in rows
        if row["state"] != "up"
    ]
    lines += [sentence for row in rows if (sentence := _ending(row)) is not None]
    trouble = next((row["trouble"] for row in rows if row["trouble"]), "")
    return [*lines, f"Readings wait in the spools: {trouble}"] if trouble else lines


def link_families(devices: Sequence[DeviceSection], folders: LinkFolders, now: datetime) -> list[Family]:
    """Return the figures of links and collector for Prometheus; none in a project without devices."""
    if not devices:
        return []
    rows = links_document(devices, folders, now)
    labelled = [({"device": row["device"], "protocol": row["protocol"]}, row) for row in rows]

    def of(key: str) -> list[tuple[dict[str, str], float]]:
        return [(labels, float(row[key])) for labels, row in labelled if row[key] is not None]

    counted = [
        (labels | {"what": what}, float(number)) for labels, row in labelled for what, number in row["counts"].items()
    ]
    up = [(labels, float(row["state"] == "up")) for labels, row in labelled]
    return [
        family("recloser_link_up", "gauge", "1 while the device answers.", up),
        family("recloser_link_connects_total", "counter", "Times the link came up.", of("connects")),
        family("recloser_link_failures_total", "counter", "Times it went down or could not come up.", of("failures")),
        family("recloser_link_readings_total", "counter", "Readings taken into the spool.", of("readings")),
        family("recloser_link_gaps_total", "counter", "Gaps on the wire that were recorded.", of("gaps")),
        family("recloser_link_silence_seconds", "gauge", "Age of the latest reading.", of("silence_s")),
        family("recloser_link_spool_bytes", "gauge", "What waits for the store.", of("spool_bytes")),
        family("recloser_link_spool_dropped_total", "counter", "Readings dropped: spool full.", of("spool_dropped")),
        family("recloser_link_spool_refused_total", "counter", "Times the spool took nothing.", of("spool_refused")),
        family("recloser_link_stored_total", "counter", "Readings committed to the store.", of("stored")),
        family("recloser_link_repeated_total", "counter", "Readings that said nothing new.", of("repeated")),
        family("recloser_link_protocol_total", "counter", "What the protocol counts, such as missing frames.", counted),
        family("recloser_link_certificate_seconds", "gauge", "Until the first certificate ends.", of("certificate_s")),
        family("recloser_link_flagged_total", "counter", "Readings that a quality step marked.", of("flagged")),
    ]


def _row(
    device: DeviceSection, link: LinkReport | None, collector: CollectorReport | None, now: datetime
) -> dict[str, Any]:
    now_ns = nanoseconds(now)
    row: dict[str, Any] = {
        "device": device.name,
        "protocol": device.protocol,
        "state": "unknown",
        "since": None,
        "reason": "its process has told nothing yet",
        **dict.fromkeys(("connects", "failures", "readings", "gaps", "latest", "silence_s")),
        **dict.fromkeys(("spool_bytes", "spool_dropped", "spool_refused")),
        **dict.fromkeys(("stored", "repeated", "flagged")),
        **dict.fromkeys(("certificate", "certificate_until", "certificate_s")),
        "counts": {},
        "trouble": "",
    }
    if collector is not None:
        row |= {
            "stored": collector.readings.get(device.name, 0),
            "repeated": collector.repeated.get(device.name, 0),
            "flagged": collector.flagged.get(device.name, 0),
            "trouble": collector.trouble,
        }
    if link is None:
        return row
    silent = now_ns - link.beat_ns > SILENT_S * SECOND_NS and link.state != "stopped"
    return row | {
        "state": "silent" if silent else link.state,
        "since": _text(link.beat_ns if silent else link.since_ns),
        "reason": "its process is not heard" if silent else link.reason,
        "connects": link.connects,
        "failures": link.failures,
        "readings": link.readings,
        "gaps": link.gaps,
        "latest": None if link.last_ns is None else _text(link.last_ns),
        "silence_s": None if link.last_ns is None else max(0.0, (now_ns - link.last_ns) / SECOND_NS),
        "spool_bytes": link.spool_bytes,
        "spool_dropped": link.spool_dropped,
        "spool_refused": link.spool_refused,
        "counts": dict(link.counts),
        **_certificate(link, now_ns),
    }


def _certificate(link: LinkReport, now_ns: int) -> dict[str, Any]:
    if link.certificate_ns is None:
        return {}
    left_s = (link.certificate_ns - now_ns) / SECOND_NS
    return {
        "certificate": link.certificate,
        "certificate_until": _text(link.certificate_ns),
        "certificate_s": left_s,
    }


def _ending(row: dict[str, Any]) -> str | None:
    """Return a sentence about a certificate that ends soon or has ended."""
    left_s = row["certificate_s"]
    if left_s is None or left_s >= SOON.total_seconds():
        return None
    when = "has ended" if left_s <= 0 else f"ends in {left_s / 86_400:.0f} days"
    return (
        f"Link {row['device']}: the certificate of {row['certificate']} {when} ({row['certificate_until']}); renew it."
    )


def _text(at_ns: int) -> str:
    return format_utc(datetime.fromtimestamp(at_ns // 1_000_000 / 1_000, UTC))
