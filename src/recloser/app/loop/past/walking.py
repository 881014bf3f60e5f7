"""Owns running the exact data checks over history that was never checked. Writes flags and one entry, no signals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from recloser.app.platform import Platform
from recloser.core import LOAD, SAMPLE_SCHEMA, Panel, format_utc, instant, parse_utc
from recloser.ledger import StateRecord
from recloser.monitoring import CheckPlan, Finding, check_data, flag_revisions
from recloser.store.snapshot import content_digest

ACTOR = "monitoring"
PAST = "faults.past"
DAY = timedelta(days=1)
FIRST = timedelta(days=10)  # of history before a baseline is worth anything
TOLD = 20
ORDER = ["area", "quantity", "at", "available_at"]


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk found.

    Attributes:
        flagged: samples that were flagged.
        spans: one fault each, oldest first: kind, areas, start, end (excluded, aware UTC).
    """

    flagged: int = 0
    spans: tuple[Finding, ...] = ()

    def told(self, limit: int = 3) -> str:
        """Return the sentence for an operator; empty where nothing was flagged."""
        if not self.flagged:
            return ""
        shown = [
            f"{one.kind} of {', '.join(one.areas[:3])} {one.start:%Y-%m-%d %H:%M} .. {one.end:%Y-%m-%d %H:%M} UTC"
            for one in self.spans[:limit]
        ]
        more = f", and {len(self.spans) - limit} more spans" if len(self.spans) > limit else ""
        return f"{self.flagged} faulty samples of the past are flagged and not learned from: {'; '.join(shown)}{more}"


def check_past(platform: Platform, until: datetime) -> Walked:
    """Flag the load that the exact checks find at fault in history that was never checked, day by day up to `until`.

    Each day's check sees what was known on it alone, and its flags are known from then on, as if the loop had run. How
    far history was checked, and a digest of it, stands in the ledger: what is new or corrected is walked over again.

    Args:
        platform: the project.
        until: nothing later is looked at (aware UTC).
    """
    state = platform.ledger.get(StateRecord, PAST)
    known = {} if state is None else state.state
    if (known.get("until"), known.get("version")) == (format_utc(until), platform.store.version()):
        return Walked()  # nothing was said since: a run is asked for, then made
    extent = None if platform.detects else platform.store.extent(LOAD)
    if extent is None or extent[0] + FIRST > until:
        return Walked()
    panel = platform.store.read(areas=list(platform.areas), quantities=[LOAD], as_of=until)
    done = parse_utc(known["until"], PAST) if known else None
    same = done is not None and known["digest"] == _digest(panel, done)
    begin = extent[0] if not same or done is None else done - FIRST
    if same and done is not None and until - done < DAY:
        return Walked()
    flags, spans = _walk(panel, begin, until, CheckPlan(zone=platform.horizon.zone.key))
    if not flags.is_empty():
        platform.store.append(flags, source="check")
    found = Walked(flags.height, tuple(spans))
    told = [
        {"kind": f.kind, "areas": list(f.areas), "start": format_utc(f.start), "end": format_utc(f.end)} for f in spans
    ]
    now = platform.clock.now()
    until_text, version = format_utc(until), platform.store.version()
    facts: dict[str, Any] = {"until": until_text, "digest": _digest(panel, until), "version": version}
    with platform.ledger.change(ACTOR, now) as change:
        change.put(StateRecord(PAST, now, facts))
        more = {"flagged": flags.height, "spans": len(spans), "first": told[:TOLD]}
        change.note("data.check", "past", {"since": format_utc(begin), "until": until_text, **more})
    return found


def _walk(panel: Panel, begin: datetime, until: datetime, plan: CheckPlan) -> tuple[pl.DataFrame, list[Finding]]:
    """Return the flags of every day's check, oldest first, and one span for each fault."""
    flags, spans = pl.DataFrame(schema=SAMPLE_SCHEMA), list[Finding]()
    for at, report in _days(begin, until):
        start = at - plan.lookback - DAY
        near = pl.col("at").is_between(instant(start), instant(at), closed="left")
        frame = panel.frame.filter(near & (pl.col("available_at") <= instant(at)))
        if frame.is_empty():
            continue
        mine = flags.filter(near)
        if not mine.is_empty():
            frame = pl.concat([frame, mine]).sort(ORDER, maintain_order=True)
        seen = Panel(frame, panel.resolution, at)
        exact = [f for f in check_data(seen, at, replace(plan, report=report)) if _counts(f)]
        flags = pl.concat([flags, flag_revisions(seen, exact, at)])
        spans = _joined(spans, exact)
    return flags, spans


def _counts(finding: Finding) -> bool:
    return finding.kind != "missing" and finding.confidence == "exact" and finding.quantity == LOAD


def _days(begin: datetime, until: datetime) -> Iterator[tuple[datetime, timedelta]]:
    """Yield when to check, and how long ago a fault may have ended then: each day's check, from the tenth day on."""
    at, report = begin + FIRST, FIRST
    while at < until:
        yield at, report
        at, report = at + DAY, 2 * DAY
    yield until, report


def _joined(spans: Sequence[Finding], seen: Sequence[Finding]) -> list[Finding]:
    """Return the spans with what was seen now, each fault once."""
    result = list(spans)
    for one in seen:
        place = next((k for k, other in enumerate(result) if other.same_as(one, timedelta(0))), None)
        if place is None:
            result.append(one)
            continue
        other = result[place]
        areas = tuple(sorted({*other.areas, *one.areas}))
        result[place] = replace(other, areas=areas, start=min(other.start, one.start), end=max(other.end, one.end))
    return result


def _digest(panel: Panel, until: datetime) -> str:
    """Return what was ever said of the load before `until`, less its newest two days, which come late; flags or not."""
    said = panel.frame.filter(pl.col("at") < instant(until - 2 * DAY)).unique(["area", "quantity", "at", "value"])
    plain = said.with_columns(available_at=pl.col("at"), quality=pl.lit(0, pl.Int32), source=pl.lit(""))
    return content_digest(plain.sort("area", "quantity", "at", "value"))
