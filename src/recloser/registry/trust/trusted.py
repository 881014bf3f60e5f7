"""Owns reading whom a project trusts: public keys in a folder, less what its revocation list takes away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from recloser.core import InvalidInput
from recloser.registry.trust.keys import PublicKey, Signer, read_key_file, replace_file
from recloser.registry.trust.revocation import REVOKED, RevocationList, read_revocations, write_revocations


def load_trusted(paths: Iterable[Path]) -> tuple[PublicKey, ...]:
    """Read the trusted public keys: each path is a PEM file, or a folder of which every '*.pub' file counts.

    A revocation list in a folder marks its keys as revoked: they are still returned, to be told from unknown ones,
    but nothing that they signed counts.

    Raises:
        InvalidInput: no key at all, or a file that is none.
        Refused: a revocation list that is damaged or not signed by one of the keys.
        Unavailable: a path cannot be read.
    """
    given = [Path(path) for path in paths]
    files = [file for path in given for file in (sorted(path.glob("*.pub")) if path.is_dir() else [path])]
    if not files:
        raise InvalidInput(
            "no trusted public key",
            got=[str(path) for path in given],
            expected="at least one '*.pub' file",
            next_step="Create a key, or copy the signer's '.pub' file there.",
        )
    keys = {key.key_id: key for key in map(PublicKey.from_file, files)}
    found = [keys[name] for name in sorted(keys)]
    lists = [load_revocations(path, found) for path in given if path.is_dir()]
    return tuple(replace(key, revoked=_why(key, lists)) for key in found)


def load_revocations(folder: Path, keys: Sequence[PublicKey]) -> RevocationList:
    """Return the revocation list of a folder of keys; an empty one where there is none.

    Raises:
        Refused: damaged, or not signed by one of the keys.
    """
    path = folder / REVOKED
    if not path.exists() and not path.is_symlink():
        return RevocationList()
    return read_revocations(read_key_file(path), [replace(key, revoked="") for key in keys], str(path))


def save_revocations(folder: Path, revocations: RevocationList, signer: Signer) -> None:
    """Write the signed list into a folder of keys, in place of the one before, whole or not at all.

    Raises:
        InvalidInput: the signer's own key is on it.
        Unavailable: the folder cannot be written.
    """
    replace_file(folder / REVOKED, write_revocations(revocations, signer), mode=0o644)


def _why(key: PublicKey, lists: Sequence[RevocationList]) -> str:
    return next((why for known in lists if (why := known.why(key.key_id))), "")
