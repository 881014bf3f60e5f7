"""Owns what the command line asks of a project, as functions that return JSON-ready documents. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from recloser.app.accuracy.lately import accuracy_lately, accuracy_sentences
from recloser.app.cluster.hosting import host_releases
from recloser.app.cluster.opening import engine_of
from recloser.app.cluster.returning import Caller, bring_back, require_running
from recloser.app.delivery.commits.opening import forge_document
from recloser.app.delivery.telling import channel_names, delivery_document, delivery_sentences
from recloser.app.events.report import detector_document, detector_sentences
from recloser.app.inlets.telling import triggers_in_status, wait_sentence
from recloser.app.links.state import LinkFolders
from recloser.app.links.telling import link_sentences, links_document
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.evidence import freezes_of
from recloser.app.loop.past.walking import check_past
from recloser.app.loop.retraining import RunOrder
from recloser.app.loop.signals import signal_row
from recloser.app.loop.upstream.telling import incumbent_document, incumbent_sentences
from recloser.app.platform import Platform
from recloser.app.project.ballast import spend_ballast
from recloser.app.trial.runner import with_trials
from recloser.app.watchman.alarms import AbsenceAlarms
from recloser.core import (
    LOAD,
    InvalidInput,
    Refused,
    Unavailable,
    VirtualClock,
    format_utc,
    short_id,
    unknown_name,
)
from recloser.ledger import (
    ActRecord,
    ForecastRecord,
    ReleaseRecord,
    RolloutRecord,
    RouteRecord,
    RunRecord,
    SignalRecord,
    TripRecord,
)
from recloser.rollout import agreement, reach_words

Say = Callable[[str], None]
STALE = timedelta(days=7)


def newest_instant(platform: Platform) -> datetime:
    """Return the present instant, or, where the data is older, the instant its newest load became known.

    Raises:
        InvalidInput: the store is empty.
    """
    if platform.detects:
        return platform.clock.now()
    extent = platform.store.extent(LOAD)
    if extent is None:
        raise InvalidInput(
            "no load data yet",
            where=str(platform.layout.root),
            next_step="Run: recloser ingest FILE --area =NAME --time COL --load COL",
        )
    now = platform.clock.now()
    known = extent[1] + platform.project.resolution
    known += timedelta(minutes=platform.project.data.telemetry_delay_minutes)
    return min(now, known)


def run_pipeline(
    folder: Path, *, as_of: datetime | None, engine: str, progress: Say, actor: str = "operator"
) -> dict[str, Any]:
    """Run the pipeline once as of an instant; a candidate that passes is rolled out, the first one at once.

    Args:
        folder: project.
        as_of: the run's point of view (aware UTC), None: the newest data.
        engine: where the steps run.
        progress: told of progress.
        actor: the person who asks for it, and may not approve what comes of it.

    Returns:
        {"run", "candidate", "verdict", "reason", "checks", "as_of"}.

    Raises:
        InvalidInput: too little data, an unknown engine.
        Unavailable: the engine is not installed, or its cluster is not configured or stays away.
    """
    with Platform.open(folder) as platform:
        newest = newest_instant(platform)
        instant = as_of or newest
        _near_data(instant, newest)
        platform.clock = VirtualClock(instant)
        past = check_past(platform, instant)
        if past.flagged:
            progress(past.told())
        loop = ControlLoop(with_trials(platform), LoopOptions(say=progress))
        here = [] if engine == "local" else [engine]
        key = short_id("run", ["run", instant, platform.store.version(), platform.features.digest, *here])
        if engine == "kubeflow":
            loop.retraining.engine = engine_of(platform, platform.hooks.pipeline(), progress)
        progress(f"{key}: as of {format_utc(instant)}")
        outcome = loop.retraining.run(RunOrder(key, instant, "api", "recloser run", {}), actor)
        platform.package_share().try_now(progress)
        loop.advance()
        judged = outcome.results["judge"]
        return {
            "run": outcome.run,
            "candidate": outcome.candidate,
            "verdict": outcome.verdict,
            "reason": judged["reason"],
            "checks": judged["checks"],
            "as_of": format_utc(instant),
        }


def current_forecast(folder: Path, *, area: str | None, as_of: datetime | None) -> dict[str, Any]:
    """Return the forecast of the latest issue as of an instant, issuing it if that was not done yet.

    Raises:
        InvalidInput: unknown area, or an instant at which nobody could have forecast with what serves now.
        Unavailable: no model serves yet, or none can answer.
    """
    with Platform.open(folder) as platform:
        if platform.detects:
            raise InvalidInput(
                "this project detects events; it forecasts nothing", next_step="See: recloser events list"
            )
        if area is not None and area not in platform.areas:
            raise unknown_name("area", area, platform.areas, where="--area")
        newest = newest_instant(platform)
        instant = as_of or newest
        issued_at = max(platform.horizon.issues(instant - timedelta(days=2), instant + timedelta(seconds=1)))
        if not platform.ledger.find(ForecastRecord, issued_at=issued_at, limit=1):
            _answerable(platform, instant, newest)
            _issue(platform, instant, issued_at)
        areas = forecast_rows(platform, issued_at, area)
        if not areas:
            raise Unavailable(
                "no model could answer",
                where=f"issue of {format_utc(issued_at)}",
                next_step="Ingest the recent load; see `recloser status`.",
            )
        return {"areas": areas, "as_of": format_utc(instant)}


def _near_data(instant: datetime, newest: datetime) -> None:
    """Refuse an instant long after the data ends: what it would be about is known by nobody.

    Raises:
        InvalidInput: more than STALE after the newest load.
    """
    if instant > newest + STALE:
        raise InvalidInput(
            "there is no load near this time",
            got=format_utc(instant),
            expected=f"<= {format_utc(newest + STALE)}",
            where="--as-of",
            next_step="Ingest newer load first.",
        )


def _answerable(platform: Platform, instant: datetime, newest: datetime) -> None:
    """Refuse to forecast as of long after the data ends, or before what serves now was made (it knows later data)."""
    _near_data(instant, newest)
    route = platform.ledger.get(RouteRecord, "route")
    release = None if route is None else platform.ledger.get(ReleaseRecord, route.champion or "")
    if release is not None and instant < release.created_at:
        raise InvalidInput(
            "what serves now did not exist then, and has learned from later data",
            got=format_utc(instant),
            expected=f">= {format_utc(release.created_at)}",
            where="--as-of",
            next_step="Use `recloser replay` to see how past days would have been forecast.",
        )


def _issue(platform: Platform, instant: datetime, issued_at: datetime) -> None:
    """Make the issue as of an instant with what serves."""
    platform.clock = VirtualClock(instant)
    loop = ControlLoop(platform, LoopOptions())
    loop.advance()
    if loop.router.current() is None:
        raise Unavailable("no model serves yet", next_step="Run: recloser run")
    loop.watch.calibrate(instant)
    loop.router.refresh(instant)
    loop.issue(issued_at)


def forecast_rows(platform: Platform, issued_at: datetime, area: str | None) -> dict[str, Any]:
    """Return CONTRACT.md's `areas` of one issue: valid points first by time, voided ones marked and kept."""
    equals: dict[str, Any] = {"issued_at": issued_at}
    if area is not None:
        equals["area"] = area
    result: dict[str, Any] = {}
    for record in platform.ledger.find(ForecastRecord, order_by="made_at", **equals):
        row = result.setdefault(record.area, {"points": []})
        row |= {"release": record.release, "served_by": record.served_by, "issued_at": format_utc(record.issued_at)}
        row["reason"] = record.reason
        row["points"] += points_of(record, platform.project.resolution)
    for row in result.values():
        row["points"].sort(key=lambda point: (point["at"], point["id"]))
    return dict(sorted(result.items()))


