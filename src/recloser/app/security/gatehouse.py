"""Owns who may come in to the console: sign-in with its waits, sessions, one's own password. Serves nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from recloser.app.project.layout import Layout
from recloser.app.security.accounts import AccountBook, set_password
from recloser.app.security.gatekeeping import printable
from recloser.app.security.sessions import Attempts, Session, Sessions, refused
from recloser.core import Clock, InvalidInput, Refused
from recloser.ledger import Ledger

Lent = Callable[[], AbstractContextManager[Ledger]]


class Gatehouse:
    """Lets people in; thread safe. Every sign-in, refused ones too, and every sign-out is in the audit log.

    Args:
        folder: project.
        clock: of the machine.
        lent: lends the ledger for a moment.
    """

    def __init__(self, folder: Path, clock: Clock, lent: Lent) -> None:
        self._folder, self._clock, self._lent = folder, clock, lent
        self._book = AccountBook(Layout(folder).accounts)
        self._sessions = Sessions(self._book, clock)
        self._attempts = Attempts(clock.now)

    @property
    def required(self) -> bool:
        """True if pages are for people who have signed in."""
        return self._book.required

    def wait_s(self, name: str, address: str) -> float:
        """Return how long this caller must wait before another attempt."""
        return self._attempts.wait_s(*_callers(name, address))

    def sign_in(self, name: str, password: str, address: str) -> Session | None:
        """Begin a session, or return None if name and password do not belong together.

        Raises:
            Refused: the caller must wait first.
            Unavailable: the ledger cannot be written now.
        """
        callers = _callers(name, address)
        wait = self._attempts.wait_s(*callers)
        if wait > 0.0:
            raise Refused("too many failed attempts", next_step=f"Try again in {wait:.0f} seconds.")
        account = self._book.check(name, password)
        if account is None:
            self._attempts.failed(*callers)
            with self._lent() as ledger:
                refused(ledger, self._clock.now(), printable(name[:100]), address, {"known": self._known(name)})
            return None
        self._attempts.succeeded(callers[1])
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
            Refused: too many failed attempts.
        """
        name = session.account.name
        callers = _callers(name, address)
        if self._attempts.wait_s(*callers) > 0.0:
            raise Refused("too many failed attempts", next_step="Try again later.")
        if self._book.check(name, old) is None:
            self._attempts.failed(*callers)
            raise InvalidInput("the present password is another one", where="password")
        set_password(self._folder, name=name, password=new)

    def _known(self, name: str) -> bool:
        return self._book.find(name) is not None


def _callers(name: str, address: str) -> tuple[str, str]:
    return f"address {address}", f"{name[:100]} at {address}"
