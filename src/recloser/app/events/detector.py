"""Owns looking at live windows: features, the gateway's answer, events into the ledger, drills. Connects to nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import polars as pl

from recloser.app.events.labels import CLASS
from recloser.app.events.windows import DRILL, LIVE, SEEN_SCHEMA, WindowStore
from recloser.app.logs.told import told
from recloser.app.platform import Platform
from recloser.app.project.tables.events import EventsSection
from recloser.core import RecloserError, format_utc, short_id
from recloser.features.phasors import PhasorBlock, phasor_features
from recloser.ledger import SignalRecord
from recloser.monitoring import EventWatch, GridEventSeen, watched
from recloser.pipelines.detection.recipe import rows_of
from recloser.serving import Answer, Gateway
from recloser.simulation.phasors import GridEvent, drill

ACTOR = "detector"
KEEP_S = 60.0
DRILL_AFTER_S = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
"""A drill is looked at so long after it began: when a control room would want to be told."""
DAY_S = 86_400.0


@dataclass(slots=True)
class Counts:
    """What a detector has done since it began."""

    windows: int = 0
    unanswered: int = 0
    events: int = 0
    drills: int = 0
    trouble: str = ""
    last_at: datetime | None = None


class Detector:
    """Looks at window after window of one stream.

    What it says of a window it says at once; the windows themselves are kept in the store once a minute, and their
    labels and drills are what candidates are compared on.

    Args:
        platform: the project.
        gateway: answers by the route in force.
        windows: where they are kept.
        say: told of events.
    """

    def __init__(
        self,
        platform: Platform,
        gateway: Gateway,
        windows: WindowStore,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._platform, self._gateway, self._windows, self._say = platform, gateway, windows, say
        self._settings = platform.project.events or EventsSection()
        self._watch = EventWatch(self._settings.rule())
        self._open: dict[str, SignalRecord] = {}
        self._waiting: list[tuple[Any, ...]] = []
        self._unwritten: deque[SignalRecord] = deque()
        self._since: datetime | None = None
        self._next_drill: datetime | None = None
        self._turn: int | None = None
        self.counts = Counts()

    def begin(self, now: datetime) -> None:
        """Close the events that an earlier process left open: what goes on is found anew within some windows.

        Raises:
            Unavailable: the ledger cannot be used now.
        """
        left = self._platform.ledger.find(SignalRecord, signal_class=CLASS, closed_at=None, order_by="at")
        if not left:
            return
        with self._platform.ledger.change(ACTOR, now) as change:
            for record in left:
                change.put(_closed(record, now, "the detector began anew"))
                change.note("event.end", record.key, {"reason": "the detector began anew"})

    def window(self, block: PhasorBlock) -> tuple[GridEventSeen, ...]:
        """Look at one window; return the events that began or ended with it.

        The answer stands even where the ledger cannot be written now: the event is written as soon as it can be.
        """
        features = phasor_features(block)
        at = datetime.fromtimestamp(int(block.at_ns[-1]) / 1e9, UTC)
        now = self._platform.clock.now()
        row = (at, LIVE, None, *features.tolist())
        self._waiting.append(row)
        asked = rows_of(pl.DataFrame([row], schema=SEEN_SCHEMA, orient="row"), self._platform.areas)
        answer = self._gateway.answer(asked, at, now)
        self.counts.windows += 1
        self.counts.last_at = at
        self.counts.unanswered += bool(answer.unavailable)
        self._watch, news = watched(self._watch, at, _probabilities(answer))
        for seen in news:
            self._take(seen, answer, now)
        self._write(now)
        self._keep(at)
        return news

    def drill_due(self, now: datetime) -> bool:
        """Return whether a drill is due at `now` (aware UTC): evenly over the day, none while an event goes on."""
        if not self._settings.drills_per_day or self._watch.going_on:
            return False
        return self._next_drill is None or now >= self._next_drill

    def practise(self, block: PhasorBlock, now: datetime) -> int:
        """Lay a drill over quiet phasors and keep its windows; return how many. Nothing of a drill is served.

        Args:
            block: the newest phasors, at least a window and six seconds of them.
            now: aware UTC.
        """
        per_day = max(1, self._settings.drills_per_day * len(self._platform.areas))
        every = timedelta(seconds=DAY_S / per_day)
        self._next_drill = now + every
        number = int(now.timestamp() / every.total_seconds())
        if self._turn is None:
            self._turn = number
        kind = self._platform.areas[self._turn % len(self._platform.areas)]
        self._turn += 1
        rows = self._drill(block, kind, number)
        self._waiting += rows
        self.counts.drills += 1
        return len(rows)

    def _drill(self, block: PhasorBlock, kind: str, number: int) -> list[tuple[Any, ...]]:
        window = round(self._settings.window_seconds * block.rate_hz)
        begins_s = len(block) / block.rate_hz - DRILL_AFTER_S[-1]
        done = drill(block, GridEvent(kind), begins_s, (crc32(kind.encode()), number))
        rows: list[tuple[Any, ...]] = []
        for after_s in DRILL_AFTER_S:
            end = round((begins_s + after_s) * block.rate_hz)
            if end >= window:
                features = phasor_features(done.block.part(end - window, end))
                at = datetime.fromtimestamp(int(block.at_ns[end - 1]) / 1e9, UTC)
                rows.append((at, DRILL, kind, *features.tolist()))
        return rows

    def _take(self, seen: GridEventSeen, answer: Answer, now: datetime) -> None:
        if seen.over_at is None:
            record = _record(seen, answer, now)
            self._open[seen.kind] = record
            self.counts.events += 1
            self._unwritten.append(record)
            self._say(record.reason)
            return
        begun = self._open.pop(seen.kind, None)
        if begun is not None:
            over = _closed(begun, seen.over_at, probability=seen.probability)
            self._unwritten.append(over)
            lasted = (seen.over_at - begun.since).total_seconds()
            self._say(told(f"{seen.kind.replace('_', ' ')} is over after {lasted:.1f} s"))

    def _write(self, now: datetime) -> None:
        """Write what waits into the ledger, in order; what cannot be written now waits on."""
        while self._unwritten:
            record = self._unwritten[0]
            over = record.closed_at is not None
            try:
                known = self._platform.ledger.get(SignalRecord, record.key) if over else None
                with self._platform.ledger.change(ACTOR, now) as change:
                    change.put(record if known is None else _joined(known, record))
                    facts = {"kind": record.areas[0], "probability": record.evidence["probability"]}
                    change.note("event.end" if over else "event.begin", record.key, facts)
            except RecloserError as error:
                self.counts.trouble = error.explain()
                return
            self._unwritten.popleft()
            self.counts.trouble = ""

    def _keep(self, at: datetime) -> None:
        if self._since is None:
            self._since = at
        if (at - self._since).total_seconds() >= KEEP_S or at < self._since:
            self.flush()

    def flush(self) -> None:
        """Keep the windows that wait; those that the disk does not take now wait on."""
        try:
            self._windows.append(pl.DataFrame(self._waiting, schema=SEEN_SCHEMA, orient="row"))
        except RecloserError as error:
            self.counts.trouble = error.explain()
            return
        self._waiting, self._since = [], None


def _probabilities(answer: Answer) -> dict[str, float]:
    return {served.area: float(served.answers[served.release][0, 0]) for served in answer.served}


def _record(seen: GridEventSeen, answer: Answer, now: datetime) -> SignalRecord:
    served = next(one for one in answer.served if one.area == seen.kind)
    by = "" if served.served_by == "champion" else f", by the {served.served_by}"
    return SignalRecord(
        key=short_id("event", [seen.kind, seen.first_at]),
        at=seen.found_at,
        signal_class=CLASS,
        severity="event",
        areas=[seen.kind],
        since=seen.first_at,
        reason=f"{seen.kind.replace('_', ' ')} since {format_utc(seen.first_at)} ({seen.probability:.0%}{by})",
        evidence={
            "probability": seen.probability,
            "release": served.release,
            "served_by": served.served_by,
            "written_at": format_utc(now),
        },
        closed_at=None,
    )


def _closed(record: SignalRecord, at: datetime, why: str = "", probability: float | None = None) -> SignalRecord:
    evidence = dict(record.evidence)
    evidence |= {"ended_by": why} if why else {}
    evidence |= {} if probability is None else {"probability": probability}
    return replace(record, evidence=evidence, closed_at=at)


def _joined(known: SignalRecord, over: SignalRecord) -> SignalRecord:
    """Return the end of an event with what people have said about it meanwhile."""
    said = {name: item for name, item in known.evidence.items() if name == "label"}
    return replace(over, evidence={**over.evidence, **said})
