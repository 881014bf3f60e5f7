"""Owns the verbs of a bundle: write it here, verify it, install it where there is no network."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recloser.app.platform import Platform
from recloser.app.project.settings import FILE_NAME
from recloser.app.releases.packages import key_files, package_files, released
from recloser.core import InvalidInput, Refused
from recloser.ledger import ReleaseRecord, RouteRecord
from recloser.registry import PublicKey, load_trusted
from recloser.registry.content.lock import LOCK_NAME, load_lock, shipped_lock, write_lock
from recloser.registry.shipping.archive import Content
from recloser.registry.shipping.bundle import BundleCard, check_bundle, peek_keys, unpack_bundle, write_bundle
from recloser.registry.shipping.installing import ask_installed, install_environment, python_tag
from recloser.registry.shipping.wheelhouse import chosen_wheels, fetch_wheels, find_own, own_wheel

README = """\
A Recloser bundle: wheels, signed packages, public keys and documentation, for a place without a network.

With Recloser at hand:   recloser bundle install FILE --into FOLDER --key-id KEY
Without:                 unpack it with tar, make a virtual environment, and let pip install from `wheels` alone
                         (PIP_NO_INDEX=1, PIP_FIND_LINKS=wheels), by `requirements.lock` with --require-hashes; then
                         verify the archive itself with the program so gained: recloser bundle verify FILE --key-id KEY
