"""Owns the ControlRoom: one open project behind the console, its documents, and the acts of people. Draws nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from recloser.app.clock import SystemClock
from recloser.app.logs.reading import LogAsk
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.people.desk import LoopDesk
from recloser.app.people.freezes import freezes_in
from recloser.app.platform import Platform
from recloser.app.project.settings import FILE_NAME
from recloser.app.project.tables.console import OidcSection
from recloser.app.releases.dossiers import sealed_dossier
from recloser.app.replay.policies.scratch import is_scratch
from recloser.app.security.accounts import MAY, Account
from recloser.app.security.gatehouse import Gatehouse
from recloser.app.security.refusals import Refusals
from recloser.app.views.alarms import Mark, alarms_document, mark_alarm
from recloser.app.views.area import area_document
from recloser.app.views.diagnostics import diagnostics_document
from recloser.app.views.overview import ALL, OverviewAsk, alarms_in, judge, overview
from recloser.app.views.releases import release_document, releases_document
from recloser.app.views.sight import Sight
from recloser.app.views.theatre.document import Theatre, Where
from recloser.app.views.why import why_document
from recloser.core import Clock, InvalidInput, Refused
from recloser.ledger import Ledger, LedgerWatch, RolloutRecord, RouteRecord
from recloser.serving.http import Done, Wish

LOG = logging.getLogger(__name__)


class ControlRoom:
    """What the console asks: documents of one project. Thread safe; every call may block on ledger and store.

    Args:
        folder: project.
        clock: the present, None for the machine's clock.
    """

    def __init__(self, folder: Path, clock: Clock | None) -> None:
        self._folder, self._clock = folder, clock
        wall = SystemClock()
        self.gatehouse = Gatehouse(folder, wall, self._ledger, self._provider)
        self._refusals = Refusals(self._ledger, wall)
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._turn = threading.Lock()
        self._loop: ControlLoop | None = None
        self._at_hand: frozenset[str] | None = None
        self._open: tuple[Platform, Sight] | None = None
        self._theatre: Theatre | None = None

    def close(self) -> None:
        """Give the project back."""
        with self._lock:
            self._shut()

    def overview(self, ask: OverviewAsk = ALL) -> dict[str, Any]:
        """Return level 1; see `overview`.

        Raises:
            RecloserError: the project cannot be opened or read now.
        """
        with self._project() as (platform, sight):
            return overview(platform, sight, ask)

    def area(self, name: str, until: datetime | None = None) -> dict[str, Any]:
        """Return level 2; see `area_document`.

        Raises:
            RecloserError: no such area, or the project cannot be opened or read now.
        """
        with self._project() as (platform, sight):
            return area_document(platform, sight, name, until)

    def releases(self, page: int = 1) -> dict[str, Any]:
        """Return level 3, all releases; see `releases_document`.

        Raises:
            RecloserError: the project cannot be opened or read now.
        """
        with self._project() as (platform, _):
            return releases_document(platform, page)

    def release(self, name: str) -> dict[str, Any]:
        """Return level 3 of one release; see `release_document`.

        Raises:
            RecloserError: no such release, or the project cannot be opened or read now.
        """
        with self._looped() as loop:
            return release_document(loop, name)

    def dossier(self, name: str) -> tuple[bytes, bytes]:
        """Return a release's dossier, signed: the JSON file and the page.

        Raises:
            RecloserError: no such release, its package does not verify, or the project cannot be read now.
        """
        with self._project() as (platform, _):
            _, text, page = sealed_dossier(platform, name)
            return text, page

    def why(self, area: str, at: datetime | None = None) -> dict[str, Any]:
        """Return why a forecast is what it is; see `why_document`.

        Raises:
            RecloserError: no such area or forecast, or the project cannot be opened or read now.
        """
        with self._project() as (platform, _):
            return why_document(platform, area, at)

    def theatre(self, area: str | None, where: Where) -> dict[str, Any]:
        """Return a moment as it was known then; see `Theatre.document`.

        Raises:
            RecloserError: no such area, or the project cannot be opened or read now.
        """
        with self._project() as (platform, _):
            with self._lock:
                if self._theatre is None or self._theatre.platform is not platform:
                    self._theatre = Theatre(platform)
                theatre = self._theatre
            return theatre.document(area, where)

    def diagnostics(self, before: int | None = None, find: str = "", logs: LogAsk | None = None) -> dict[str, Any]:
        """Return level 4; see `diagnostics_document`.

        Raises:
            RecloserError: the project cannot be opened or read now.
        """
        with self._project() as (platform, _):
            return diagnostics_document(platform, before, find, logs)

    def alarms(self) -> dict[str, Any]:
        """Return the alarms; see `alarms_document`.

        Raises:
            RecloserError: the project cannot be opened or read now.
        """
        with self._project() as (platform, sight):
            now = platform.clock.now()
            return alarms_document(platform, alarms_in(platform, judge(platform, sight, now), now))

    def mark_alarm(self, account: Account, kind: str, key: str, reason: str, hours: float | None) -> str:
        """Acknowledge or shelve an alarm in the name of a signed-in person; return a sentence.

        Raises:
            Refused: no role of the account allows it.
            InvalidInput: there is no such alarm now, or a shelf of another length than may be.
        """
        self._require(account, kind, key, reason)
        with self._project() as (platform, sight):
            now = platform.clock.now()
            alarms = alarms_in(platform, judge(platform, sight, now), now)
            return mark_alarm(platform, alarms, key, Mark(kind, account.name, reason, hours))

    def freezes(self) -> dict[str, Any]:
        """Return the freezes; see `list_freezes`.

        Raises:
            RecloserError: the project cannot be opened or read now.
        """
        with self._project() as (platform, _):
            return freezes_in(platform)

    def act(self, account: Account, wish: Wish) -> Done:
        """Carry out what a signed-in person asks; a rollback waits for nobody.

        Args:
            account: who asks; its name is the wish's actor.
            wish: what is asked; see `Desk.carry_out`.

        Raises:
            Refused: no role of the account allows it, or a state or a policy forbids it.
            RecloserError: what the desk raises.
        """
        self._require(account, wish.kind, wish.subject, wish.reason)
        asked = replace(wish, actor=account.name)
        if wish.kind == "rollback":
            with self._project() as (platform, _):
                return LoopDesk(self._loop_of(platform)).carry_out(asked)
        with self._looped() as loop:
            return LoopDesk(loop).carry_out(asked)

    def get_ready(self) -> None:
        """Load what a rollback would need, so that it waits for no model; what cannot be loaded is left for then.

        Raises:
            RecloserError: the project cannot be opened or read now.
        """
        with self._looped() as loop:
            platform = loop.platform
            route = platform.ledger.get(RouteRecord, "route")
            alive = platform.ledger.find(RolloutRecord, finished_at=None)
            names = {r.champion for r in alive} | {r.release for r in alive}
            names |= set() if route is None else {route.champion, route.canary}
            wanted = frozenset(name for name in names if name and name.startswith("rel-"))
            if wanted == self._at_hand and loop.router.current() == route:
                return
            for name in sorted(wanted):
                platform.verify(name)
            self._at_hand = wanted
            if route is not None and loop.router.current() != route:
                loop.router.set_route(route)

    def name(self) -> str:
        """Return the project's name.

        Raises:
            RecloserError: the project cannot be opened now.
        """
        with self._project() as (platform, _):
            return platform.project.project.name

    def zone_name(self) -> str:
        """Return the IANA name of the project's time zone.

        Raises:
            RecloserError: the project cannot be opened now.
        """
        with self._project() as (platform, _):
            return platform.horizon.zone.key

    def watch(self) -> LedgerWatch:
        """Return what tells that something was written to the ledger; for one thread, closed after use.

        Raises:
            RecloserError: the project cannot be opened now.
        """
        with self._project() as (platform, _):
            return platform.ledger.watch()

    def length(self) -> int:
        """Return the number of audit entries: pages of equal length show the same state of the ledger.

        Raises:
            RecloserError: the project cannot be opened or read now.
        """
        with self._project() as (platform, _):
            return platform.ledger.length()

    def now(self) -> datetime:
        """Return the present instant (aware UTC).

        Raises:
            RecloserError: the project cannot be opened now.
        """
        with self._project() as (platform, _):
            return platform.clock.now()

    @contextmanager
    def _project(self) -> Iterator[tuple[Platform, Sight]]:
        with self._lock:
            stamp = self._found()
            if self._open is None or stamp != self._stamp:
                self._reopen(stamp)
            opened = self._open
        assert opened is not None
        yield opened

    def _reopen(self, stamp: tuple[int, int] | None) -> None:
        """Follow the project file; one that cannot be used takes nobody's page away, nor the power to stop a model."""
        apart = is_scratch(self._folder)  # a replay was lived apart from what the file names, and is looked at so
        try:
            platform = Platform.open(self._folder, clock=self._clock, isolated=apart)
        except InvalidInput as error:
            LOG.warning("the project's files cannot be used; what could be used last holds: %s", error.explain())
            if self._open is not None:
                self._stamp = stamp
                return
            if apart:
                raise
            platform, _ = Platform.open_to_stop(self._folder, clock=self._clock)
        self._shut()
        self._open, self._stamp = (platform, Sight(platform)), stamp

    @contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        with self._project() as (platform, _):
            yield platform.ledger

    def _provider(self) -> OidcSection:
        """Return the provider that people sign in by; to look at a replay nobody needs to."""
        with self._project() as (platform, _):
            return OidcSection() if platform.isolated else platform.project.console.oidc

    def _loop_of(self, platform: Platform) -> ControlLoop:
        with self._lock:
            if self._loop is None or self._loop.platform is not platform:
                self._loop = ControlLoop(platform, LoopOptions())
            return self._loop

    @contextmanager
    def _looped(self) -> Iterator[ControlLoop]:
        """Lend the loop that looks into rollouts, to one thread at a time; it is made at first use."""
        with self._project() as (platform, _), self._turn:
            yield self._loop_of(platform)

    def _found(self) -> tuple[int, int] | None:
        try:
            found = (self._folder / FILE_NAME).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def _shut(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened[0].close()

    def _require(self, account: Account, kind: str, subject: str | None, reason: str) -> None:
        """See that a role of the account allows an act; a refusal is in the audit log."""
        if not account.may(kind):
            told = {"subject": subject, "reason": reason, "roles": sorted(account.roles)}
            self._refusals.note(account.name, kind, told)
            mine, needed = (", ".join(sorted(roles)) for roles in (account.roles, MAY.get(kind, ())))
            raise Refused(f"your roles do not allow to {kind}", got=mine, expected=needed)
