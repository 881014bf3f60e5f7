"""Owns making a project of a backup, in a new folder and an empty ledger. Takes nothing over and starts nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recloser.app.backup.writing import LEDGER, PLAIN, checked
from recloser.app.clock import SystemClock
from recloser.app.project.layout import Layout
from recloser.app.project.settings import load_project
from recloser.core import InvalidInput, Refused, Unavailable
from recloser.ledger import Ledger
from recloser.registry.shipping.bundle import BUNDLE, BundleCard, unpack_bundle

_SECRET = ("signing.pem", "tokens.json")


def restore_backup(
    file: Path, *, into: Path, keys: Path | None, key_id: str | None, ledger: str | None, actor: str
) -> dict[str, Any]:
    """Restore a project into a folder that is absent or empty; the folder appears whole or not at all.

    A ledger on a server is filled only if it is empty. Killed in between, the call can be repeated.

    Args:
        file: the archive.
        into: folder of the project.
        keys: public keys to trust, a file or folder.
        key_id: or the id of the one key to trust, as told by another way than the archive.
        ledger: URL to restore the ledger to; None: where the project file says.
        actor: who asks; it goes into the audit log of the restored ledger.

    Returns:
        {"into", "signed_by", "at", "entries", "head", "private_key", "ledger", "sentence"}.

    Raises:
        InvalidInput: the folder is not empty, or nobody is trusted.
        Refused: the archive does not verify, or the ledger to fill holds something else.
        Unavailable: disk or database cannot be used now.
    """
    card = checked(file, keys, key_id)
    if into.exists() and any(into.iterdir()):
        raise InvalidInput("the folder is not empty", where=str(into), next_step="Choose a new folder.")
    part = into.resolve().with_name(f".{into.resolve().name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        unpack_bundle(file, part)
        (part / BUNDLE).unlink()
        _set_modes(part, card.facts.get("modes", {}))
        named = load_project(part).ledger
        url = ledger or (Layout(part).ledger_at(named.url, named.url_file) if named.url or named.url_file else None)
        if url is not None:
            _fill(part / LEDGER, url, card)
            (part / LEDGER).unlink()
        os.sync()
        if into.exists():
            into.rmdir()
        part.replace(into)
    except OSError as error:
        raise Unavailable("the backup cannot be restored", got=str(error), where=str(into)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    entries, head = _told(url or Layout(into).ledger_url, card, actor)
    return {
        "into": str(into),
        "signed_by": card.key_id,
        "at": card.facts["at"],
        "entries": entries,
        "head": head,
        "private_key": card.facts["private_key"],
        "ledger": "server" if url is not None else "embedded",
        "sentence": f"{into}: {entries} audit entries as of {card.facts['at']}; the ledger verifies. "
        + ("" if ledger is None else "Name that ledger in recloser.toml, `[ledger] url`. ")
        + ("" if card.facts["private_key"] else "Put the private signing key back before the next run. ")
        + f"Next: recloser doctor --project {into}",
    }


def _set_modes(folder: Path, modes: Mapping[str, int]) -> None:
    """Give files the permissions they had; secrets and databases are their owner's alone, whatever they had."""
    for path in folder.rglob("*"):
        if path.is_file():
            mode = modes.get(path.relative_to(folder).as_posix(), PLAIN) | 0o600
            path.chmod(mode & 0o700 if path.name in _SECRET or path.name.endswith(".db") else mode)
    secrets = folder / "state" / "keys"
    if secrets.is_dir():
        secrets.chmod(0o700)


def _fill(copy: Path, url: str, card: BundleCard) -> None:
    with Ledger.open(f"sqlite:///{copy.resolve()}") as source, Ledger.open(url) as target:
        if target.verify().head != card.facts["head"]:  # it was filled before this was killed
            source.copy_to(target)
    for leftover in copy.parent.glob(f"{copy.name}-*"):
        leftover.unlink()


def _told(url: str, card: BundleCard, actor: str) -> tuple[int, str]:
    """Prove the restored ledger and write into it that it was restored; return its entries and head as restored."""
    with Ledger.open(url) as restored:
        found = restored.verify()
        if not found.ok or found.head != card.facts["head"]:
            raise Refused(
                "the restored ledger is not the one that was backed up",
                got=found.reason or found.head,
                expected=card.facts["head"],
                where=url.rsplit("@", maxsplit=1)[-1],
            )
        with restored.change(actor, SystemClock().now()) as change:
            change.note("backup.restore", str(card.facts["project"]), {"at": card.facts["at"], "head": found.head})
    return found.entries, found.head
