"""What gateway workers that share a port tell each other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloser.app import Platform
from recloser.app.loop.book import DayBook
from recloser.app.loop.evidence import DIVERGENCE, LedgerEvidence
from recloser.app.loop.history import History
from recloser.app.processes.cuts import FoundCut, write_cut
from recloser.app.processes.hosts.identity import HOST, Identity, alive, host_name
from recloser.app.processes.reports import SILENT, Report, forget_reports, read_reports, settled, write_report
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
    here = host_name()
    names = ["3.json", "4.json", f"{here}_0_1.json", f"{here}_0_2.json"]
    assert sorted(path.name for path in (tmp_path / "gateways").iterdir()) == sorted(names)


def test_processes_of_several_hosts_and_ports_keep_their_own_reports_on_one_volume(tmp_path: Path) -> None:
    now = datetime(2020, 4, 30, 7, tzinfo=UTC)
    own = [Report.of(Identity.here("1", port), 5, (), "") for port in (8080, 9090)]
    far = [Report("1", os.getpid(), 4, host=host, port=8080) for host in ("south", "north")]
    for report in (*own, *far):
        write_report(tmp_path, report, now)
    assert {(one.host, one.port) for one in read_reports(tmp_path, now)} == {
        (host_name(), 8080),
        (host_name(), 9090),
        ("south", 8080),
        ("north", 8080),
    }
    write_report(tmp_path, far[0], now + SILENT)
    later = read_reports(tmp_path, now + SILENT + timedelta(seconds=1))  # those of here are known to live
    assert {(one.host, one.port) for one in later} == {(host_name(), 8080), (host_name(), 9090), ("south", 8080)}
    forget_reports(tmp_path, 8080)  # as an `up` that starts anew on that port
    assert {(one.host, one.port) for one in read_reports(tmp_path, now)} == {
        (host_name(), 9090),
        ("south", 8080),
        ("north", 8080),
    }


def test_a_later_process_of_the_same_pid_is_another(tmp_path: Path) -> None:
    who = Identity.here()
    if not who.started:
        pytest.skip("this system does not say when a process began")
    assert alive(who.pid, who.started)
    assert not alive(who.pid, who.started + 1)
    write_report(tmp_path, Report.of(replace(who, started=who.started + 1), 5, (), ""))
    assert read_reports(tmp_path) == []


def test_a_host_may_be_given_a_name() -> None:
    assert host_name({HOST: "gw_1/north"}) == "gw-1-north"


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


def test_what_follows_streams_calculates_in_one_thread() -> None:
    words = {"controller": ["c"], "collector": ["k"], "detector": ["d"], "link pmu": ["l"], "console": ["p"]}
    children = family(words, 1, listen("127.0.0.1", 0))
    single = [child.name for child in children if child.environment.get("OPENBLAS_NUM_THREADS") == "1"]
    assert single == ["collector", "detector", "link pmu"]


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
