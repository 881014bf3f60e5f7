"""Owns the watch: runs the data checks, closes days, feeds the drift monitor. Rooms find and decide; it records."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from recloser.app.loop.book import DayBook
from recloser.app.loop.faults import finding_from, finding_to
from recloser.app.loop.history import History
from recloser.app.loop.relation.areas import AreaWatch
from recloser.app.loop.residuals import ResidualWatch
from recloser.app.loop.signals import record_of_signal, signal_of_record
from recloser.app.loop.upstream.incumbent import IncumbentWatch
from recloser.app.loop.upstream.stamps import StampWatch
from recloser.app.platform import Platform
from recloser.ledger import SignalRecord, StateRecord
from recloser.monitoring import CheckPlan, Finding, check_data, flag_revisions, reconcile, signal_of
from recloser.monitoring.questions import action_of

ACTOR = "monitoring"
FAULTS = "faults"


class Watch:
    """Keeps an eye on data and model; everything it remembers is in the ledger.

    Args:
        platform: the project.
        history: the store as of an instant.
    """

    def __init__(self, platform: Platform, history: History) -> None:
        self._platform = platform
        self._history = history
        groups = {name: tuple(members) for name, members in platform.project.monitoring.groups.items()}
        self._plan = CheckPlan(zone=platform.horizon.zone.key, areas=platform.areas, groups=groups)
        self.book = DayBook(platform, history)
        self.residuals = ResidualWatch(platform, self.book)
        self.areas = AreaWatch(platform, self.book)
        self.stamps = StampWatch(platform, self.book)
        self.incumbent = IncumbentWatch(platform, self.book, self.stamps)

    def check_data(self, now: datetime) -> list[Finding]:
        """Run the data checks as of `now`: flag spoilt samples in the store, open and close signals in the ledger."""
        panel = self._history.panel(now, now - self._plan.lookback - timedelta(days=1))
        seen = check_data(panel, now, self._plan)
        seen = with_stamps(seen, self.stamps.findings(now))
        revisions = flag_revisions(panel, seen, now)
        if not revisions.is_empty():
            self._platform.store.append(revisions, source="check")
            self._history.invalidate()
        state = self._platform.ledger.get(StateRecord, FAULTS)
        known = [] if state is None else [finding_from(item) for item in state.state["open"]]
        if not seen and not known:
            return seen
        found = reconcile(known, seen)
        opened = [signal_of(finding, now) for finding in found.opened]
        ended = {signal.key for signal, finding in zip(opened, found.opened, strict=True) if not finding.active}
        # A fault that is over is told for some days: it was opened and closed before and stays so.
        opened = [s for s in opened if self._platform.ledger.get(SignalRecord, s.key) is None or s.key not in ended]
        left_open = [finding_to(item) for item in (*found.lasting, *found.opened) if item.active]
        if not opened and not found.closed and state is not None and left_open == state.state["open"]:
            return seen
        with self._platform.ledger.change(ACTOR, now) as change:
            change.put(StateRecord(FAULTS, now, {"open": left_open}))
            change.note("data.check", "faults", {"open": len(left_open), "flagged": revisions.height})
            for signal in opened:
                change.put(record_of_signal(signal, now if signal.key in ended else None))
                change.note("signal.open", signal.key, {"class": signal.signal_class, "reason": signal.reason})
            for record in self._over([*found.lasting, *found.opened]):
                change.put(replace(record, closed_at=now))
                change.note("signal.close", record.key, {"reason": why_closed(record)})
        return seen

    def _over(self, active: list[Finding]) -> list[SignalRecord]:
        """Return the open signals of faults that no finding is about any more, whenever that began by now."""
        told = self._platform.ledger.find(SignalRecord, signal_class=["data_fault", "covariate_shift"], closed_at=None)
        left = [(f.kind, f.quantity, set(f.areas)) for f in active if f.active]
        return [
            one
            for one in told
            if "quantity" in one.evidence
            and not any(
                (kind, quantity) == (one.evidence["kind"], one.evidence["quantity"]) and areas & set(one.areas)
                for kind, quantity, areas in left
            )
        ]

    def close_days(self, now: datetime) -> list[date]:
        """Let the residual monitors see the days whose truth has come, close them, and judge the stamps of the newest.

        None is closed unseen.
        """
        due = self.book.due(now)
        self.residuals.see(due, now)
        self.areas.see(due, now)
        self.book.close(now)
        if self.stamps.see(now):  # what begins or ends now is flagged before the next forecast is made
            self.check_data(now)
        self.incumbent.see(now)
        return due

    def calibrate(self, now: datetime) -> None:
        """Bring the online offsets of the serving releases up to date, if the project wants them."""
        if self._platform.project.model.online_calibration:
            self.book.calibrate(now, self._asked_at())

    def _asked_at(self) -> datetime | None:
        """Return when the newest open signal asked to recalibrate, None where none does."""
        open_worse = self._platform.ledger.find(SignalRecord, signal_class="degradation", closed_at=None)
        asking = [one.at for one in open_worse if action_of(signal_of_record(one)) == "recalibrate"]
        return max(asking, default=None)

    def unmasked(self) -> frozenset[str]:
        """Return areas whose recent data holds faults that no flag masks: an open level fault of unknown cause."""
        state = self._platform.ledger.get(StateRecord, FAULTS)
        if state is None:
            return frozenset()
        findings = [finding_from(item) for item in state.state["open"]]
        return frozenset(area for f in findings if f.kind == "shift" and f.active for area in f.areas)


def why_closed(record: SignalRecord) -> str:
    """Return what the log says of a signal that no finding is about any more; of an unknown level only what is seen."""
    if record.signal_class == "covariate_shift":
        return "the level no longer stands out from the neighbours': it is back, or can no longer be told"
    return "the fault is over"


def with_stamps(seen: list[Finding], stamped: list[Finding]) -> list[Finding]:
    """Return the checks' findings with those of the stamp test; one fault once, the one that lasts before the other."""
    for one in stamped:
        alike = [other for other in seen if one.same_as(other)]
        if not any(other.active for other in alike):
            seen = [*(other for other in seen if other not in alike), one]
    return seen
