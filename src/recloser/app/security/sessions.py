"""Owns sessions of the console: begun by a password or a provider, ended by time, by hand or with the account.

They are kept in the ledger. Proves nobody's name.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from recloser.app.security.accounts import Account, AccountBook
from recloser.app.security.oidc.logout import Origin, has_departed
from recloser.app.security.oidc.owners import Ownership
from recloser.core import Clock, Refused, format_utc, parse_utc
from recloser.ledger import Ledger, StateRecord

LASTS = timedelta(hours=12)
IDLE = timedelta(minutes=30)
FREE, WINDOW_S, LONGEST_S = 5, 900.0, 300.0
KEPT = 4_096
"""Callers whose failures are remembered at once."""


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in person; `secret` is what the browser's cookie holds."""

    account: Account
    secret: str

    @property
    def csrf(self) -> str:
        """What a form of this session carries, and no other site can know."""
        return hashlib.sha256(b"csrf:" + self.secret.encode()).hexdigest()

    def made(self, token: str) -> bool:
        """Return whether a form was made for this session."""
        return hmac.compare_digest(self.csrf.encode(), token.encode())


class Sessions:
    """Begins, finds and ends sessions; thread safe. They outlive a restart of the console, counted as active then.

    Args:
        book: the accounts.
        clock: of the machine, whatever instant the pages show.
        stamp: digest of the provider that people sign in by now, None without one.
    """

    def __init__(self, book: AccountBook, clock: Clock, stamp: Callable[[], str | None] = lambda: None) -> None:
        self._book, self._clock, self._stamp = book, clock, stamp
        self._lock = threading.Lock()
        self._active: dict[str, datetime] = {}

    def begin(self, ledger: Ledger, account: Account, address: str, origin: Origin | None = None) -> Session:
        """Begin a session and write who signed in from where.

        Args:
            ledger: of the project.
            account: who it is; of a provider's word with its roles.
            address: where the request came from.
            origin: of a provider's word, what it is about; the name is kept for its subject alone from then on.

        Raises:
            Refused: the name is another person's of the provider, or he has left there since.
            Unavailable: the ledger cannot be written now.
        """
        now, secret = self._clock.now(), secrets.token_urlsafe(32)
        state: dict[str, Any] = {"account": account.name, "stamp": account.stamp, "ends_at": format_utc(now + LASTS)}
        facts: dict[str, Any] = {"address": address, "ends_at": state["ends_at"]}
        if origin is not None:
            if has_departed(ledger, origin):
                raise Refused("you have signed out at the provider meanwhile", next_step="Sign in again.")
            roles = sorted(account.roles)
            state |= {"issuer": origin.issuer, "roles": roles, "origin": asdict(origin)}
            facts |= {"issuer": origin.issuer, "subject": origin.subject, "roles": roles}
        owned = Ownership(ledger, account.name)
        with ledger.change(account.name, now) as change:
            if origin is not None:
                owned.claim(change, now, origin.issuer, origin.subject)
            change.put(StateRecord(_key(secret), now, state))
            change.note("console.sign_in", account.name, facts)
        with self._lock:
            self._active[_key(secret)] = now
        return Session(account, secret)

    def find(self, ledger: Ledger, secret: str) -> Session | None:
        """Return the session of a cookie if it is in force: not ended, not too long idle, its account unchanged.

        Raises:
            Unavailable: the ledger cannot be read now.
        """
        if not secret or len(secret) > 100:
            return None
        record = ledger.get(StateRecord, _key(secret))
        now = self._clock.now()
        if record is None or "ended" in record.state or now >= parse_utc(record.state["ends_at"]):
            return None
        account = self._account(record.state)
        if account is None or account.stamp != record.state["stamp"]:
            return None
        if "origin" in record.state and has_departed(ledger, Origin(**record.state["origin"])):
            return None
        with self._lock:
            last = self._active.setdefault(record.key, now)
            if now - last >= IDLE:
                return None
            self._active[record.key] = now
        return Session(account, secret)

    def _account(self, state: Mapping[str, Any]) -> Account | None:
        """Return whose session it is, as of now; a provider's word counts as long as that provider is asked."""
        if "issuer" not in state:
            return self._book.find(state["account"])
        stamp = self._stamp()
        if stamp is None or self._book.bears(state["account"]):
            return None
        return Account(state["account"], frozenset(state["roles"]), stamp, state["issuer"])

    def end(self, ledger: Ledger, session: Session) -> None:
        """End a session.

        Raises:
            Unavailable: the ledger cannot be written now.
        """
        now, key = self._clock.now(), _key(session.secret)
        state = {"account": session.account.name, "ended": format_utc(now)}
        with ledger.change(session.account.name, now) as change:
            change.put(StateRecord(key, now, state))
            change.note("console.sign_out", session.account.name)
        with self._lock:
            self._active.pop(key, None)


