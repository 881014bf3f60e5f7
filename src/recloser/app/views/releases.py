"""Owns the pages of releases (level 3): all of them, and one with gate, canary evidence, trips and history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from recloser.app.gate.explaining import waiver_row, would_change
from recloser.app.loop.control_loop import ControlLoop
from recloser.app.loop.evidence import freezes_of
from recloser.app.platform import Platform
from recloser.app.verbs import record_dict
from recloser.app.views.overview import event_rows
from recloser.core import Refused, format_utc, unknown_name
from recloser.ledger import (
    PairedDayRecord,
    ReleaseRecord,
    RolloutRecord,
    RouteRecord,
    RunRecord,
    TripRecord,
    VerdictRecord,
)
from recloser.rollout import Evidence, Rollout, explain, freeze_reason
from recloser.rollout.paired.pairing import day_from_record
from recloser.rollout.paired.path import evidence_path
from recloser.staging import WAIVE, Waiver

PAGE = 50
HISTORY = 60


def releases_document(platform: Platform, page: int = 1) -> dict[str, Any]:
    """Return the releases, newest first, with verdict and rollout, who serves, and the trips; JSON-ready.

    Raises:
        Unavailable: the ledger cannot be read now.
    """
    ledger = platform.ledger
    records = ledger.find(ReleaseRecord, order_by="created_at", descending=True)
    pages = max(1, -(-len(records) // PAGE))
    page = min(max(1, page), pages)
    shown = records[(page - 1) * PAGE : page * PAGE]
    names = [record.key for record in shown]
    verdicts = {item.release: item for item in ledger.find(VerdictRecord, release=names, order_by="at")}
    rollouts = {item.release: item for item in ledger.find(RolloutRecord, release=names, order_by="started_at")}
    route = ledger.get(RouteRecord, "route")
    trips = ledger.find(TripRecord, order_by="at", descending=True, limit=PAGE)
    return {
        "now": format_utc(platform.clock.now()),
        "route": None if route is None else record_dict(route),
        "releases": [_row(item, verdicts.get(item.key), rollouts.get(item.key)) for item in shown],
        "trips": [trip_row(trip) for trip in trips],
        "page": page,
        "pages": pages,
    }


def _row(record: ReleaseRecord, verdict: VerdictRecord | None, rollout: RolloutRecord | None) -> dict[str, Any]:
    return {
        "release": record.key,
        "state": record.state,
        "created_at": format_utc(record.created_at),
        "verdict": None if verdict is None else verdict.verdict,
        "verdict_reason": None if verdict is None else verdict.reason,
        "rollout": None if rollout is None else rollout.state,
        "share": 0.0 if rollout is None else rollout.share,
        "reason": None if rollout is None else rollout.reason,
    }


def trip_row(trip: TripRecord) -> dict[str, Any]:
    """Return a trip as JSON-ready data; `recalled` is the number of forecasts."""
    return {
        "at": format_utc(trip.at),
        "release": trip.release,
        "tier": trip.tier,
        "reason": trip.reason,
        "recalled": len(trip.recalled),
    }


def release_document(loop: ControlLoop, release: str) -> dict[str, Any]:
    """Return all about one release, JSON-ready; `loop` is used by one thread at a time.

    Keys: now, release, state, may_return (whether an operator may put it back into service), created_at, digest, run,
    model_version, trigger, verdict, rollout (its explanation), path (see `evidence_path`), areas (mean difference by
    area, worst first), trips, history.

    Raises:
        InvalidInput: no such release.
        Unavailable: ledger or a source of evidence cannot be read now.
    """
    platform, ledger = loop.platform, loop.platform.ledger
    record = ledger.get(ReleaseRecord, release)
    if record is None:
        known = [item.key for item in ledger.find(ReleaseRecord, order_by="created_at", descending=True)]
        raise unknown_name("release", release, known[:20], where="release")
    run = ledger.get(RunRecord, record.run)
    found = ledger.find(RolloutRecord, release=release, order_by="started_at", descending=True, limit=1)
    rollout = Rollout.from_record(found[0]) if found else None
    days = [] if rollout is None else ledger.find(PairedDayRecord, rollout=rollout.key, order_by="day")
    trips = ledger.find(TripRecord, release=release, order_by="at", descending=True)
    return {
        "now": format_utc(platform.clock.now()),
        "release": release,
        "state": record.state,
        "may_return": record.state == "retired" and _may_return(loop, release),
        "created_at": format_utc(record.created_at),
        "digest": record.digest,
        "run": record.run,
        "model_version": record.model_version,
        "trigger": None if run is None else {"kind": run.trigger, "reason": run.reason},
        "verdict": _verdict(platform, release),
        "rollout": None if rollout is None else _rollout(loop, rollout),
        "path": None if rollout is None else evidence_path(rollout, [day_from_record(day) for day in days]),
        "areas": _by_area(days),
        "trips": [trip_row(trip) for trip in trips],
        "history": _history(platform, [release, *([rollout.key] if rollout else [])]),
    }


def _may_return(loop: ControlLoop, release: str) -> bool:
    """Return whether a rollback to a release would be accepted, if it verifies."""
    try:
        loop.controller.require_return(release, reason="", actor="")
    except Refused:
        return False
    return True


def _verdict(platform: Platform, release: str) -> dict[str, Any] | None:
    found = platform.ledger.find(VerdictRecord, release=release, order_by="at", descending=True, limit=1)
    if not found:
        return None
    verdict = found[0]
    notes = platform.ledger.entries(subject=release)
    waivers = [Waiver.from_dict(entry.facts) for entry in notes if entry.action == WAIVE]
    return {
        "at": format_utc(verdict.at),
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "evidence_digest": verdict.evidence_digest,
        "checks": list(verdict.checks),
        "would_change": would_change(verdict.checks),
        "waivers": [waiver_row(waiver, platform.clock.now()) for waiver in waivers],
    }


def _rollout(loop: ControlLoop, rollout: Rollout) -> dict[str, Any]:
    """Return the explanation of a rollout; one that has ended is not looked into again."""
    platform, now = loop.platform, loop.platform.clock.now()
    seen = None if rollout.finished else loop.controller.inspect(loop.evidence, rollout.key)
    evidence = Evidence() if seen is None else seen[1]
    frozen = freeze_reason(freezes_of(platform, now))
    document = explain(rollout, replace(evidence, freeze=frozen), now)
    more = {"started_at": format_utc(rollout.started_at), "finished": rollout.finished}
    return {**document, **more}


def _by_area(days: Sequence[PairedDayRecord]) -> list[dict[str, Any]]:
    """Return the mean daily difference of each area and on how many days it rests, worst first."""
    found: dict[str, list[float]] = {}
    for day in days:
        areas: Mapping[str, float] = day.facts.get("areas", {})
        for area, difference in areas.items():
            found.setdefault(area, []).append(difference)
    rows = [{"area": area, "difference": fmean(numbers), "days": len(numbers)} for area, numbers in found.items()]
    return sorted(rows, key=lambda row: -float(row["difference"]))


def _history(platform: Platform, subjects: Sequence[str]) -> list[dict[str, Any]]:
    """Return the newest audit entries about the release and its rollout, newest first."""
    found = [entry for subject in subjects for entry in platform.ledger.entries(subject=subject)]
    newest = sorted(found, key=lambda entry: -entry.seq)
    routine = {"calibration.online", "rollout.lease", "rollout.days"}
    return event_rows([entry for entry in newest if entry.action not in routine][:HISTORY])
