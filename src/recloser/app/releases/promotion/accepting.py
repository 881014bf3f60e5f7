"""Owns taking an offered release in: signed by this project, its verdict and way kept, its rollout opened."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.people.proposers import ASK, proposers_of
from recloser.app.platform import Platform
from recloser.app.releases.promotion.verifying import Checked, checked_offer, revoked_origins
from recloser.app.verbs import newest_instant
from recloser.core import LOAD, InvalidInput, RecloserError, Refused, VirtualClock, format_utc, parse_utc, short_id
from recloser.ledger import ReleaseRecord, RolloutRecord, RouteRecord, RunRecord
from recloser.pipelines.verdicts import release_record, verdict_record
from recloser.registry import GATE, GATE_VERDICT, Package, RunFacts, open_package
from recloser.registry.building import adopt_package
from recloser.registry.shipping.promotion import ORIGIN, ORIGIN_TYPE, Link
from recloser.registry.trust.attestation import attestation_path, write_attestation
from recloser.rollout.rollout import BARRED

TRIGGER = "promotion"


def check_offer(folder: Path, *, file: Path) -> dict[str, Any]:
    """Check an offer as `accept_offer` does, and take nothing in.

    Returns:
        {"ok", "release", "digest", "from", "to", "state", "signed_by", "offered_by", "expires_at", "verdict",
        "evidence_digest", "chain" (stages it came through, oldest first), "sentence"}.

    Raises:
        InvalidInput, Refused, Unavailable: see `checked_offer`.
    """
    with Platform.open(folder) as platform, checked_offer(platform, file) as checked:
        return {"ok": True, **_told(checked), "sentence": f"{checked.offer.release} may be accepted: {_way(checked)}"}


def accept_offer(folder: Path, *, file: Path, reason: str, actor: str) -> dict[str, Any]:
    """Check an offer, take its package in under this project's key and open its rollout; again, it changes nothing.

    Killed on the way, the same call goes on. Whoever stands behind the release in its former stage, who offered it and
    who accepts it may not approve it here.

    Returns:
        as `check_offer`, and {"rollout", "phase", "repeated", "registry" (what the model registry could not be told,
        or null)}.

    Raises:
        InvalidInput, Unavailable: see `checked_offer`.
        Refused: also a release that was refused or tripped here.
    """
    with Platform.open(folder) as platform, checked_offer(platform, file) as checked:
        release = checked.offer.release
        before = platform.ledger.get(ReleaseRecord, release)
        if before is not None and before.state in BARRED:
            raise Refused("stopped here before, it does not serve again", got=before.state, where=release)
        link = Link(checked.offer, checked.envelope, checked.signed_by, actor, platform.clock.now())
        package = _taken_in(platform, checked, link)
        run = short_id("run", [TRIGGER, link.key])
        if before is None:
            _record(platform, checked, link, package, run, reason)
        opened = bool(platform.ledger.find(RolloutRecord, release=release, limit=1))
        registry = None if opened else _mirrored(platform, package, run)
        rollout = _rolled_out(platform, release, f"promoted from {checked.offer.stage}: {reason}", actor)
        return {
            "ok": True,
            **_told(checked),
            "rollout": rollout.key,
            "phase": rollout.state,
            "repeated": before is not None,
            "registry": registry,
            "sentence": f"{release} is accepted, {_way(checked)}; its rollout {rollout.key} is {rollout.state}",
        }


def _told(checked: Checked) -> dict[str, Any]:
    offer = checked.offer
    return {
        **{name: offer.to_dict()[name] for name in ("release", "digest", "from", "to", "state", "offered_by")},
        "signed_by": checked.signed_by,
        "expires_at": offer.expires_at,
        "verdict": checked.verdict.verdict,
        "evidence_digest": offer.evidence_digest,
        "chain": [*(link.offer.stage for link in checked.chain), offer.stage],
    }


def _way(checked: Checked) -> str:
    stages = [*(link.offer.stage for link in checked.chain), checked.offer.stage, checked.offer.to]
    return f"{' -> '.join(stages)}, offered by {checked.offer.offered_by}, signed by {checked.signed_by}"


def _taken_in(platform: Platform, checked: Checked, link: Link) -> Package:
    """Return the package among this project's own; its verdict and its way lie beside it, under this project's key."""
    package, signer = checked.package, platform.signer
    subject = (package.release, package.digest)
    gate = package.attestation(GATE)
    assert gate is not None  # `checked_offer` has read it
    chain = {"chain": [known.to_dict() for known in (*checked.chain, link)]}
    documents = {
        attestation_path(GATE): write_attestation(subject, GATE_VERDICT, gate.predicate, signer),
        attestation_path(ORIGIN): write_attestation(subject, ORIGIN_TYPE, chain, signer),
    }
    if (platform.layout.packages / package.release).exists():
        return open_package(platform.layout.packages / package.release, platform.trusted)
    return adopt_package(platform.layout.packages, package, documents, signer)


def _record(platform: Platform, checked: Checked, link: Link, package: Package, run: str, reason: str) -> None:
    offer, now = checked.offer, platform.clock.now()
    as_of = _known_until(package)
    parameters = {"as_of": format_utc(as_of), "run": run, "from": offer.stage, "project": offer.project}
    told = {key: item for key, item in link.to_dict().items() if key != "envelope"}
    facts = {**told, "offered_because": offer.reason, "reason": reason, "offer": link.key}
    with platform.ledger.change(link.accepted_by, now) as change:
        why = f"promoted from {offer.stage}: {reason}"
        change.put(RunRecord(run, TRIGGER, why, as_of, "done", now, now, offer.release, "pass", parameters))
        change.put(release_record(package, run, now, "accepted"), expected_version=0)
        change.put(verdict_record(offer.release, checked.verdict, checked.judged_at))
        change.note("promotion.accept", offer.release, facts)
        change.note(ASK, run, {"asked_by": list(dict.fromkeys((*offer.people, offer.offered_by, link.accepted_by)))})


def _known_until(package: Package) -> Any:
    told = [snapshot.get("as_of") for snapshot in package.facts.snapshots]
    return max((parse_utc(str(text)) for text in told if text), default=package.facts.training_window[1])


def _mirrored(platform: Platform, package: Package, run: str) -> str | None:
    """Tell the model registry; it is a mirror, and may be down. Return what went wrong."""
    facts = package.facts
    known = RunFacts(
        key=run,
        started_at=platform.clock.now(),
        finished_at=platform.clock.now(),
        succeeded=True,
        environment=facts.environment,
        commit=facts.commit,
        params={"trigger": TRIGGER, "model": facts.model_kind},
        metrics=facts.metrics,
        snapshots=facts.snapshots,
        artifacts={"release.json": facts.to_bytes()},
    )
    try:
        platform.registry.log_run(known)
        platform.registry.register(package, run)
        platform.registry.set_alias("challenger", package.release)
    except RecloserError as error:
        return error.explain()
    return None


def _rolled_out(platform: Platform, release: str, reason: str, actor: str) -> RolloutRecord:
    """Open the rollout, and let it take its first step where there are data to stand on; as a run does."""
    if platform.store.extent(LOAD) is not None:
        platform.clock = VirtualClock(newest_instant(platform))
    loop = ControlLoop(platform, LoopOptions())
    record = platform.ledger.get(ReleaseRecord, release)
    scale = None if record is None else record.facts["scales"].get("paired_sd")
    proposers = proposers_of(platform, release, (actor,))
    if record is not None and record.state == "accepted":
        loop.controller.submit(release, loop.retraining.plan(), scale=scale, reason=reason, proposers=proposers)
        if platform.store.extent(LOAD) is not None:
            loop.advance()
    newest = platform.ledger.find(RolloutRecord, release=release, order_by="started_at", descending=True, limit=1)
    if not newest:
        raise InvalidInput("no rollout of this release", where=release)
    return newest[0]


def check_origins(platform: Platform) -> dict[str, str]:
    """Return {"name", "state", "detail"} about releases that serve and came from other stages."""
    route = platform.ledger.get(RouteRecord, "route")
    serving = () if route is None else (route.champion, route.canary, route.shadow, *route.fallback)
    names = [name for name in dict.fromkeys(serving) if name and platform.ledger.get(ReleaseRecord, name) is not None]
    came, doubts = 0, list[str]()
    for name in names:
        with suppress(RecloserError):  # one that is lost or does not verify is told by the check of packages
            package = open_package(platform.layout.packages / name, platform.trusted)
            came += package.attestation(ORIGIN) is not None
            doubts += revoked_origins(platform, package)
    if doubts:
        return {"name": "promotion", "state": "FAIL", "detail": "; ".join(doubts)}
    sources = len(platform.project.promotion.sources)
    detail = f"{came} serving releases came from other stages; {sources} stages are trusted"
    return {"name": "promotion", "state": "ok", "detail": detail}