def _key(secret: str) -> str:
    """Return where a session is kept: by a hash, so that a reader of the ledger cannot take it over."""
    return f"console.session/{hashlib.sha256(secret.encode()).hexdigest()}"


class Attempts:
    """Makes whoever guesses passwords wait: after five failures one second, then twice as long each time.

    Thread safe. An attempt counts as failed from before it is judged, so that many at once are as many as one by one.

    Args:
        timer: seconds that only grow; see `timer_of`.
    """

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._lock = threading.Lock()
        self._failures: dict[str, list[float]] = {}

    def wait_s(self, *callers: str) -> float:
        """Return how long these callers (an address, a name at an address) must wait before they may try."""
        now = self._timer()
        with self._lock:
            return max(self._wait_s(caller, now) for caller in callers)

    def begin(self, *callers: str) -> float:
        """Count an attempt of each caller and return 0; or count none and return how long they must wait."""
        now = self._timer()
        with self._lock:
            wait_s = max(self._wait_s(caller, now) for caller in callers)
            if wait_s == 0.0:
                self._count(callers, now)
            return wait_s

    def spare(self, *callers: str) -> None:
        """Take back an attempt of each caller that had begun and was no failure."""
        with self._lock:
            self._take_back(callers)

    def missed(self, *callers: str) -> None:
        """Let the wait after an attempt of each caller that had begun run from now, when it was found to be wrong."""
        now = self._timer()
        with self._lock:
            self._take_back(callers)
            self._count(callers, now)

    def failed(self, *callers: str) -> None:
        """Count a failure of each caller, whether it must wait or not."""
        now = self._timer()
        with self._lock:
            self._count(callers, now)

    def succeeded(self, *callers: str) -> None:
        """Forget the failures of each caller."""
        with self._lock:
            for caller in callers:
                self._failures.pop(caller, None)

    def _take_back(self, callers: Sequence[str]) -> None:
        for caller in callers:
            if failures := self._failures.get(caller):
                failures.pop()

    def _count(self, callers: Sequence[str], now: float) -> None:
        for caller in callers:
            self._failures[caller] = [*self._recent(caller, now), now][-40:]
        while len(self._failures) > KEPT:
            del self._failures[next(iter(self._failures))]

    def _recent(self, caller: str, now: float) -> list[float]:
        return [at for at in self._failures.get(caller, ()) if now - at < WINDOW_S]

    def _wait_s(self, caller: str, now: float) -> float:
        recent = self._recent(caller, now)
        if len(recent) < FREE:
            return 0.0
        return max(0.0, recent[-1] + min(LONGEST_S, 2.0 ** min(20, len(recent) - FREE)) - now)


def refused(ledger: Ledger, now: datetime, name: str, address: str, facts: dict[str, Any]) -> None:
    """Write a failed sign-in into the ledger.

    Raises:
        Unavailable: it cannot be written now.
    """
    with ledger.change("console", now) as change:
        change.note("console.sign_in_refused", name, {"address": address, **facts})
