"""Owns what a dossier says of the stages that a release came through. Pure, no I/O."""

from __future__ import annotations

from recloser.registry.dossier.facts import Block, table, text
from recloser.registry.package import Package
from recloser.registry.shipping.promotion import ORIGIN, read_chain

HEAD = ("from", "to", "project", "state there", "offered by", "when", "why", "signed by", "accepted by", "accepted")


def stage_blocks(package: Package) -> list[Block]:
    """Return the way of a package through other stages; nothing where it was made in this project.

    Raises:
        Refused: its origin cannot be read.
    """
    said = package.attestation(ORIGIN)
    if said is None:
        return []
    links = read_chain(said.predicate, package.digest, package.release)
    rows = [
        [
            link.offer.stage,
            link.offer.to,
            link.offer.project,
            link.offer.state,
            link.offer.offered_by,
            link.offer.offered_at,
            link.offer.reason,
            link.signed_by,
            link.accepted_by,
            link.accepted_at,
        ]
        for link in links
    ]
    told = "It was not made in this project. Each stage below signed that it offers these very bytes with this verdict:"
    return [text(told), table(HEAD, rows)]
