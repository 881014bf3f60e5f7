"""Owns the token file of a project: what it holds, its verbs, and following it while it changes. Grants nothing."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from recloser.app.clock import SystemClock
from recloser.app.project.layout import Layout
from recloser.app.project.settings import load_project
from recloser.app.security.private import Stamp, note_access, read_private, stamp_of, write_private
from recloser.core import InvalidInput, RecloserError, format_utc, unknown_name
from recloser.serving.http.admission import SCOPES

Grant = tuple[str, frozenset[str]]
PREFIX = "rcl_"


class StoredToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token as it is kept: its owner's name, the SHA-256 of its secret (hex), its scopes, and since when."""

    name: str
    sha256: str
    scopes: tuple[str, ...]
    created_at: str


class TokenFileContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; while it exists every call needs a token, even if it lists none."""

    tokens: tuple[StoredToken, ...] = ()


def read_tokens(path: Path) -> tuple[StoredToken, ...] | None:
    """Return the tokens of a file, None if there is no file.

    Raises:
        Unavailable: it cannot be read.
        InvalidInput: it is not a token file.
    """
    content = read_private(path, "token file")
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=TokenFileContent).tokens
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "not a token file",
            got=str(error)[:200],
            where=str(path),
            next_step="Restore it, or delete it and add the tokens anew.",
        ) from error


def write_tokens(path: Path, tokens: tuple[StoredToken, ...]) -> None:
    """Write the token file whole, readable by its owner only."""
    write_private(path, msgspec.json.format(msgspec.json.encode(TokenFileContent(tokens)), indent=1), "token file")


def add_token(folder: Path, *, name: str, scopes: tuple[str, ...]) -> dict[str, Any]:
    """Make a token; its secret is in the answer and nowhere else.

    Returns:
        {"name", "scopes", "token"}.

    Raises:
        InvalidInput: an unknown scope, none, or a name that is taken or not printable.
    """
    for scope in scopes:
        if scope not in SCOPES:
            raise unknown_name("scope", scope, SCOPES, where="--scope")
    if not scopes or not name.strip() or not name.isprintable() or len(name) > 100:
        raise InvalidInput("a token needs a printable name and a scope", got=(name, scopes), where="token add")
    path, now = _file(folder), SystemClock().now()
    known = read_tokens(path) or ()
    if any(token.name == name for token in known):
        raise InvalidInput("a token of this name exists", got=name, next_step="Revoke it, or choose another name.")
    secret = PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    chosen = tuple(scope for scope in SCOPES if scope in scopes)
    write_tokens(path, (*known, StoredToken(name, digest, chosen, format_utc(now))))
    note_access(folder, now, "token.add", name, {"scopes": list(chosen)})
    return {"name": name, "scopes": list(chosen), "token": secret}


def list_tokens(folder: Path) -> dict[str, Any]:
    """Return {"required", "tokens": [{"name", "scopes", "created_at"}]}, without anything secret."""
    known = read_tokens(_file(folder))
    rows = [{"name": t.name, "scopes": list(t.scopes), "created_at": t.created_at} for t in known or ()]
    return {"required": known is not None, "tokens": rows}


def revoke_token(folder: Path, *, name: str) -> dict[str, Any]:
    """Take a token back; a running gateway turns it away within a second.

    Returns:
        {"name", "left"}: how many tokens are left.

    Raises:
        InvalidInput: no token of that name.
    """
    path, now = _file(folder), SystemClock().now()
    known = read_tokens(path) or ()
    left = tuple(token for token in known if token.name != name)
    if len(left) == len(known):
        raise unknown_name("token", name, [token.name for token in known], where="token revoke")
    write_tokens(path, left)
    note_access(folder, now, "token.revoke", name, {"left": len(left)})
    return {"name": name, "left": len(left)}


def _file(folder: Path) -> Path:
    load_project(folder)
    return Layout(folder).tokens


@dataclass(frozen=True, slots=True)
class _Read:
    """What was last read of the file, and its state on disk then."""

    stamp: Stamp | None
    grants: Mapping[str, Grant]


NOBODY: Mapping[str, Grant] = {"": ("nobody", frozenset())}
"""Matches no secret, but says that tokens are in use."""


class LiveTokens(Mapping[str, Grant]):
    """SHA-256 of a secret -> (owner, scopes), as the file says now; looked at most once a second.

    Empty until there is a file for the first time. From then on never: a file that lists nobody, is damaged or
    disappears shuts the gate.

    Args:
        path: the token file.
        timer: monotonic seconds.

    Raises:
        InvalidInput: the file is damaged at the start.
        Unavailable: it cannot be read.
    """

    def __init__(self, path: Path, timer: Callable[[], float]) -> None:
        self._path = path
        self._timer = timer
        self._lock = threading.Lock()
        self._looked = timer()
        found = read_tokens(path)
        self._read = _Read(stamp_of(path), {} if found is None else _grants(found))

    def __getitem__(self, digest: str) -> Grant:
        return self._now()[digest]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> Mapping[str, Grant]:
        if self._timer() - self._looked >= 1.0:
            with self._lock:
                self._looked = self._timer()
                stamp = stamp_of(self._path)
                if stamp != self._read.stamp:
                    self._read = _Read(stamp, self._again())
        return self._read.grants

    def _again(self) -> Mapping[str, Grant]:
        try:
            return _grants(read_tokens(self._path) or ())
        except RecloserError:
            return NOBODY


def _grants(tokens: tuple[StoredToken, ...]) -> Mapping[str, Grant]:
    return {**NOBODY, **{token.sha256: (token.name, frozenset(token.scopes)) for token in tokens}}
