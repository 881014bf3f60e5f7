"""Owns signed archives: a bundle for a place without network, or a backup. Installs nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from recloser.core import InvalidInput, Refused, Unavailable
from recloser.registry.shipping.archive import BLOCK, Content, first_entry, write_tar
from recloser.registry.trust.envelope import refused, seal, unseal
from recloser.registry.trust.keys import PublicKey, Signer

BUNDLE = "bundle.json"
KIND = "application/vnd.recloser.bundle+json"
FORMAT = "recloser-bundle/1"
BACKUP = "recloser-backup/1"
LARGEST_CARD = 2**20
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class BundleCard:
    """What a verified bundle says about itself.

    Attributes:
        facts: as given to `write_bundle`: interpreter, platform, releases, wheels.
        key_id: trusted key that signed it.
    """

    facts: Mapping[str, Any]
    key_id: str


def write_bundle(
    target: Path, files: Mapping[str, Content], facts: Mapping[str, Any], signer: Signer, kind: str = FORMAT
) -> str:
    """Write a bundle and return the SHA-256 of the file; it appears whole or not at all. Same in, same out.

    The first entry is a signed card with size and SHA-256 of every byte that follows it.

    Args:
        target: the file; one of that name is replaced.
        files: content by path.
        facts: JSON-ready facts for the card.
        signer: who vouches for it.
        kind: FORMAT, BACKUP or another; the one is not taken for the other.

    Raises:
        Unavailable: it cannot be written.
    """
    rest, part = (target.with_name(f".{target.name}.{os.getpid()}.{word}") for word in ("rest", "part"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with rest.open("wb") as stream:
            write_tar(stream, dict(sorted(files.items())))
        with rest.open("rb") as stream:
            sha256, size = _digest(stream)
        card = seal(KIND, {"format": kind, "facts": facts, "rest": {"sha256": sha256, "size": size}}, signer)
        with part.open("wb") as out, rest.open("rb") as stream:
            out.write(first_entry(BUNDLE, card))
            shutil.copyfileobj(stream, out, _CHUNK)
            out.flush()
            os.fsync(out.fileno())
        part.replace(target)
        with target.open("rb") as stream:
            return _digest(stream)[0]
    except OSError as error:
        raise Unavailable("the bundle cannot be written", got=error.strerror, where=str(target)) from error
    finally:
        for leftover in (rest, part):
            leftover.unlink(missing_ok=True)


def check_bundle(file: Path, trusted: Sequence[PublicKey], kind: str = FORMAT) -> BundleCard:
    """Verify every byte of a bundle of that kind and return its card.

    Raises:
        Refused: not a bundle, signed by nobody trusted or by a revoked key, or changed anywhere.
        Unavailable: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            sealed = unseal(_card(stream, str(file)), KIND, trusted, f"{file}:{BUNDLE}")
            sha256, size = _digest(stream)
    except OSError as error:
        raise Unavailable("the bundle cannot be read", got=error.strerror, where=str(file)) from error
    payload = sealed.payload
    if payload.get("format") != kind or not isinstance(payload.get("facts"), dict):
        raise refused("an archive of another kind", str(file), got=payload.get("format"), expected=kind)
    if payload.get("rest") != {"sha256": sha256, "size": size}:
        raise refused("a changed bundle", str(file), got=f"{size} bytes, {sha256[:16]}", expected=str(payload["rest"]))
    return BundleCard(payload["facts"], sealed.key_id)


def card_bytes(file: Path) -> bytes:
    """Return the signed card of an archive as it lies there; nothing is verified.

    Raises:
        Refused: not a bundle.
        Unavailable: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return _card(stream, str(file))
    except OSError as error:
        raise Unavailable("the bundle cannot be read", got=error.strerror, where=str(file)) from error


def peek_keys(file: Path, folder: str = "keys/") -> dict[str, bytes]:
    """Return the public keys in a folder of a bundle, by file name; nothing is verified, nobody is trusted by it.

    Raises:
        Refused: not an archive.
        Unavailable: it cannot be read.
    """
    try:
        with tarfile.open(file, "r:") as archive:
            found = [item for item in archive if item.isfile() and item.name.startswith(folder)]
            names = [item for item in found if item.name.endswith(".pub") and item.size < LARGEST_CARD]
            return {item.name.removeprefix(folder): _content(archive, item) for item in names}
    except tarfile.TarError as error:
        raise refused("not a bundle", str(file), got=str(error)[:100]) from error
    except OSError as error:
        raise Unavailable("the bundle cannot be read", got=error.strerror, where=str(file)) from error


def unpack_bundle(file: Path, target: Path) -> None:
    """Unpack a bundle that `check_bundle` has accepted into a folder that is absent or empty.

    Raises:
        InvalidInput: the folder holds something.
        Refused: an entry would leave the folder, or is a link or a device.
        Unavailable: it cannot be written.
    """
    try:
        if target.exists() and any(target.iterdir()):
            raise InvalidInput("the folder is not empty", where=str(target), next_step="Choose a new folder.")
        target.mkdir(parents=True, exist_ok=True)
        with tarfile.open(file, "r:") as archive:
            archive.extractall(target, filter="data")
    except tarfile.TarError as error:
        raise Refused("a bundle with an unsafe entry", got=str(error)[:200], where=str(file)) from error
    except OSError as error:
        raise Unavailable("the bundle cannot be unpacked", got=error.strerror, where=str(target)) from error


def _card(stream: IO[bytes], where: str) -> bytes:
    head = stream.read(BLOCK)
    try:
        size = int(head[124:135], 8)
    except ValueError as error:
        raise refused("not a bundle", where) from error
    if len(head) < BLOCK or size > LARGEST_CARD:
        raise refused("not a bundle", where)
    body = stream.read(-(-size // BLOCK) * BLOCK)
    if first_entry(BUNDLE, body[:size]) != head + body:
        raise refused("a changed bundle", where, got="another first entry", expected=BUNDLE)
    return body[:size]


def _content(archive: tarfile.TarFile, item: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(item)
    return b"" if stream is None else stream.read()


def _digest(stream: IO[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
