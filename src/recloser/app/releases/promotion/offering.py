"""Owns offering a release to the next stage: one signed archive of its package and of who says so until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from recloser.app.people.proposers import proposers_of
from recloser.app.platform import Platform
from recloser.app.releases.packages import key_files, package_files, released
from recloser.core import InvalidInput, Refused, format_utc
from recloser.ledger import ReleaseRecord
from recloser.pipelines.verdicts import lapsed
from recloser.registry import GATE, Package
from recloser.registry.shipping.bundle import write_bundle
from recloser.registry.shipping.promotion import PROMOTION, STATES, Offer
from recloser.staging import PASS

MOST_DAYS = 90.0


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a release is offered.

    Attributes:
        to: stage that may accept it.
        reason: why.
        actor: who offers it.
        days: for how long it may be accepted, in (0, 90].
    """

    to: str
    reason: str
    actor: str
    days: float = 7.0


def offer_release(folder: Path, *, release: str, out: Path, terms: Terms) -> dict[str, Any]:
    """Offer a release to another stage: its package with the gate's verdict, and a statement that this project signs.

    Args:
        folder: project that offers.
        release: which; accepted here, or champion.
        out: the archive.
        terms: to whom, until when, by whom and why.

    Returns:
        {"out", "sha256", "release", "digest", "from", "to", "state", "evidence_digest", "expires_at", "signed_by",
        "sentence"}.

    Raises:
        InvalidInput: no such release, or the project file names no stage.
        Refused: it has not passed the gate, or passes no longer; it was stopped; its package does not verify.
        Unavailable: the archive cannot be written.
    """
    if not 0 < terms.days <= MOST_DAYS:
        raise InvalidInput("an offer too long or too short", got=terms.days, expected="0 to 90 days", where="--days")
    with Platform.open(folder) as platform:
        stage, now = own_stage(platform), platform.clock.now()
        if terms.to == stage:
            raise InvalidInput("an offer to oneself", got=terms.to, where="--to", next_step="Name the next stage.")
        package = released(platform, release)
        offer = Offer(
            release=release,
            digest=package.digest,
            project=platform.project.project.name,
            stage=stage,
            to=terms.to,
            state=_standing(platform, package),
            offered_by=terms.actor,
            reason=terms.reason,
            offered_at=now,
            expires_at=now + timedelta(days=terms.days),
            evidence_digest=str(_gate(package).get("evidence_digest")),
            people=_people(platform, release, terms.actor),
        )
        files = {f"package/{release}/{name}": content for name, content in package_files(package).items()}
        files |= {f"keys/{name}": content for name, content in key_files(platform).items()}
        sha256 = write_bundle(out, files, offer.to_dict(), platform.signer, PROMOTION)
        key = platform.signer.public_key.key_id
        facts = {"to": terms.to, "reason": terms.reason, "expires_at": format_utc(offer.expires_at), "sha256": sha256}
        with platform.ledger.change(terms.actor, now) as change:
            change.note("promotion.offer", release, {**facts, "evidence": offer.evidence_digest})
    return {
        "out": str(out),
        "sha256": sha256,
        **{name: offer.to_dict()[name] for name in ("release", "digest", "from", "to", "state")},
        "evidence_digest": offer.evidence_digest,
        "expires_at": offer.expires_at,
        "signed_by": key,
        "sentence": f"{out}: {release} is offered to {terms.to} until {format_utc(offer.expires_at)}, signed by {key}",
    }


def own_stage(platform: Platform) -> str:
    """Return which stage the project is.

    Raises:
        InvalidInput: the project file does not say.
    """
    stage = platform.project.promotion.stage
    if stage is None:
        raise InvalidInput(
            "the project file names no stage",
            where="[promotion] stage",
            next_step='Add [promotion] with stage = "staging" or the like.',
        )
    return stage


def _standing(platform: Platform, package: Package) -> str:
    record = platform.ledger.get(ReleaseRecord, package.release)
    state = "unknown" if record is None else record.state
    if state not in STATES:
        raise Refused(
            "only what passed the gate and was not stopped is offered",
            got=state,
            expected=" or ".join(STATES),
            where=package.release,
            next_step="See: recloser gate explain",
        )
    why = lapsed(platform.ledger, package.release, platform.today())
    if why or _gate(package).get("verdict") != PASS:
        raise Refused("the gate no longer passes it", got=why or "no signed pass", where=package.release)
    return state


def _gate(package: Package) -> dict[str, Any]:
    said = package.attestation(GATE)
    return {} if said is None else dict(said.predicate)


def _people(platform: Platform, release: str, actor: str) -> tuple[str, ...]:
    found = proposers_of(platform, release, (actor,))
    return tuple(dict.fromkeys((*found.known, *found.strangers)))
