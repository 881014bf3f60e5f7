"""Owns whose packages a project accepts, as its folder of keys says now. Grants and revokes nothing."""

from __future__ import annotations

from pathlib import Path

from recloser.core import Refused
from recloser.ledger import Ledger, StateRecord
from recloser.registry import REVOKED, PublicKey, load_revocations, load_trusted

REVOCATIONS = "keys.revocations"
"""Key of the StateRecord that remembers the serial of the newest revocation list."""

Stamp = tuple[tuple[str, int, int], ...]


class ProjectTrust:
    """The trusted keys of a project, read again when its folder of keys changed.

    The ledger remembers how far revocation had come, so that an older list put back, or a list taken away, is refused:
    everything that needs a package then stops until it is restored.

    Args:
        folder: folder of keys.
        ledger: what remembers the newest serial.

    Raises:
        InvalidInput: no key.
        Refused: see `keys`.
    """

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self._folder = folder
        self._ledger = ledger
        self._stamp = _stamp(folder)
        self._keys = self._read()

    def keys(self) -> tuple[PublicKey, ...]:
        """Return the keys, revoked ones marked.

        Raises:
            Refused: the revocation list is damaged, gone, or older than the one that the ledger knows.
        """
        stamp = _stamp(self._folder)
        if stamp != self._stamp:
            self._keys = self._read()
            self._stamp = stamp
        return self._keys

    def revoked(self, key_id: str) -> bool:
        """Tell whether a key no longer counts."""
        return any(key.key_id == key_id and key.revoked for key in self.keys())

    def _read(self) -> tuple[PublicKey, ...]:
        keys = load_trusted([self._folder])
        known = self._ledger.get(StateRecord, REVOCATIONS)
        least = 0 if known is None else int(known.state["serial"])
        serial = load_revocations(self._folder, keys).serial
        if serial < least:
            raise Refused(
                "an older revocation list than the one in force",
                got=f"serial {serial}",
                expected=f"serial {least}",
                where=str(self._folder / REVOKED),
                next_step="Restore the newest list from a backup, and find out who put the old one there.",
            )
        return keys


def _stamp(folder: Path) -> Stamp:
    found = []
    for path in sorted(folder.iterdir()):
        if path.name == REVOKED or path.suffix == ".pub":
            state = path.lstat()
            found.append((path.name, state.st_mtime_ns, state.st_size))
    return tuple(found)
