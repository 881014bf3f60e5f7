"""Owns the revocation list: which keys no longer count, since when and why. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from recloser.core import InvalidInput, format_utc, parse_utc
from recloser.registry.trust.envelope import refused, seal, unseal
from recloser.registry.trust.keys import PublicKey, Signer

REVOKED = "revoked.json"
KIND = "application/vnd.recloser.revocations+json"


@dataclass(frozen=True, slots=True)
class Revocation:
    """One key that no longer counts.

    Attributes:
        key_id: the key.
        since: from when on (aware UTC) it may have been in wrong hands.
        reason: why, in words.
    """

    key_id: str
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class RevocationList:
    """All revoked keys; every change counts `serial` up, so that an older list put back is noticed."""

    serial: int = 0
    revoked: tuple[Revocation, ...] = ()

    def adding(self, revocation: Revocation) -> RevocationList:
        """Return the next list, with one more key; a key stays revoked.

        Raises:
            InvalidInput: it is revoked already.
        """
        if any(known.key_id == revocation.key_id for known in self.revoked):
            raise InvalidInput("this key is revoked already", got=revocation.key_id)
        together = sorted((*self.revoked, revocation), key=lambda known: known.key_id)
        return RevocationList(self.serial + 1, tuple(together))

    def why(self, key_id: str) -> str:
        """Return since when and why a key is revoked; empty if it is not."""
        for known in self.revoked:
            if known.key_id == key_id:
                return f"revoked since {format_utc(known.since)}: {known.reason}"
        return ""


def write_revocations(revocations: RevocationList, signer: Signer) -> bytes:
    """Return the signed text of a list.

    Raises:
        InvalidInput: the signer's own key is on it.
    """
    if revocations.why(signer.public_key.key_id):
        raise InvalidInput(
            "a revoked key cannot sign the list that revokes it",
            got=signer.public_key.key_id,
            next_step="Run first: recloser key rotate --reason TEXT",
        )
    rows = [{"key": r.key_id, "since": format_utc(r.since), "reason": r.reason} for r in revocations.revoked]
    return seal(KIND, {"serial": revocations.serial, "revoked": rows}, signer)


def read_revocations(content: bytes, keys: Sequence[PublicKey], where: str) -> RevocationList:
    """Return a list that one of `keys`, not itself on it, has signed.

    Raises:
        Refused: damaged, signed by nobody known, or by a key that the list itself revokes.
    """
    sealed = unseal(content, KIND, keys, where)
    try:
        rows = tuple(_row(item, where) for item in sealed.payload["revoked"])
        result = RevocationList(int(sealed.payload["serial"]), rows)
    except (KeyError, TypeError, ValueError) as error:
        raise refused("an unreadable revocation list", where) from error
    if result.why(sealed.key_id):
        raise refused("a revocation list signed by a key that it revokes", where, got=sealed.key_id)
    return result


def _row(item: Any, where: str) -> Revocation:
    return Revocation(str(item["key"]), parse_utc(item["since"], where), str(item["reason"]))
