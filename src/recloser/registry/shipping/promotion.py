"""Owns what a stage says when it offers a release to the next, and the chain of such words. Pure, no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from recloser.core import canonical_json, digest_of, format_utc, parse_utc
from recloser.registry.shipping.bundle import KIND
from recloser.registry.trust.envelope import refused, unseal
from recloser.registry.trust.keys import PublicKey

PROMOTION = "recloser-promotion/1"
"""Kind of the signed archive that carries an offer and the package."""
ORIGIN = "origin"
ORIGIN_TYPE = "urn:recloser:origin:1"
"""The statement beside an accepted package that keeps every offer on its way."""
STATES = ("accepted", "champion")
"""How far a release may have come in the stage that offers it, least first."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A release, offered by one stage to another until a date.

    Attributes:
        release, digest: of the package.
        project: that offers it.
        stage, to: from which stage to which.
        state: how far it came there, one of `STATES`.
        offered_by, reason: who offers it, and why.
        offered_at, expires_at: aware UTC; from `expires_at` on nobody may accept it.
        evidence_digest: of the gate's verdict.
        people: who is behind the release there: askers, authors, givers of waivers.
    """

    release: str
    digest: str
    project: str
    stage: str
    to: str
    state: str
    offered_by: str
    reason: str
    offered_at: datetime
    expires_at: datetime
    evidence_digest: str
    people: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form: the facts of the archive's signed card."""
        return {
            "release": self.release,
            "digest": self.digest,
            "project": self.project,
            "from": self.stage,
            "to": self.to,
            "state": self.state,
            "offered_by": self.offered_by,
            "reason": self.reason,
            "offered_at": format_utc(self.offered_at),
            "expires_at": format_utc(self.expires_at),
            "evidence_digest": self.evidence_digest,
            "people": list(self.people),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> Offer:
        """Read what `to_dict` wrote.

        Raises:
            Refused: a part is missing or of another form.
        """
        try:
            return cls(
                release=str(data["release"]),
                digest=str(data["digest"]),
                project=str(data["project"]),
                stage=str(data["from"]),
                to=str(data["to"]),
                state=str(data["state"]),
                offered_by=str(data["offered_by"]),
                reason=str(data["reason"]),
                offered_at=parse_utc(str(data["offered_at"]), where),
                expires_at=parse_utc(str(data["expires_at"]), where),
                evidence_digest=str(data["evidence_digest"]),
                people=tuple(str(name) for name in data["people"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise refused("an unreadable offer of a release", where, got=str(error)[:100]) from error


@dataclass(frozen=True, slots=True)
class Link:
    """One offer that was accepted: what was said, the envelope in which it was signed, and who took it when."""

    offer: Offer
    envelope: bytes
    signed_by: str
    accepted_by: str
    accepted_at: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form, the signed envelope included."""
        return {
            **self.offer.to_dict(),
            "signed_by": self.signed_by,
            "accepted_by": self.accepted_by,
            "accepted_at": format_utc(self.accepted_at),
            "envelope": json.loads(self.envelope),
        }

    @property
    def key(self) -> str:
        """Return what tells this offer from every other, however often it is accepted."""
        return digest_of(json.loads(self.envelope))

    def verify(self, keys: Sequence[PublicKey], where: str) -> None:
        """Verify the envelope with the keys of the stage that offered, and that it says what the link says.

        Raises:
            Refused: signed by nobody trusted, by a revoked key, or it says something else.
        """
        sealed = unseal(self.envelope, KIND, keys, where)
        if sealed.payload.get("facts") != self.offer.to_dict() or sealed.key_id != self.signed_by:
            raise refused("a link that says something else than its signed offer", where, got=self.offer.stage)


def read_chain(predicate: Mapping[str, Any] | None, digest: str, where: str) -> tuple[Link, ...]:
    """Return the links of a package's origin, oldest first; none where it was made in the project that has it.

    Raises:
        Refused: not readable, about another package, or a stage does not follow from the one before.
    """
    rows = [] if predicate is None else predicate.get("chain")
    if not isinstance(rows, list):
        raise refused("an origin without a chain", where)
    links = tuple(_link(row, where) for row in rows)
    for before, after in pairwise(links):
        if before.offer.to != after.offer.stage:
            raise refused("a chain with a gap", where, got=f"{before.offer.to}, then {after.offer.stage}")
    if any(link.offer.digest != digest for link in links):
        raise refused("a chain about another package", where, expected=digest)
    return links


def _link(row: Any, where: str) -> Link:
    if not isinstance(row, dict):
        raise refused("an unreadable link", where)
    try:
        return Link(
            Offer.from_dict(row, where),
            canonical_json(row["envelope"]),
            str(row["signed_by"]),
            str(row["accepted_by"]),
            parse_utc(str(row["accepted_at"]), where),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise refused("an unreadable link", where, got=str(error)[:100]) from error
