"""What gateway workers that share a port tell each other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloser.app import Platform
from recloser.app.loop.book import DayBook
from recloser.app.loop.evidence import DIVERGENCE, LedgerEvidence
from recloser.app.loop.history import History
from recloser.app.processes.cuts import FoundCut, write_cut
from recloser.app.processes.reports import Report, read_reports, settled, write_report
from recloser.app.processes.server import LISTENING, WORKER, Place, listen
from recloser.app.processes.supervisor import family
from recloser.core import VirtualClock
from recloser.ledger import RouteRecord, StateRecord
from recloser.rollout import CutOff, Rollout, RolloutState, decide
from recloser.serving import Cut

COMMANDS = {"gateway": ["g"], "controller": ["c"]}


def test_reports_are_read_back_and_those_of_the_dead_or_damaged_are_not(tmp_path: Path) -> None:
    assert read_reports(tmp_path) == []
    mine = Report("1", os.getpid(), 7, ("rel-2",))
    write_report(tmp_path, Report("1", os.getpid(), 6))
    write_report(tmp_path, mine)
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    write_report(tmp_path, Report("2", gone.pid, 3))
    (tmp_path / "gateways" / "3.json").write_text('{"worker": "3"')
    (tmp_path / "gateways" / "4.json").write_text("[]")
    assert read_reports(tmp_path) == [mine]
    assert sorted(path.name for path in (tmp_path / "gateways").iterdir()) == ["1.json", "2.json", "3.json", "4.json"]


@pytest.mark.parametrize(
    ("epochs", "agreed"), [([], True), ([4], False), ([5], True), ([5, 4], False), ([5, 5], True), ([5, 6], True)]
)
def test_a_route_is_settled_when_every_worker_follows_it(epochs: list[int], *, agreed: bool) -> None:
    reports = [Report(str(k), 1, epoch) for k, epoch in enumerate(epochs)]
    assert settled(reports, 5) is agreed


def test_a_release_that_a_gateway_cut_off_alone_is_evidence_for_its_trip(project: Path) -> None:
    now = datetime(2020, 4, 30, 7, tzinfo=UTC)
    with Platform.open(project, clock=VirtualClock(now)) as platform:
        route = RouteRecord("route", 5, "rel-1", "rel-2", 0.5, [], None, [], None, "test", now)
        with platform.ledger.change("test", now) as change:
            change.put(route)
            change.note("test", "route", {})
        evidence = LedgerEvidence(platform, DayBook(platform, History(platform.store, platform.watched)))
        trial = Rollout("rollout-1", "rel-2", "rel-1", RolloutState.CANARY, now, now)
        assert evidence.gather(trial, now).cut_off is None
        cut = Cut("rel-2", "2 failed answers; the last: F02: not finite", now, ("F01: not finite", "F02: not finite"))
        write_cut(platform.layout.state, FoundCut(4, "1", cut))  # under another route
        assert evidence.gather(trial, now).cut_off is None
        write_cut(platform.layout.state, FoundCut(5, "2", cut))
        found = evidence.gather(trial, now)
        assert found.incidents == {}
        assert found.cut_off == CutOff(f"gateway worker 2 cut it off: {cut.reason}", cut.failures)
        action = decide(trial, found, now)
        assert (action.state, action.tier, action.recall) == (RolloutState.TRIPPED, "T0", True)
        assert action.reason == f"rel-2: gateway worker 2 cut it off: {cut.reason}"
        assert action.numbers["failures"] == list(cut.failures)


def test_an_issue_found_odd_is_evidence_where_it_is_the_models_fault(project: Path) -> None:
    now = datetime(2020, 4, 30, 7, tzinfo=UTC)
    with Platform.open(project, clock=VirtualClock(now)) as platform:
        evidence = LedgerEvidence(platform, DayBook(platform, History(platform.store, platform.watched)))
        trial = Rollout("rollout-1", "rel-2", "rel-1", RolloutState.CANARY, now, now)
        before = {"trailing": 0, "limit": None, "worst": None}  # as recorded before shapes were judged
        local, all_over = ["amplitude", ["F01"], False], ["lag", ["F01", "F02"], True]
        for state, told in [
            (before, ()),
            ({**before, "odd": [local]}, ()),
            ({**before, "odd": [local, all_over]}, ("the same course at another hour (2 areas)",)),
        ]:
            with platform.ledger.change("test", now) as change:
                change.put(StateRecord(f"{DIVERGENCE}/rel-2", now, state))
                change.note("test", "divergence", {})
            found = evidence.gather(trial, now)
            assert found.odd == told
            assert decide(trial, found, now).tier == ("T1" if told else "")


def test_one_gateway_listens_for_itself() -> None:
    shared = listen("127.0.0.1", 0)
    children = family(COMMANDS, 1, shared)
    assert [(child.name, child.inherited) for child in children] == [("gateway", ()), ("controller", ())]
    assert shared.fileno() == -1


def test_several_gateways_share_one_socket() -> None:
    with listen("127.0.0.1", 0) as shared:
        children = family(COMMANDS, 2, shared)
        assert [child.name for child in children] == ["gateway 1", "gateway 2", "controller"]
        assert [child.environment.get(WORKER) for child in children] == ["1", "2", None]
        assert {child.environment.get(LISTENING) for child in children} == {str(shared.fileno()), None}
        assert all(child.environment["OMP_NUM_THREADS"] == "1" for child in children[:2])
        place = Place("127.0.0.1", 0, "2", os.dup(shared.fileno()))
        with place.listening() as heir, socket.create_connection(shared.getsockname()):
            accepted, _ = heir.accept()
            accepted.close()
