"""Owns who may come in to the console: sign-in with its waits, sessions, one's own password. Serves nothing."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from recloser.app.clock import timer_of
from recloser.app.project.layout import Layout
from recloser.app.project.tables.console import OidcSection
from recloser.app.security.accounts import Account, AccountBook, set_password
from recloser.app.security.gatekeeping import printable
from recloser.app.security.oidc.claims import Identity
from recloser.app.security.oidc.flow import SingleSignOn
from recloser.app.security.oidc.logout import Origin, note_departure
from recloser.app.security.sessions import Attempts, Session, Sessions, refused
from recloser.core import Clock, InvalidInput, Refused
from recloser.ledger import Ledger

Lent = Callable[[], AbstractContextManager[Ledger]]
Asked = Callable[[], OidcSection]


def nobody() -> OidcSection:
    """Return that nobody signs in by a provider."""
    return OidcSection()


class Gatehouse:
    """Lets people in; thread safe. Every sign-in, refused ones too, and every sign-out is in the audit log.

    Args:
        folder: project.
        clock: of the machine.
        lent: lends the ledger for a moment.
        asked: the provider that the project file names now.
    """

    def __init__(self, folder: Path, clock: Clock, lent: Lent, asked: Asked = nobody) -> None:
        self._folder, self._clock, self._lent, self._asked = folder, clock, lent, asked
        self._book = AccountBook(Layout(folder).accounts)
        self._sessions = Sessions(self._book, clock, self._stamp)
        self._attempts = Attempts(timer_of(clock))
        self._lock = threading.Lock()
        self._single: SingleSignOn | None = None

    @property
    def required(self) -> bool:
        """True if pages are for people who have signed in."""
        return self._book.required or self.single() is not None

    @property
    def has_accounts(self) -> bool:
        """True if people may sign in by name and password."""
        return self._book.required

    def single(self) -> SingleSignOn | None:
        """Return the provider that people sign in by, None without one.

        Raises:
            RecloserError: the project file cannot be read now.
        """
        section = self._asked()
        with self._lock:
            if not section.wanted:
                self._single = None
            elif self._single is None or self._single.section != section:
                self._single = SingleSignOn(section, self._folder, self._clock)
            return self._single

    def _stamp(self) -> str | None:
        single = self.single()
        return None if single is None else single.stamp

    def require_patience(self, name: str, address: str) -> None:
        """See that a caller does not try too often.

        Raises:
            Refused: he must wait first.
        """
        _require_no_wait(self._attempts.wait_s(*_callers(name, address)))

    def welcome(self, identity: Identity, address: str) -> Session:
        """Begin a session of a person whom the provider has proven.

        Raises:
            Refused: the name is that of a local account, a machine, or another person of the provider.
            Unavailable: the ledger cannot be written now.
        """
        single = self.single()
        if single is None or identity.issuer != single.section.issuer:
            raise Refused("the provider is not asked any more", next_step="Sign in again.")
        if self._book.bears(identity.name):
            raise Refused(
                "this name is that of a local account",
                got=identity.name,
                next_step="Sign in with its password, or have it removed: recloser account remove NAME.",
            )
        account = Account(identity.name, identity.roles, single.stamp, identity.issuer)
        with self._lent() as ledger:
            origin = Origin(identity.issuer, identity.subject, identity.sid, identity.issued_at)
            return self._sessions.begin(ledger, account, address, origin)

    def departed(self, token: str) -> None:
        """End the sessions of somebody who has left, by the provider's logout token.

        Raises:
            Refused: nobody signs in by a provider, the token is none of its own for us and now, or was used before.
            Unavailable: its keys cannot be had, or the ledger cannot be written now.
        """
        single = self.single()
        if single is None:
            raise Refused("no provider to sign out by", where="console.oidc")
        departure = single.departure(token)
        with self._lent() as ledger:
            note_departure(ledger, departure, self._clock.now())

    def turned_away(self, name: str, address: str, why: str) -> None:
        """Write down a sign-in by the provider that came to nothing, and count it against the caller.

        Raises:
            Unavailable: the ledger cannot be written now.
        """
        self._attempts.failed(f"address {address}")
        with self._lent() as ledger:
            refused(ledger, self._clock.now(), printable(name[:100]), address, {"by": "oidc", "reason": why[:300]})

    def sign_in(self, name: str, password: str, address: str) -> Session | None:
        """Begin a session, or return None if name and password do not belong together.

        Raises:
            Refused: the caller must wait first.
            Unavailable: the ledger cannot be written now.
        """
        account = self._judged(name, password, address)
        if account is None:
            with self._lent() as ledger:
                refused(ledger, self._clock.now(), printable(name[:100]), address, {"known": self._known(name)})
            return None
        with self._lent() as ledger:
            return self._sessions.begin(ledger, account, address)

    def find(self, secret: str) -> Session | None:
        """Return the session in force of a cookie.

        Raises:
            Unavailable: the ledger cannot be read now.
        """
        if not secret:
            return None
        with self._lent() as ledger:
            return self._sessions.find(ledger, secret)

    def sign_out(self, session: Session) -> None:
        """End a session.

        Raises:
            Unavailable: the ledger cannot be written now.
        """
        with self._lent() as ledger:
            self._sessions.end(ledger, session)

    def change_password(self, session: Session, old: str, new: str, address: str) -> None:
        """Give the account of a session another password; all its sessions end.

        Raises:
            InvalidInput: the old one is wrong, or the new one too short or too long.
            Refused: too many failed attempts, or the password is the provider's.
        """
        name = session.account.name
        if session.account.issuer is not None:
            raise Refused("your password is kept by the provider", where=session.account.issuer)
        if self._judged(name, old, address) is None:
            raise InvalidInput("the present password is another one", where="password")
        set_password(self._folder, name=name, password=new)

    def _judged(self, name: str, password: str, address: str) -> Account | None:
        """Return the account if this is its password; the attempt counts from before the password is looked at.

        Raises:
            Refused: the caller must wait first.
        """
        callers = _callers(name, address)
        _require_no_wait(self._attempts.begin(*callers))
        account = self._book.check(name, password)
        if account is None:
            self._attempts.missed(*callers)
        else:
            self._attempts.spare(callers[0])
            self._attempts.succeeded(callers[1])
        return account

    def _known(self, name: str) -> bool:
        return self._book.find(name) is not None


def _require_no_wait(wait_s: float) -> None:
    if wait_s > 0.0:
        raise Refused("too many failed attempts", next_step=f"Try again in {math.ceil(wait_s)} seconds.")


def _callers(name: str, address: str) -> tuple[str, str]:
    return f"address {address}", f"{name[:100]} at {address}"
