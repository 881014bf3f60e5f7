"""Owns the console's accounts: the file, its verbs, passwords, and what each role may do. Opens no session."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from recloser.app.clock import SystemClock
from recloser.app.project.layout import Layout
from recloser.app.project.settings import load_project
from recloser.app.project.tables.console import ROLES
from recloser.app.security.private import note_access, read_private, stamp_of, write_private
from recloser.core import InvalidInput, RecloserError, digest_bytes, format_utc, unknown_name

MAY = {
    "rollback": frozenset({"operator", "engineer", "approver"}),
    "hold": frozenset({"operator", "engineer"}),
    "resume": frozenset({"operator", "engineer"}),
    "freeze": frozenset({"operator", "engineer"}),
    "lift": frozenset({"operator", "engineer"}),
    "acknowledge": frozenset({"operator", "engineer"}),
    "shelve": frozenset({"operator", "engineer"}),
    "retrain": frozenset({"engineer"}),
    "approve": frozenset({"approver"}),
    "reject": frozenset({"approver"}),
    "override": frozenset({"approver"}),
}
"""What is done, and by which roles. Whether a person may say yes to this very release is the rollout's to judge."""
READERS_OF_LOGS = frozenset({"operator", "engineer", "approver", "auditor"})
"""Roles that may read what processes log: it names hosts, devices and people."""
MACHINES = frozenset({"rollout", "gateway", "monitoring", "controller", "pipeline", "triggers", "console"})
"""Actors of the audit log that are no people; no account bears such a name."""
LEAST, MOST = 10, 200
"""Characters of a password."""
LANES, ITERATIONS, MEMORY_KIB = 1, 3, 65_536
"""Argon2id, RFC 9106; above the least that OWASP asks for (19 MiB, two passes)."""


class StoredAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account as it is kept: name, roles, Argon2id hash in PHC form, since when."""

    name: str
    roles: tuple[str, ...]
    password: str
    created_at: str


class AccountFileContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; while it exists every page needs a sign-in, even if it lists nobody."""

    accounts: tuple[StoredAccount, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """A person: name, roles, and a digest that changes with the password.

    Of somebody who signs in by a provider, `issuer` is who that is and the digest changes with what is asked of it.
    """

    name: str
    roles: frozenset[str]
    stamp: str
    issuer: str | None = None

    @property
    def reads_logs(self) -> bool:
        """Return whether one of the roles allows reading the processes' logs."""
        return bool(self.roles & READERS_OF_LOGS)

    def may(self, kind: str) -> bool:
        """Return whether one of the roles allows this kind of act."""
        return bool(self.roles & MAY.get(kind, frozenset()))


def hashed(password: str) -> str:
    """Return the Argon2id hash of a password in PHC form."""
    kdf = Argon2id(salt=secrets.token_bytes(16), length=32, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB)
    return kdf.derive_phc_encoded(password.encode())


def matches(password: str, stored: str) -> bool:
    """Return whether a password is the one that was hashed; takes about a sixth of a second and 64 MiB."""
    try:
        Argon2id.verify_phc_encoded(password.encode(), stored)
    except InvalidKey:
        return False
    return True


def read_accounts(path: Path) -> tuple[StoredAccount, ...] | None:
    """Return the accounts of a file, None if there is no file.

    Raises:
        Unavailable: it cannot be read.
        InvalidInput: it is not an account file.
    """
    content = read_private(path, "account file")
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=AccountFileContent).accounts
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "not an account file",
            got=str(error)[:200],
            where=str(path),
            next_step="Restore it, or delete it and add the accounts anew.",
        ) from error


def add_account(folder: Path, *, name: str, roles: tuple[str, ...], password: str | None = None) -> dict[str, Any]:
    """Add an account; without a password one is made, which is in the answer and nowhere else.

    Returns:
        {"name", "roles", "password"}; the password is None where it was given.

    Raises:
        InvalidInput: an unknown role, none, a name that is taken or not usable, or a password too short or too long.
    """
    for role in roles:
        if role not in ROLES:
            raise unknown_name("role", role, ROLES, where="--role")
    named = name.strip() == name and name.isprintable() and 0 < len(name) <= 100
    if not roles or not named or name.casefold() in MACHINES:
        raise InvalidInput("an account needs a printable name of a person and a role", got=(name, roles), where="NAME")
    known, now = read_accounts(_file(folder)) or (), SystemClock().now()
    if any(account.name.casefold() == name.casefold() for account in known):
        raise InvalidInput("an account of this name exists", got=name, where="NAME", next_step="Choose another name.")
    made = secrets.token_urlsafe(12) if password is None else None
    chosen = tuple(role for role in ROLES if role in roles)
    new = StoredAccount(name, chosen, hashed(checked(made or password or "")), format_utc(now))
    _write(_file(folder), (*known, new))
    note_access(folder, now, "account.add", name, {"roles": list(chosen)})
    return {"name": name, "roles": list(chosen), "password": made}


