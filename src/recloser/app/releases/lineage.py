"""Owns carrying lineage out: what the audit log gained since the last time, to a file and, if configured, a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recloser import __version__
from recloser.app.platform import Platform
from recloser.core import Unavailable
from recloser.ledger import Entry, PinRecord, ReleaseRecord, StateRecord
from recloser.registry.lineage.events import Event, LineageContext, lineage_events
from recloser.registry.lineage.outlets import append_events, post_event

CURSOR = "lineage.cursor"
AT_ONCE = 500


def export_lineage(folder: Path) -> dict[str, Any]:
    """Write the lineage of everything that happened since the last time.

    Returns:
        {"events", "through", "file", "url", "sentence"}: `through` is the last audit entry that was looked at.

    Raises:
        Unavailable: the file or the server cannot be reached; nothing is skipped, the next call goes on from there.
    """
    total, through = 0, 0
    with Platform.open(folder) as platform:
        while True:
            events, through, more = carry_on(platform)
            total += events
            if not more:
                break
        settings = platform.project.lineage
        file = str(platform.layout.root / settings.file)
    return {
        "events": total,
        "through": through,
        "file": file,
        "url": settings.url,
        "sentence": f"{total} events, through audit entry {through}, in {file}"
        + (f" and at {settings.url}" if settings.url else ""),
    }


def carry_on(platform: Platform) -> tuple[int, int, bool]:
    """Carry out the lineage of the next audit entries, at most AT_ONCE; return events, last entry, whether more wait.

    Raises:
        Unavailable: see `export_lineage`.
    """
    ledger, settings = platform.ledger, platform.project.lineage
    known = ledger.get(StateRecord, CURSOR)
    seq, size = (0, 0) if known is None else (int(known.state["seq"]), int(known.state["bytes"]))
    entries = ledger.entries(after=seq, limit=AT_ONCE)
    if not entries:
        return 0, seq, False
    by_entry = [(entry, lineage_events([entry], _context(platform, entries))) for entry in entries]
    events = [event for _, made in by_entry for event in made]
    done, problem = _sent(settings.url, by_entry)
    kept = [event for entry, made in by_entry if entry.seq <= done for event in made]
    if events and done >= seq:
        size = append_events(platform.layout.root / settings.file, kept, size)
    whole = len(entries) == AT_ONCE
    if done > seq and (events or whole):  # its own entry has no event: a cursor moved for it would move for ever
        now = platform.clock.now()
        with ledger.change("lineage", now) as change:
            change.put(StateRecord(CURSOR, now, {"seq": done, "bytes": size}))
            change.note("lineage.carry", "lineage", {"events": len(kept), "through": done})
    if problem is not None:
        raise problem
    return len(kept), entries[-1].seq, whole


def _sent(url: str | None, by_entry: Sequence[tuple[Entry, list[Event]]]) -> tuple[int, Unavailable | None]:
    """Send events entry by entry; return the last entry that is wholly sent, and what stopped it."""
    done = by_entry[0][0].seq - 1
    for entry, events in by_entry:
        try:
            for event in events if url else ():
                post_event(str(url), event)
        except Unavailable as error:
            return done, error
        done = entry.seq
    return done, None


def _context(platform: Platform, entries: Sequence[Entry]) -> LineageContext:
    runs = {entry.subject for entry in entries}
    pins = [pin for pin in platform.ledger.find(PinRecord) if pin.owner in runs]
    return LineageContext(
        project=platform.project.project.name,
        version=__version__,
        snapshots={pin.owner: (pin.version, pin.digest) for pin in pins},
        digests={record.key: record.digest for record in platform.ledger.find(ReleaseRecord)},
    )
