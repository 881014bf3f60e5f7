"""Owns checking an offered release, from its signature to its golden answers. Takes nothing in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recloser.app.platform import Platform
from recloser.app.project.tables.releases import SourceSection
from recloser.app.releases.promotion.offering import own_stage
from recloser.app.verbs import newest_instant
from recloser.core import LOAD, InvalidInput, RecloserError, Refused, format_utc, parse_utc
from recloser.features import FeatureSet
from recloser.pipelines.judging import REQUIRED
from recloser.pipelines.proving import pickles_of
from recloser.registry import GATE, GATE_VERDICT, Package, PublicKey, check_golden, load_trusted, open_package
from recloser.registry.content.description import CARD
from recloser.registry.shipping.bundle import card_bytes, check_bundle, unpack_bundle
from recloser.registry.shipping.promotion import ORIGIN, PROMOTION, STATES, Link, Offer, read_chain
from recloser.staging import PASS, CheckResult, Verdict, Waiver, judge

SKEW = timedelta(minutes=5)
"""So far the clocks of two stages may differ."""


@dataclass(frozen=True, slots=True)
class Checked:
    """An offer that holds: the package unpacked and verified, the verdict judged again, the way it came."""

    offer: Offer
    envelope: bytes
    signed_by: str
    package: Package
    verdict: Verdict
    judged_at: datetime
    chain: tuple[Link, ...]


@contextmanager
def checked_offer(platform: Platform, file: Path) -> Iterator[Checked]:
    """Check an offer and hold its package unpacked in the block.

    Raises:
        InvalidInput: the project file names no stage or no source, or a source without keys.
        Refused: signed by nobody whom a source names or by a revoked key; addressed to another stage, not yet or no
            longer valid, from a stage where it has not come far enough; changed anywhere; a verdict that is no pass,
            too old, rests on an expired waiver or does not fit its digest; a model that does not fit this project.
        Unavailable: it cannot be read.
    """
    now = platform.clock.now()
    source, keys, offer = _offered(platform, file)
    _timely(offer, source, own_stage(platform), now)
    with TemporaryDirectory(prefix="recloser-offer-") as scratch:
        unpack_bundle(file, Path(scratch) / "offer")
        package = open_package(Path(scratch) / "offer" / "package" / offer.release, keys)
        if package.digest != offer.digest:
            raise Refused("another package than the one offered", got=package.digest, expected=offer.digest)
        verdict, judged_at = _judged(package, offer, platform.today())
        if judged_at < _present(platform) - timedelta(days=source.verdict_days):
            raise Refused(
                "a verdict that is too old",
                got=format_utc(judged_at),
                expected=f"at most {source.verdict_days:g} days before the newest data here",
                where=offer.release,
                next_step=f"Run the pipeline again in {offer.stage}.",
            )
        chain = _chain(platform, package)
        _fits(platform, package)
        envelope = card_bytes(file)
        signed_by = json.loads(envelope)["signatures"][0]["keyid"]
        yield Checked(offer, envelope, str(signed_by), package, verdict, judged_at, chain)


def _present(platform: Platform) -> datetime:
    """Return the instant that verdicts are held against: that of the newest data here, as runs live in its time."""
    return platform.clock.now() if platform.store.extent(LOAD) is None else newest_instant(platform)


def keys_of(platform: Platform, source: SourceSection) -> tuple[PublicKey, ...]:
    """Return the keys that count for a source, those that are revoked marked.

    Raises:
        InvalidInput: no key there.
        Refused: a damaged revocation list.
        Unavailable: it cannot be read.
    """
    return load_trusted([platform.layout.root / source.keys])


def _offered(platform: Platform, file: Path) -> tuple[SourceSection, tuple[PublicKey, ...], Offer]:
    """Return which source made an offer, its keys, and the offer; every byte of the archive is verified."""
    own_stage(platform)
    sources = platform.project.promotion.sources
    if not sources:
        raise InvalidInput(
            "this project takes releases from nobody",
            where="[[promotion.sources]]",
            next_step="Name the stage and a folder with its public keys.",
        )
    refusals: list[Refused] = []
    for source in sources:
        keys = keys_of(platform, source)
        try:
            card = check_bundle(file, keys, PROMOTION)
        except Refused as error:
            refusals.append(error)
            continue
        offer = Offer.from_dict(card.facts, str(file))
        if offer.stage == source.stage:
            return source, keys, offer
        refusals.append(Refused("a stage that this key does not speak for", got=offer.stage, expected=source.stage))
    told = [error for error in refusals if "not trusted" not in error.what]
    raise (told or refusals)[0]


def _timely(offer: Offer, source: SourceSection, stage: str, now: datetime) -> None:
    if offer.to != stage:
        raise Refused("offered to another stage", got=offer.to, expected=stage, where=offer.release)
    if now >= offer.expires_at:
        raise Refused(
            "an offer that has expired",
            got=format_utc(offer.expires_at),
            where=offer.release,
            next_step=f"Offer it again in {offer.stage}: recloser promote offer",
        )
    if offer.offered_at > now + SKEW:
        raise Refused("an offer of the future", got=format_utc(offer.offered_at), where=offer.release)
    if offer.state not in STATES or STATES.index(offer.state) < STATES.index(source.at_least):
        raise Refused(
            f"it has not come far enough in {offer.stage}",
            got=offer.state,
            expected=source.at_least,
            where=offer.release,
        )


def _judged(package: Package, offer: Offer, today: datetime) -> tuple[Verdict, datetime]:
    """Return the verdict that lies beside a package, drawn again from its checks, and when it was drawn."""
    said = package.attestation(GATE)
    if said is None or said.predicate_type != GATE_VERDICT:
        raise Refused("no verdict of a gate lies beside it", where=offer.release)
    try:
        checks = tuple(CheckResult.from_dict(row) for row in said.predicate["checks"])
        told = Verdict(str(said.predicate["verdict"]), str(said.predicate["reason"]), checks)
        judged_at = parse_utc(str(said.predicate["at"]), offer.release)
        waivers = [Waiver.from_dict(check.waiver) for check in checks if check.waiver]
    except (KeyError, TypeError, ValueError) as error:
        raise Refused("an unreadable verdict", got=str(error)[:100], where=offer.release) from error
    digests = {told.evidence_digest, str(said.predicate.get("evidence_digest")), offer.evidence_digest}
    if len(digests) > 1:
        raise Refused("a verdict that does not fit its evidence", got=sorted(digests), where=offer.release)
    again = judge(checks, REQUIRED, [waiver for waiver in waivers if waiver.in_force(today)])
    if told.verdict != PASS or again.verdict != PASS:
        why = told if told.verdict != PASS else again
        raise Refused("the gate does not pass it", got=f"{why.verdict}: {why.reason}", where=offer.release)
    return told, judged_at


def _chain(platform: Platform, package: Package) -> tuple[Link, ...]:
    """Return the way that a package came before; links of stages named here are verified with their keys."""
    said = package.attestation(ORIGIN)
    chain = read_chain(None if said is None else said.predicate, package.digest, package.release)
    named = {source.stage: source for source in platform.project.promotion.sources}
    for link in chain:
        if link.offer.stage in named:
            link.verify(keys_of(platform, named[link.offer.stage]), f"{package.release}, from {link.offer.stage}")
    return chain


def _fits(platform: Platform, package: Package) -> None:
    """See that a model can serve here: what it reads, when and for whom it answers, and that it answers as recorded."""
    features = FeatureSet.from_dict(package.facts.feature_set, platform.features.extra)
    differing = {
        "horizon": (features.horizon, platform.horizon),
        "areas": (sorted(_areas(package)), sorted(platform.areas)),
    }
    for name, (theirs, ours) in differing.items():
        fits = set(ours) <= set(theirs) if isinstance(theirs, list) and isinstance(ours, list) else theirs == ours
        if not fits:
            raise Refused(f"a model for other {name}", got=str(theirs)[:200], expected=str(ours)[:200])
    found = () if platform.project.gateway.allow_pickle else pickles_of(package)
    if found:
        raise Refused("a model with Python pickles", got=", ".join(found[:3]), where=package.release)
    golden = check_golden(package, platform.open_release(package.model_folder).predict)
    if not golden.agrees:
        raise Refused("the model does not answer its golden rows as recorded", got=golden.reason)


def _areas(package: Package) -> Sequence[str]:
    card: dict[str, Any] = json.loads(package.read_bytes(CARD))
    return [str(area) for area in card["validity"]["areas"]]


def revoked_origins(platform: Platform, package: Package) -> list[str]:
    """Return why the origin of an accepted package is no longer to be relied on, in sentences; none if it is.

    Raises:
        Refused: its origin cannot be read.
    """
    said = package.attestation(ORIGIN)
    named = {source.stage: source for source in platform.project.promotion.sources}
    found = []
    for link in read_chain(None if said is None else said.predicate, package.digest, package.release):
        if link.offer.stage in named:
            try:
                link.verify(keys_of(platform, named[link.offer.stage]), package.release)
            except RecloserError as error:
                found.append(f"{package.release} came from {link.offer.stage}: {error.explain()}")
    return found