def list_accounts(folder: Path) -> dict[str, Any]:
    """Return {"required", "accounts": [{"name", "roles", "created_at"}]}, without anything secret."""
    known = read_accounts(_file(folder))
    rows = [{"name": a.name, "roles": list(a.roles), "created_at": a.created_at} for a in known or ()]
    return {"required": known is not None, "accounts": rows}


def remove_account(folder: Path, *, name: str) -> dict[str, Any]:
    """Remove an account; its sessions end with the next request.

    Returns:
        {"name", "left"}: how many accounts are left.

    Raises:
        InvalidInput: no account of that name.
    """
    known = read_accounts(_file(folder)) or ()
    left = tuple(account for account in known if account.name != name)
    if len(left) == len(known):
        raise unknown_name("account", name, [account.name for account in known], where="account remove")
    _write(_file(folder), left)
    note_access(folder, SystemClock().now(), "account.remove", name, {"left": len(left)})
    return {"name": name, "left": len(left)}


def set_password(folder: Path, *, name: str, password: str | None = None) -> dict[str, Any]:
    """Give an account another password; its sessions end with the next request.

    Returns:
        As `add_account`.

    Raises:
        InvalidInput: no account of that name, or a password too short or too long.
    """
    known = read_accounts(_file(folder)) or ()
    found = next((account for account in known if account.name == name), None)
    if found is None:
        raise unknown_name("account", name, [account.name for account in known], where="account password")
    made = secrets.token_urlsafe(12) if password is None else None
    phc = hashed(checked(made or password or ""))
    changed = tuple(msgspec.structs.replace(a, password=phc) if a.name == name else a for a in known)
    _write(_file(folder), changed)
    note_access(folder, SystemClock().now(), "account.password", name, {})
    return {"name": name, "roles": list(found.roles), "password": made}


def checked(password: str) -> str:
    """Return the password.

    Raises:
        InvalidInput: shorter or longer than may be; it is not shown.
    """
    if not LEAST <= len(password) <= MOST:
        raise InvalidInput(
            "a password of another length", got=f"{len(password)} characters", expected=f"{LEAST} to {MOST}"
        )
    return password


def _file(folder: Path) -> Path:
    load_project(folder)
    return Layout(folder).accounts


def _write(path: Path, accounts: tuple[StoredAccount, ...]) -> None:
    content = msgspec.json.format(msgspec.json.encode(AccountFileContent(accounts)), indent=1)
    write_private(path, content, "account file")


class AccountBook:
    """The accounts as the file says now; thread safe. A file that is damaged or disappears opens nothing.

    Args:
        path: the account file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._turn = threading.Lock()  # a password costs 64 MiB and a processor for a moment
        self._stamp: tuple[int, int, int] | None = None
        self._known: dict[str, StoredAccount] = {}
        self._required = False
        self._decoy = hashed(secrets.token_urlsafe(16))

    @property
    def required(self) -> bool:
        """True once there has been an account file: from then on every page needs a sign-in."""
        self._now()
        return self._required

    def find(self, name: str) -> Account | None:
        """Return the account of that name, None if there is none."""
        stored = self._now().get(name)
        return None if stored is None else _account(stored)

    def bears(self, name: str) -> bool:
        """Return whether a name is that of an account or of a machine, however it is written."""
        return name.casefold() in MACHINES or any(name.casefold() == known.casefold() for known in self._now())

    def check(self, name: str, password: str) -> Account | None:
        """Return the account if this is its password; an unknown name takes as long as a wrong password."""
        stored = self._now().get(name)
        with self._turn:
            right = matches(password[:MOST], self._decoy if stored is None else stored.password)
        return _account(stored) if stored is not None and right else None

    def _now(self) -> dict[str, StoredAccount]:
        stamp = stamp_of(self._path)
        with self._lock:
            if stamp != self._stamp:
                self._stamp, self._known = stamp, self._read()
            self._required = self._required or stamp is not None
            return self._known

    def _read(self) -> dict[str, StoredAccount]:
        try:
            return {account.name: account for account in read_accounts(self._path) or ()}
        except RecloserError:
            return {}


def _account(stored: StoredAccount) -> Account:
    return Account(stored.name, frozenset(stored.roles), digest_bytes(stored.password.encode())[:16])
