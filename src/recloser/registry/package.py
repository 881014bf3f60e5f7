"""Owns opening a package: nothing of it is used before every byte is verified. Does not build or load models."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recloser.core import Refused, Unavailable, digest_bytes
from recloser.registry.facts import PackageFacts
from recloser.registry.manifest import (
    MANIFEST,
    RELEASE,
    SIGNATURE,
    FileEntry,
    check_signature,
    read_manifest,
)
from recloser.registry.trust.attestation import Attestation, attestation_name, attestation_path, read_attestation
from recloser.registry.trust.keys import PublicKey

_MANIFEST_LIMIT = 16 * 2**20
_CHUNK = 2**20
_NEXT = "Do not use this package; fetch or build it again, and find out who changed it."


@dataclass(frozen=True, slots=True)
class Package:
    """A verified release on disk.

    Attributes:
        release: 'rel-' and the first 12 hex digits of the digest; also the folder's name.
        digest: SHA-256 of the manifest (64 hex digits), which covers every file but manifest and signature.
        path: the folder.
        facts: what release.json says.
        files: every listed file, sorted by path.
        key_id: trusted key that signed it; empty for one opened by its digest.
        attestations: signed statements about it that lie beside the manifest, sorted by name.
    """

    release: str
    digest: str
    path: Path
    facts: PackageFacts
    files: tuple[FileEntry, ...]
    key_id: str
    attestations: tuple[Attestation, ...] = ()

    def attestation(self, name: str) -> Attestation | None:
        """Return the statement of that name, None without one."""
        return next((known for known in self.attestations if known.name == name), None)

    @property
    def model_folder(self) -> Path:
        """Return the folder that `recloser.models.load_model` reads."""
        return self.path / "model"

    def read_bytes(self, path: str) -> bytes:
        """Return the content of a listed file, verified again at this reading.

        Raises:
            Refused: not listed, or changed since the package was opened.
        """
        for entry in self.files:
            if entry.path == path:
                return read_verified(self.path, entry)
        raise Refused("the package has no such file", got=path, where=str(self.path))


def release_name(digest: str) -> str:
    """Return the release id of a package digest."""
    return f"rel-{digest[:12]}"


def open_package(path: Path, trusted: Sequence[PublicKey]) -> Package:
    """Verify a package wholly and return it: signature first, then that nothing else is there, then every file.

    Raises:
        Unavailable: the folder is not there or cannot be read.
        Refused: unknown or revoked key, wrong signature, an attestation that does not verify; a changed, added,
            missing, renamed, linked or non-regular file, an unsafe manifest path, or a folder name that is not the
            release id; `where` names the file.
    """
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise _refused("a package must be a plain folder", path, got="a link or another kind of file")
        return _verify(path, trusted)
    except OSError as error:
        raise Unavailable("a package cannot be read", got=error.strerror, where=str(path)) from error


def open_pinned(path: Path, digest: str) -> Package:
    """Verify a package wholly against a digest from a place that is trusted, and return it without attestations.

    For where no keys are: who names the digest has checked the signature.

    Args:
        path: the folder.
        digest: SHA-256 of its manifest (64 hex digits).

    Raises:
        Unavailable, Refused: as `open_package`, but that signature and attestations are not looked at.
    """
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise _refused("a package must be a plain folder", path, got="a link or another kind of file")
        manifest = _read_small(path, MANIFEST)
        if digest_bytes(manifest) != digest:
            raise _refused("another package", path, got=digest_bytes(manifest)[:16], expected=digest[:16])
        facts, entries = _verify_files(path, manifest)
    except OSError as error:
        raise Unavailable("a package cannot be read", got=error.strerror, where=str(path)) from error
    return Package(release_name(digest), digest, path, facts, entries, "")


def _verify(path: Path, trusted: Sequence[PublicKey]) -> Package:
    manifest = _read_small(path, MANIFEST)
    key = check_signature(manifest, _read_small(path, SIGNATURE), trusted, str(path / SIGNATURE))
    digest = digest_bytes(manifest)
    facts, entries = _verify_files(path, manifest)
    names = {name for name in map(attestation_name, walk(path)) if name is not None}
    said = tuple(_attestation(path, name, digest, trusted) for name in sorted(names))
    return Package(release_name(digest), digest, path, facts, entries, key.key_id, said)


def _verify_files(path: Path, manifest: bytes) -> tuple[PackageFacts, tuple[FileEntry, ...]]:
    """Return facts and files of a package whose manifest is trusted, once every file is as it says and no other is."""
    entries = read_manifest(manifest, str(path / MANIFEST))
    digest = digest_bytes(manifest)
    if path.name != release_name(digest):
        raise _refused("a renamed package", path, got=path.name, expected=release_name(digest))
    listed = {entry.path for entry in entries} | {MANIFEST, SIGNATURE}
    found = set(walk(path))
    names = {name for name in map(attestation_name, found) if name is not None}
    found -= {attestation_path(name) for name in names}
    if found - listed:
        raise _refused("a file that the manifest does not list", path / min(found - listed))
    if listed - found:
        raise _refused("a file is missing", path / min(listed - found))
    contents = {entry.path: read_verified(path, entry, keep=entry.path == RELEASE) for entry in entries}
    if RELEASE not in contents:
        raise _refused("a file is missing", path / RELEASE)
    return PackageFacts.from_bytes(contents[RELEASE], str(path / RELEASE)), entries


def _attestation(path: Path, name: str, digest: str, trusted: Sequence[PublicKey]) -> Attestation:
    file = attestation_path(name)
    return read_attestation(_read_small(path, file), name, digest, trusted, str(path / file))


def walk(folder: Path, prefix: str = "") -> Iterator[str]:
    """Yield the relative POSIX paths of all files below `folder`, sorted.

    Raises:
        Refused: a link, a device, a pipe, a socket, or an empty folder below it.
    """
    with os.scandir(folder / prefix if prefix else folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    if prefix and not entries:
        raise _refused("an empty folder that nothing lists", folder / prefix)
    for entry in entries:
        name = prefix + entry.name
        if entry.is_symlink():
            raise _refused("a symbolic link", folder / name)
        if entry.is_dir(follow_symlinks=False):
            yield from walk(folder, name + "/")
        elif entry.is_file(follow_symlinks=False):
            yield name
        else:
            raise _refused("not a regular file", folder / name)


def read_verified(folder: Path, entry: FileEntry, *, keep: bool = True) -> bytes:
    """Return a file's bytes (none unless `keep`) after comparing size and SHA-256 with its entry.

    Raises:
        Refused: it is a link or not regular, or its content is not the listed one.
    """
    where = folder / entry.path
    digest, parts = hashlib.sha256(), []
    descriptor = _open(where)
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        if size != entry.size:
            raise _refused("a changed file", where, got=f"{size} bytes", expected=f"{entry.size} bytes")
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            if keep:
                parts.append(chunk)
    if digest.hexdigest() != entry.sha256:
        raise _refused("a changed file", where, got=digest.hexdigest()[:16], expected=entry.sha256[:16])
    return b"".join(parts)


def _read_small(folder: Path, name: str) -> bytes:
    try:
        descriptor = _open(folder / name)
    except FileNotFoundError as error:
        raise _refused("a file is missing", folder / name) from error
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(_MANIFEST_LIMIT + 1)
    if len(content) > _MANIFEST_LIMIT:
        raise _refused("a file that is too large", folder / name, expected=f"<= {_MANIFEST_LIMIT} bytes")
    return content


def _open(path: Path) -> int:
    try:
        # NONBLOCK: a pipe put in the place of a file must not hang the reader.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise _refused("a symbolic link", path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _refused("not a regular file", path)
    return descriptor


def _refused(what: str, where: Path, *, got: str | None = None, expected: str | None = None) -> Refused:
    return Refused(what, got=got, expected=expected, where=str(where), next_step=_NEXT)