def points_of(record: ForecastRecord, resolution: timedelta) -> list[dict[str, Any]]:
    """Return the points of a record; a void mark concerns only what had not ended when it was set."""
    rows = record.answers[record.release]
    names = [f"q{round(100 * level):02d}" for level in record.quantiles]
    points = []
    for index, (at, answer) in enumerate(zip(record.targets, rows, strict=True)):
        void = record.void and record.void_at is not None and at_time(at) + resolution > record.void_at
        points.append(
            {
                "id": f"{record.key}:{index}",
                "at": format_utc(at_time(at)),
                **dict(zip(names, answer, strict=True)),
                "void": void,
            }
        )
    return points


def at_time(at: Any) -> datetime:
    """Return a stored target time as aware UTC."""
    return at if isinstance(at, datetime) else datetime.fromisoformat(str(at))


def project_status(folder: Path) -> dict[str, Any]:
    """Return who serves, how well of late, what is rolling out, open signals, the latest run, trip and forecast."""
    with Platform.open(folder) as platform:
        accuracy = None if platform.detects else accuracy_lately(platform)
        document = status_document(platform)
        sentences = [*document.pop("sentences"), *accuracy_sentences(accuracy)]
        return {**document, "accuracy": accuracy, "sentences": sentences}


def status_document(platform: Platform) -> dict[str, Any]:
    """Return the status of an open project; see `project_status`."""
    ledger = platform.ledger
    route = ledger.get(RouteRecord, "route")
    live = [
        r for r in ledger.find(RolloutRecord, order_by="started_at") if r.finished_at is None and r.state != "champion"
    ]
    signals = ledger.find(SignalRecord, closed_at=None, order_by="at")
    runs = ledger.find(RunRecord, order_by="started_at", descending=True, limit=1)
    trips = ledger.find(TripRecord, order_by="at", descending=True, limit=1)
    forecasts = ledger.find(ForecastRecord, order_by="made_at", descending=True, limit=1)
    extent = platform.store.extent(LOAD)
    document: dict[str, Any] = {
        "project": platform.project.project.name,
        "areas": list(platform.areas),
        "route": None if route is None else record_dict(route),
        "rollouts": [{"key": r.key, "release": r.release, "state": r.state, "reason": r.reason} for r in live],
        "signals": [signal_row(signal) for signal in signals],
        "last_run": None
        if not runs
        else {"run": runs[0].key, "candidate": runs[0].candidate, "verdict": runs[0].verdict},
        "last_trip": None if not trips else {"at": trips[0].at, "release": trips[0].release, "reason": trips[0].reason},
        "last_forecast": None if not forecasts else forecasts[0].issued_at,
        "data": None
        if extent is None
        else {"first": extent[0], "last": extent[1], "version": platform.store.version()},
        "freezes": [
            {"reason": f.reason, "since": f.since, "until": f.until, "freeze": f.key}
            for f in freezes_of(platform, platform.clock.now())
        ],
        "agreement": agreement(ledger.find(ActRecord, order_by="at")),
        "triggers": triggers_in_status(platform),
        "links": links_document(
            platform.project.links.devices, LinkFolders(platform.layout.links), platform.clock.now()
        ),
        "absences": [
            {"kind": kind, **{name: facts[name] for name in ("since", "areas", "sentence")}}
            for kind, facts in AbsenceAlarms(ledger).open_().items()
        ],
        "notify": [
            *delivery_document(ledger, channel_names(platform), platform.clock.now()),
            *forge_document(platform),
        ],
        "incumbent": incumbent_document(platform),
    }
    if platform.detects:
        document["detector"] = detector_document(ledger, platform.layout.windows.parent, platform.today())
    document["sentences"] = status_sentences(document)
    return document


