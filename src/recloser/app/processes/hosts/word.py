"""Owns what gateways of several hosts tell each other and the controller through a shared ledger. Decides nothing.

On one host files do that (reports, cuts); through a ledger in a file nothing is told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path

from recloser.app.processes.cuts import FoundCut
from recloser.app.processes.hosts.identity import Identity
from recloser.app.processes.reports import Report, read_reports
from recloser.core import RecloserError, Refused, Unavailable, format_utc, parse_utc
from recloser.ledger import Ledger, StateRecord
from recloser.ledger.holds import Still
from recloser.serving import Cut

GATEWAYS = "gateways/"
CUTS = "cuts/"
MOST = 1000  # gateways of one project
ACTOR = "gateway"
ENDED = "ended"


class LedgerWord:
    """What one gateway process tells others through the ledger, and hears; for one thread.

    While it can reach the ledger it holds the name of its seat there, and the server gives that up within seconds of
    losing it: so nothing need be written again and again to be known to live.

    Args:
        ledger: of the project.
        who: this process.
    """

    def __init__(self, ledger: Ledger, who: Identity) -> None:
        self._ledger, self._who = ledger, who
        self._stack = ExitStack()
        self._still: Still | None = None
        self._told: Report | None = None
        self._told_at: datetime | None = None
        self._cuts: set[tuple[int, str]] = set()

    def tell(self, report: Report, found: Sequence[FoundCut], now: datetime) -> None:
        """Make known which route is followed here and who was cut off here, if that is news.

        Raises:
            Unavailable: the ledger cannot be reached now.
        """
        if not self._ledger.shared:
            return
        self._hold()
        for one in found:
            name = f"{CUTS}{one.epoch}/{one.cut.release}"
            if (one.epoch, one.cut.release) not in self._cuts:
                with suppress(Refused), self._ledger.change(ACTOR, now) as change:  # refused: another found it first
                    facts = {
                        "worker": str(self._who),
                        "reason": one.cut.reason,
                        "at": format_utc(one.cut.at),
                        "failures": list(one.cut.failures),
                    }
                    change.add(StateRecord(name, now, facts))
                    change.note("gateway.cut", one.cut.release, {"epoch": one.epoch, **facts})
                self._cuts.add((one.epoch, one.cut.release))
        if report != self._told:
            with self._ledger.change(ACTOR, now) as change:
                change.put(StateRecord(GATEWAYS + self._who.seat, now, report.document()))
                change.note("gateway.follow", self._who.seat, {"epoch": report.epoch, "problem": report.problem})
            self._told, self._told_at = report, now

    def _hold(self) -> None:
        if self._still is not None and self._still():
            return
        self._still = None
        self._stack.close()
        with suppress(Unavailable):  # whoever looks for it, or the process before this one, has it for a moment
            self._still = self._stack.enter_context(self._ledger.hold(GATEWAYS + self._who.seat))

    def close(self) -> None:
        """Give the name up and say so: this gateway serves no more, and no rollout need wait for it."""
        if self._told is not None and self._told_at is not None:
            with suppress(RecloserError), self._ledger.change(ACTOR, self._told_at) as change:
                ended = self._told.document() | {ENDED: True}
                change.put(StateRecord(GATEWAYS + self._who.seat, self._told_at, ended))
                change.note("gateway.end", self._who.seat, {"epoch": self._told.epoch})
            self._told = None
        self._stack.close()
        self._still = None


def heard_cuts(ledger: Ledger, epoch: int, releases: Collection[str]) -> list[FoundCut]:
    """Return which of the releases were cut off under this route on whichever host.

    Raises:
        Unavailable: the ledger cannot be reached now.
    """
    found = []
    for release in sorted(releases) if ledger.shared else ():
        record = ledger.get(StateRecord, f"{CUTS}{epoch}/{release}")
        if record is not None:
            facts = record.state
            at = parse_utc(facts["at"], record.key)
            cut = Cut(release, str(facts["reason"]), at, tuple(facts["failures"]))
            found.append(FoundCut(epoch, str(facts["worker"]), cut))
    return found


def told_reports(ledger: Ledger) -> list[Report]:
    """Return what gateways of all hosts last told through the ledger, of those that were killed too.

    Raises:
        Unavailable: the ledger cannot be reached now.
    """
    if not ledger.shared:
        return []
    records = ledger.find(StateRecord, since=("key", GATEWAYS), until=("key", f"{GATEWAYS}~"), limit=MOST)
    told = [record for record in records if not record.state.get(ENDED)]
    reports = [Report.read(record.state, record.key) for record in told]
    return [report for report in reports if report is not None]


def living(state: Path, ledger: Ledger, now: datetime) -> list[Report]:
    """Return the reports of all gateways that live: of this volume by their files, of other hosts by the ledger.

    Raises:
        Unavailable: the ledger cannot be reached now.
    """
    here = read_reports(state, now)
    seats = {report.identity.seat for report in here}
    afar = [report for report in told_reports(ledger) if report.identity.seat not in seats]
    return [*here, *(report for report in afar if in_reach(ledger, report))]


def all_follow(ledger: Ledger, epoch: int, asked: timedelta, lease: timedelta) -> bool:
    """Tell whether every gateway that told something follows this route, or cannot serve an older canary any more.

    One that is out of reach or was killed cannot follow. Nobody renews its lease, so that once the longest lease is
    over it serves its champion alone, and is waited for no more.

    Args:
        ledger: that they share.
        epoch: of the route.
        asked: how long ago this was first asked about the epoch.
        lease: the longest that a route gives.

    Raises:
        Unavailable: the ledger cannot be reached now.
    """
    late = [report for report in told_reports(ledger) if report.epoch < epoch]
    return all(asked >= lease and not in_reach(ledger, report) for report in late)


def in_reach(ledger: Ledger, report: Report) -> bool:
    """Tell whether the gateway's process has a live connection to the ledger."""
    try:
        with ledger.hold(GATEWAYS + report.identity.seat):
            return False
    except Unavailable:
        return True
