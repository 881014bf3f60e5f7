"""Owns taking a backup while the project works, and verifying one. Restores nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from recloser import __version__
from recloser.app.backup.staging import STAGING, stage
from recloser.app.clock import SystemClock
from recloser.app.project.layout import Layout
from recloser.app.project.settings import load_project
from recloser.app.releases.bundles import trusted_of
from recloser.core import InvalidInput, format_utc
from recloser.ledger import Ledger
from recloser.registry import own_key
from recloser.registry.shipping.bundle import BACKUP, BundleCard, check_bundle, write_bundle

KEYS = "state/keys/"
LEDGER = "state/ledger.db"
PLAIN = 0o644
"""Permissions of a file that the card of a backup does not name."""


def write_backup(folder: Path, *, out: Path, private: bool, actor: str) -> dict[str, Any]:
    """Write one signed archive of a whole project, also while its processes work; it appears whole or not at all.

    The ledger comes first, as of one moment, verified; then what it may refer to. A second backup of the same project
    at the same time waits for nobody: it is Unavailable.

    Args:
        folder: project.
        out: the archive; one of that name is replaced. It is readable by its owner only.
        private: with the private signing key; without, packages still verify but nothing new can be signed.
        actor: who asks; it goes into the audit log.

    Returns:
        {"out", "sha256", "bytes", "files", "entries", "head", "private_key", "key", "sentence"}.

    Raises:
        InvalidInput: no project.
        Refused: the ledger does not verify.
        Unavailable: something cannot be read or written now.
    """
    project, layout, clock = load_project(folder), Layout(folder), SystemClock()
    if not layout.state.is_dir():
        raise InvalidInput("the project has no state yet", where=str(folder), next_step="Run: recloser ingest")
    signer = own_key(layout.key)
    with Ledger.open(layout.ledger_at(project.ledger.url, project.ledger.url_file)) as ledger, ledger.hold("backup"):
        with _staging(layout) as staging:
            copy = staging / LEDGER
            copy.parent.mkdir(parents=True)
            with Ledger.open(f"sqlite:///{copy.resolve()}") as copied:
                proved = ledger.copy_to(copied)
            files = stage(layout, staging, private=private)
            files.pop(_inside(out, layout), None)
            facts = {
                "recloser": __version__,
                "project": project.project.name,
                "at": format_utc(clock.now()),
                "entries": proved.entries,
                "head": proved.head,
                "private_key": private,
                "modes": _modes(layout, files),
            }
            sha256 = write_bundle(out, {**files, LEDGER: copy}, facts, signer, BACKUP)
            out.chmod(0o600)
        with ledger.change(actor, clock.now()) as change:
            change.note("backup.write", project.project.name, {"sha256": sha256, "head": proved.head, "out": out.name})
    key = signer.public_key.key_id
    return {
        "out": str(out),
        "sha256": sha256,
        "bytes": out.stat().st_size,
        "files": len(files) + 1,
        "entries": proved.entries,
        "head": proved.head,
        "private_key": private,
        "key": key,
        "sentence": f"{out}: {len(files) + 1} files, {proved.entries} audit entries, signed by {key}. "
        + ("It holds the private signing key: keep it as safe as that. " if private else "")
        + "Keep the key's id and the head of the audit log apart from the archive.",
    }


def verify_backup(file: Path, *, keys: Path | None, key_id: str | None) -> dict[str, Any]:
    """Verify every byte of a backup.

    Returns:
        {"ok", "signed_by", "project", "at", "recloser", "entries", "head", "private_key"}.

    Raises:
        InvalidInput: neither keys nor a key id is given.
        Refused: it does not verify.
    """
    card = checked(file, keys, key_id)
    told = ("project", "at", "recloser", "entries", "head", "private_key")
    return {"ok": True, "signed_by": card.key_id, **{name: card.facts.get(name) for name in told}}


def checked(file: Path, keys: Path | None, key_id: str | None) -> BundleCard:
    """Return the card of a backup whose every byte verifies.

    Raises:
        InvalidInput, Refused, Unavailable: as `verify_backup`, or it cannot be read.
    """
    return check_bundle(file, trusted_of(file, keys, key_id, KEYS), BACKUP)


def _inside(out: Path, layout: Layout) -> str:
    """Return the path that the archive itself has in the project, '' if it lies elsewhere."""
    place, root = out.resolve(), layout.root.resolve()
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else ""


def _modes(layout: Layout, names: Iterable[str]) -> dict[str, int]:
    """Return the permissions of the files that have others than those everybody may read and their owner write."""
    found = {}
    for name in names:
        with suppress(FileNotFoundError):  # it is in the picture and has gone or has got another name since
            mode = (layout.root / name).stat().st_mode & 0o777
            if mode != PLAIN:
                found[name] = mode
    return found


@contextmanager
def _staging(layout: Layout) -> Iterator[Path]:
    """Yield an empty folder on the disk of the state; what a killed backup left there goes first."""
    folder = layout.state / STAGING
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