def record_dict(route: RouteRecord) -> dict[str, Any]:
    """Return the route as JSON-ready data."""
    return {
        "epoch": route.epoch,
        "champion": route.champion,
        "canary": route.canary,
        "share": route.share,
        "cohort": list(route.cohort),
        "shadow": route.shadow,
        "fallback": route.fallback,
        "lease_until": route.lease_until,
        "reason": route.reason,
        "at": route.at,
    }


def status_sentences(document: Mapping[str, Any]) -> list[str]:
    """Return the status as sentences for people."""
    route = document["route"]
    detector = document.get("detector")
    areas = "areas" if detector is None else "kinds of event"
    lines = [f"{document['project']}: {len(document['areas'])} {areas}."]
    lines += [absence["sentence"] for absence in document["absences"]]
    if detector is not None:
        lines += detector_sentences(detector)
    elif document["data"] is None:
        lines.append("No data yet: run 'recloser ingest'.")
    else:
        data = document["data"]
        lines.append(
            f"Load from {format_utc(data['first'])} to {format_utc(data['last'])}, store version {data['version']}."
        )
    if route is None or route["champion"] is None:
        nobody = "No champion serves yet: run 'recloser run'."
        lines.append(nobody if route is None else f"The fallback ladder serves: {route['reason']}.")
    else:
        lines.append(f"Champion {route['champion']} serves (route epoch {route['epoch']}: {route['reason']}).")
        if route["canary"]:
            lines.append(f"Canary {route['canary']} answers for {reach_words(route, areas)}.")
        if route["shadow"]:
            lines.append(f"{route['shadow']} is scored in the shadow.")
    lines += [f"Rollout of {r['release']}: {r['state']} - {r['reason']}" for r in document["rollouts"]]
    lines += [f"Waits to retrain: {wait_sentence(row)}." for row in document["triggers"]["waiting"]]
    for freeze in document["freezes"]:
        until = "it is lifted" if freeze["until"] is None else format_utc(freeze["until"])
        lines.append(f"Promotions are frozen until {until}: {freeze['reason']}.")
    agreed = document["agreement"]
    if agreed["advised"]:
        lines.append(f"People followed the advice {agreed['followed']} of {agreed['advised']} times.")
    lines += link_sentences(document["links"])
    lines += delivery_sentences(document["notify"])
    lines += [f"Open {s['class'].replace('_', ' ')}: {s['reason']}" for s in document["signals"]]
    lines += incumbent_sentences(document["incumbent"])
    if document["last_trip"]:
        trip = document["last_trip"]
        lines.append(f"Last trip: {trip['release']} at {format_utc(trip['at'])}: {trip['reason']}")
    if document["last_forecast"]:
        lines.append(f"Last forecast issued {format_utc(document['last_forecast'])}.")
    return lines


