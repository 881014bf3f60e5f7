"""Owns signing keys: creating, loading with strict permissions, rotating. Does not know what is signed."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from recloser.core import InvalidInput, Refused, Unavailable, digest_bytes

_HEX = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key that a project trusts.

    Attributes:
        raw: the 32 bytes of RFC 8032.
        revoked: since when and why it no longer counts; empty while it does.
    """

    raw: bytes
    revoked: str = ""

    @property
    def key_id(self) -> str:
        """Return 'key-' and 16 hex digits of the SHA-256 of the raw key."""
        return f"key-{digest_bytes(self.raw)[:16]}"

    @classmethod
    def from_file(cls, path: Path) -> PublicKey:
        """Read a PEM public key (as `openssl pkey -pubout` writes it).

        Raises:
            Unavailable: the file cannot be read.
            InvalidInput: it holds no Ed25519 public key.
        """
        try:
            key = load_pem_public_key(read_key_file(path))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise _not_a_key("public", path) from error
        if not isinstance(key, Ed25519PublicKey):
            raise _not_a_key("public", path)
        return cls(key.public_bytes_raw())

    def to_pem(self) -> bytes:
        """Return the key as a PEM SubjectPublicKeyInfo."""
        key = Ed25519PublicKey.from_public_bytes(self.raw)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, content: bytes, signature: str) -> bool:
        """Tell whether `signature` (128 lower-case hex digits) is this key's over `content`."""
        if not _HEX.fullmatch(signature):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(bytes.fromhex(signature), content)
        except InvalidSignature:
            return False
        return True


class Signer(Protocol):
    """Signs with one Ed25519 key, wherever it lives: a file, or a token or HSM behind PKCS#11 (CKM_EDDSA).

    Two members, so that a session of a PKCS#11 library fits as it is. Signing is deterministic (RFC 8032): equal
    content gives equal bytes. May be called from several threads.
    """

    @property
    def public_key(self) -> PublicKey:
        """Return the public half."""
        ...

    def sign(self, content: bytes) -> str:
        """Return the signature over `content` as 128 lower-case hex digits.

        Raises:
            Unavailable: the key cannot be used now.
        """
        ...


class FileSigner:
    """Signs with a private key read from a file; conforms to `Signer`."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self._public_key = PublicKey(private_key.public_key().public_bytes_raw())

    @property
    def public_key(self) -> PublicKey:
        """Return the public half."""
        return self._public_key

    @classmethod
    def from_file(cls, path: Path) -> FileSigner:
        """Read an unencrypted PKCS#8 PEM private key that only its owner may read (mode 0600 or 0400).

        Raises:
            Unavailable: the file cannot be read.
            Refused: group or others may read or write it.
            InvalidInput: it holds no Ed25519 private key.
        """
        try:
            key = load_pem_private_key(read_key_file(path, private=True), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _not_a_key("private", path) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _not_a_key("private", path)
        return cls(key)

    def sign(self, content: bytes) -> str:
        """Return the signature over `content` as 128 lower-case hex digits."""
        return self._private_key.sign(content).hex()


def create_key(path: Path) -> FileSigner:
    """Create a private key at `path` (mode 0600) and its public half beside it with the suffix '.pub'.

    Raises:
        InvalidInput: a file is there already; a key is never overwritten.
        Unavailable: the folder cannot be written.
    """
    signer = FileSigner(Ed25519PrivateKey.generate())
    content = signer._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # noqa: SLF001
    _write_new(path, content, mode=0o600)
    _write_new(public_path(path), signer.public_key.to_pem(), mode=0o644)
    return signer


def own_key(path: Path) -> FileSigner:
    """Return the key of this installation at `path`, created at first use; several processes may ask at once.

    A process killed while it created the key leaves nothing that the next one does not complete.

    Raises:
        InvalidInput: the private key is gone and its public half still there, or the file holds no such key.
        Refused: others may read it.
        Unavailable: the folder cannot be written.
    """
    public = public_path(path)
    if path.exists() and public.exists():
        return FileSigner.from_file(path)
    with _locked(path.parent):
        if path.exists():
            signer = FileSigner.from_file(path)
            if not public.exists():
                _write_new(public, signer.public_key.to_pem(), mode=0o644)
            return signer
        if public.exists():
            raise InvalidInput(
                "the private signing key is gone",
                where=str(path),
                expected=f"the other half of {public.name}",
                next_step=f"Restore it; or rename {public.name} to former.pub: then a new key is made, "
                "and what the old one signed stays trusted.",
            )
        return create_key(path)


def rotate_key(path: Path) -> tuple[PublicKey, FileSigner]:
    """Replace the key at `path` by a new one; return the former public key and the new signer.

    The former public key stays beside it as `former-<id>.pub`, so what it signed stays trusted until it is revoked.
    The former private key is gone afterwards. Killed on the way, the next call completes it.

    Raises:
        InvalidInput: there is no key at `path`, or another kind of key.
        Unavailable: the folder cannot be written.
    """
    following = path.with_name(f"{path.stem}.next{path.suffix}")
    with _locked(path.parent):
        if not following.exists() and public_path(following).exists():  # killed between the two renames below
            public_path(following).replace(public_path(path))
        former = FileSigner.from_file(path).public_key
        signer = FileSigner.from_file(following) if following.exists() else create_key(following)
        replace_file(public_path(following), signer.public_key.to_pem(), mode=0o644)
        replace_file(path.with_name(f"former-{former.key_id}.pub"), former.to_pem(), mode=0o644)
        following.replace(path)
        public_path(following).replace(public_path(path))
        return former, signer


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable("the folder of keys cannot be used", got=error.strerror, where=str(folder)) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def public_path(path: Path) -> Path:
    """Return where `create_key` puts the public half of the private key at `path`."""
    return path.with_name(path.name + ".pub")


def read_key_file(path: Path, *, private: bool = False) -> bytes:
    """Return the content of a file of keys, of at most a megabyte; a private one only its owner may read.

    Raises:
        Unavailable: it cannot be read.
        Refused: it is private, and group or others may read or write it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if private and mode & 0o077:
                raise Refused(
                    "a private key that others may read",
                    got=f"mode {mode:04o}",
                    expected="mode 0600",
                    where=str(path),
                    next_step=f"Run: chmod 600 {path}; if others had access, create a new key.",
                )
            return file.read(2**20)
    except OSError as error:
        raise Unavailable("a key file cannot be read", got=error.strerror, where=str(path)) from error


def replace_file(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file in place of the one before, whole or not at all, also when killed on the way.

    Raises:
        Unavailable: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        _write_part(part, content, mode)
        part.replace(path)
    except OSError as error:
        raise Unavailable("a file cannot be written", got=error.strerror, where=str(path)) from error
    finally:
        with suppress(OSError):
            part.unlink()


def _write_part(part: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file that was not there: whole or not at all, also when killed on the way."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        _write_part(part, content, mode)
        os.link(part, path)
    except FileExistsError as error:
        raise InvalidInput("a key is there already", where=str(path), next_step="Choose another name.") from error
    except OSError as error:
        raise Unavailable("a key file cannot be written", got=error.strerror, where=str(path)) from error
    finally:
        with suppress(OSError):
            part.unlink()


def _not_a_key(kind: str, path: Path) -> InvalidInput:
    return InvalidInput(
        f"not an Ed25519 {kind} key",
        expected="a PEM file without a password",
        where=str(path),
        next_step="Create one with `recloser`, or: openssl genpkey -algorithm ed25519",
    )