KEY must reach you by another way than this archive: on paper, or read out by telephone.
"""


def make_bundle(folder: Path, *, out: Path, releases: Sequence[str], wheels: Path | None) -> dict[str, Any]:
    """Write one signed archive of wheels, packages, keys, documentation and the project's files.

    Args:
        folder: project.
        out: the archive.
        releases: which; empty for what serves (champion, canary, fallback releases).
        wheels: folder with a wheel for every pin of the lock; None: pip fetches them.

    Returns:
        {"out", "sha256", "releases", "wheels", "bytes", "key", "sentence"}.

    Raises:
        InvalidInput: nothing serves and no release is named, no lock, or a wheel is missing.
        Unavailable: pip cannot fetch, or the archive cannot be written.
    """
    with Platform.open(folder) as platform, tempfile.TemporaryDirectory(prefix="recloser-wheels-") as scratch:
        chosen = [released(platform, name) for name in (releases or _serving(platform))]
        if not chosen:
            raise InvalidInput("no release to bundle", where=str(folder), next_step="Name one with --release.")
        found = _wheels(platform, wheels, Path(scratch))
        files: dict[str, Content] = {f"wheels/{path.name}": path for path in found}
        for package in chosen:
            files |= {f"packages/{package.release}/{name}": data for name, data in package_files(package).items()}
        files |= {f"keys/{name}": content for name, content in key_files(platform).items()}
        files |= {f"project/{name}": content for name, content in _project_files(platform).items()}
        files |= {f"docs/{name}": content for name, content in _documentation().items()}
        files |= {"README.txt": README.encode(), LOCK_NAME: write_lock(load_lock(_lock(platform)))}
        names = [package.release for package in chosen]
        facts = {"python": python_tag(), "platform": platform.environment.platform, "releases": names}
        sha256 = write_bundle(out, files, {**facts, "wheels": len(found)}, platform.signer)
        key = platform.signer.public_key.key_id
    return {
        "out": str(out),
        "sha256": sha256,
        "releases": names,
        "wheels": len(found),
        "bytes": out.stat().st_size,
        "key": key,
        "sentence": f"{out}: {len(names)} releases, {len(found)} wheels, signed by {key}. "
        "Tell that key by another way than the archive.",
    }


def verify_bundle(file: Path, *, keys: Path | None, key_id: str | None) -> dict[str, Any]:
    """Verify every byte of a bundle.

    Returns:
        {"ok", "signed_by", "releases", "wheels", "python", "platform"}.

    Raises:
        InvalidInput: neither keys nor a key id is given.
        Refused: it does not verify.
    """
    card = _checked(file, keys, key_id)
    told = {name: card.facts.get(name) for name in ("releases", "wheels", "python", "platform")}
    return {"ok": True, "signed_by": card.key_id, **told}


def install_bundle(file: Path, *, into: Path, keys: Path | None, key_id: str | None) -> dict[str, Any]:
    """Install a bundle into a new folder without any network, and let the installed program prove itself.

    The folder then holds venv, packages, keys, docs and project. Every package is verified and its golden rows are
    scored by the installed program.

    Returns:
        {"into", "signed_by", "program", "proved": [{"release", "golden", "reason"}], "sentence"}.

    Raises:
        InvalidInput: the folder is not empty, or nobody is trusted.
        Refused: the bundle does not verify, is for another Python, or a package does not answer as recorded.
        Unavailable: pip fails.
    """
    card = _checked(file, keys, key_id)
    unpack_bundle(file, into)
    programs = install_environment(into, card.facts)
    proved = []
    for path in sorted((into / "packages").iterdir()):
        told = ask_installed(programs, ["package", "score", str(path), "--keys", str(into / "keys")])
        if not told.get("golden"):
            reason = str(told.get("reason") or told.get("what"))
            raise Refused("the installed program does not answer as recorded", got=reason, where=path.name)
        proved.append({"release": told["release"], "golden": True, "reason": told["reason"]})
    program = str(programs / "recloser")
    return {
        "into": str(into),
        "signed_by": card.key_id,
        "program": program,
        "proved": proved,
        "sentence": f"installed into {into}: {len(proved)} packages answer as recorded. Next: {program} doctor",
    }


def _checked(file: Path, keys: Path | None, key_id: str | None) -> BundleCard:
    return check_bundle(file, trusted_of(file, keys, key_id))


def trusted_of(file: Path, keys: Path | None, key_id: str | None, inside: str = "keys/") -> tuple[PublicKey, ...]:
    """Return the keys of a folder, or the one inside the archive whose id came by another way.

    Args:
        file: the archive.
        keys: file or folder of public keys.
        key_id: of the one key to trust.
        inside: where the archive keeps public keys.

    Raises:
        InvalidInput: neither is given.
        Refused: the archive holds no key of that id.
    """
    if keys is not None:
        return load_trusted([keys])
    if key_id is None:
        raise InvalidInput(
            "nobody is trusted",
            expected="--keys FOLDER or --key-id KEY, which reached you by another way than the archive",
            next_step="Ask whoever made the archive for its key.",
        )
    with tempfile.TemporaryDirectory(prefix="recloser-keys-") as scratch:
        for name, content in peek_keys(file, inside).items():
            path = Path(scratch) / Path(name).name
            path.write_bytes(content)
            key = PublicKey.from_file(path)
            if key.key_id == key_id:
                return (key,)
    raise Refused("the archive holds no key of that id", got=key_id, where=str(file))


def _serving(platform: Platform) -> list[str]:
    route = platform.ledger.get(RouteRecord, "route")
    names = () if route is None else (route.champion, route.canary, route.shadow, *route.fallback)
    return [name for name in dict.fromkeys(names) if name and platform.ledger.get(ReleaseRecord, name) is not None]


def _lock(platform: Platform) -> Path:
    lock = platform.project.package.lock
    path = shipped_lock() if lock is None else platform.layout.root / lock
    if path is None:
        raise InvalidInput("there is no lock", where="[package] lock", next_step="Name a lock with hashes there.")
    return path


def _wheels(platform: Platform, given: Path | None, scratch: Path) -> list[Path]:
    """Return the wheels of the lock and Recloser's own."""
    pins = load_lock(_lock(platform))
    if given is None:
        fetch_wheels(pins, scratch)
    folder = given or scratch
    own = find_own(folder) if any(folder.glob("recloser-*.whl")) else own_wheel(scratch)
    return [own, *chosen_wheels(pins, folder).values()]


def _project_files(platform: Platform) -> dict[str, bytes]:
    paths = (platform.layout.root / FILE_NAME, platform.layout.pipeline_file)
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def _documentation() -> dict[str, bytes]:
    """Return the documentation that lies beside Recloser: in the installed package, or in its source tree."""
    room = Path(__file__).parents[2]
    folder = next((place for place in (room / "docs", room.parents[1] / "docs") if place.is_dir()), None)
    files = [] if folder is None else sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(str(folder)).as_posix(): path.read_bytes() for path in files}