def operator_rollback(
    folder: Path, *, to: str | None, reason: str, actor: str, say: Callable[[str], None] = lambda _line: None
) -> dict[str, Any]:
    """Roll back now: traffic returns, unexpired forecasts of the stopped model are recalled.

    Where releases run in pods, one that is to be returned to and does not run is started first, and waited for.

    Args:
        folder: project.
        to: release to return to, None for the previous champion.
        reason: why.
        actor: who.
        say: told what is waited for.

    Raises:
        InvalidInput: there is no release `to`.
        Refused: nothing to roll back, or the target does not verify.
        Unavailable: the target's pods did not get ready; nothing was switched.
    """
    opened, problem = Platform.open_to_stop(folder)
    with opened as platform:
        if problem:
            say(f"{problem} What follows goes by the settings that could be used last.")
        loop = ControlLoop(platform, LoopOptions())
        if to is not None:
            host_releases(platform)  # where releases run elsewhere, an older one must run there before it may serve
            _require_return(loop, to, reason=reason, actor=actor)
            bring_back(platform, to, Caller(actor, reason, say))
        return rollback_in(loop, to=to, reason=reason, actor=actor)


def _require_return(loop: ControlLoop, to: str, *, reason: str, actor: str) -> None:
    """See that a release may be returned to if it runs, before anything is started or waited for."""
    ledger = loop.platform.ledger
    if ledger.get(RouteRecord, "route") is None:
        raise Refused("nothing serves yet", where="rollback", next_step="Run: recloser run")
    if ledger.get(ReleaseRecord, to) is None:
        releases = ledger.find(ReleaseRecord, order_by="created_at", descending=True)
        raise unknown_name("release", to, [record.key for record in releases], "--to")
    loop.controller.require_return(to, reason=reason, actor=actor)


def rollback_in(loop: ControlLoop, *, to: str | None, reason: str, actor: str) -> dict[str, Any]:
    """Roll back in an open project; see `operator_rollback`. On a full disk it takes the space that is kept for it."""
    try:
        return _rolled_back(loop, to=to, reason=reason, actor=actor)
    except Unavailable:
        if not spend_ballast(loop.platform.layout):
            raise
        return _rolled_back(loop, to=to, reason=reason, actor=actor)


def _rolled_back(loop: ControlLoop, *, to: str | None, reason: str, actor: str) -> dict[str, Any]:
    ledger = loop.platform.ledger
    before = ledger.get(RouteRecord, "route")
    if before is None:
        raise Refused("nothing serves yet", where="rollback", next_step="Run: recloser run")
    if to is not None:
        _require_return(loop, to, reason=reason, actor=actor)
        require_running(loop.platform, to, Caller(actor, reason, lambda _line: None))
    outcome = loop.controller.rollback(reason=reason, actor=actor, to=to)
    after = ledger.get(RouteRecord, "route")
    over = outcome.rollout if outcome.action is None else None
    trips: Sequence[TripRecord] = () if outcome.writes is None else outcome.writes.trips
    if over is not None:
        trips = ledger.find(TripRecord, release=over.release, since=("at", over.since))
    recalled = [forecast for trip in trips for forecast in trip.recalled]
    serving = None if after is None else after.champion
    sentence = f"{serving or 'the fallback ladder'} serves now; {len(recalled)} forecasts recalled."
    if outcome.writes is not None and serving is not None:
        own = sum(record.key not in set(recalled) for record in outcome.writes.voided)
        left = _standing_in(loop.platform)
        sentence += f" {own} forecasts that stood in for its own gave way to them." if own else ""
        sentence += f" {left} forecasts in force are of the fallback ladder, until the next issue." if left else ""
    if over is None:
        sentence += f" {reason}"
    else:
        earlier = f"{over.release} was stopped a moment before ({over.state}: {over.reason}); nothing more was done: "
        sentence = earlier + sentence
    return {
        "from": before.canary or before.champion if over is None else over.release,
        "to": serving,
        "epoch": None if after is None else after.epoch,
        "recalled": recalled,
        "reason": reason,
        "sentence": sentence,
    }


def _standing_in(platform: Platform) -> int:
    """Return how many areas have an answer of the ladder in force that is not over yet."""
    ahead, ladder = ("last_target", platform.clock.now() - platform.project.resolution), platform.ladder(None)
    found = [platform.ledger.find(ForecastRecord, release=rung, void=False, since=ahead) for rung in ladder]
    return len({record.area for records in found for record in records})


def show_audit(folder: Path, *, subject: str | None, action: str, limit: int) -> dict[str, Any]:
    """Return the latest entries of the audit log, oldest first.

    Args:
        folder: project.
        subject: only entries about this.
        action: only actions that begin so, such as 'trigger'; empty: all.
        limit: entries at most.

    Returns:
        {"entries": [{"seq", "at", "actor", "action", "subject", "facts"}]}.
    """
    names = ("seq", "at", "actor", "action", "subject", "facts")
    with Platform.open(folder) as platform:
        found = [entry for entry in platform.ledger.entries(subject=subject) if entry.action.startswith(action)]
        return {"entries": [{name: getattr(entry, name) for name in names} for entry in found[-limit:]]}


def verify_audit(folder: Path) -> dict[str, Any]:
    """Check the whole audit chain: {"entries", "ok", "first_bad", "reason"}."""
    with Platform.open(folder) as platform:
        result = platform.ledger.verify()
        return {"entries": result.entries, "ok": result.ok, "first_bad": result.first_bad, "reason": result.reason}
