"""What gateways of several hosts tell each other: a PostgreSQL ledger carries it, a file of one host nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from postgresql_server import Cluster

from recloser.app.processes.cuts import FoundCut
from recloser.app.processes.hosts.identity import Identity
from recloser.app.processes.hosts.word import LedgerWord, all_follow, heard_cuts, in_reach, living, told_reports
from recloser.app.processes.reports import Report
from recloser.ledger import Ledger
from recloser.serving import Cut

NOW = datetime(2020, 4, 30, 7, tzinfo=UTC)
LEASE = timedelta(minutes=15)


def identity(host: str, worker: str = "1") -> Identity:
    return Identity(host, 8080, worker, 1, 7)


def report(who: Identity, epoch: int) -> Report:
    return Report.of(who, epoch, (), "")


@pytest.fixture
def ledger(postgresql_cluster: Cluster) -> Iterator[Ledger]:
    with Ledger.open(postgresql_cluster.new_place()) as opened:
        yield opened


def test_a_ledger_of_one_host_is_told_nothing(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        word = LedgerWord(ledger, identity("north"))
        word.tell(report(identity("north"), 3), [], NOW)
        word.close()
        assert ledger.length() == 0
        assert told_reports(ledger) == []
        assert all_follow(ledger, 9, timedelta(0), LEASE)
        assert heard_cuts(ledger, 3, {"rel-2"}) == []


@pytest.mark.services
def test_a_route_is_followed_when_every_living_gateway_says_so(ledger: Ledger, tmp_path: Path) -> None:
    words = {host: LedgerWord(ledger, identity(host)) for host in ("north", "south")}
    for host, word in words.items():
        word.tell(report(identity(host), 3), [], NOW)
    assert {one.host: one.epoch for one in told_reports(ledger)} == {"north": 3, "south": 3}
    assert all_follow(ledger, 3, timedelta(0), LEASE)
    words["north"].tell(report(identity("north"), 4), [], NOW)
    assert not all_follow(ledger, 4, 10 * LEASE, LEASE)  # the other lives, and is late
    assert {one.host for one in living(tmp_path, ledger, NOW)} == {"north", "south"}
    words["south"]._stack.close()  # its connection is lost, as when it is killed or cut off
    assert not in_reach(ledger, report(identity("south"), 3))
    assert not all_follow(ledger, 4, LEASE / 2, LEASE)
    assert all_follow(ledger, 4, LEASE, LEASE)
    assert {one.host for one in living(tmp_path, ledger, NOW)} == {"north"}
    words["south"].tell(report(identity("south"), 4), [], NOW)  # it is back
    assert in_reach(ledger, report(identity("south"), 4))
    assert all_follow(ledger, 4, timedelta(0), LEASE)


@pytest.mark.services
def test_one_that_was_stopped_is_not_waited_for(ledger: Ledger) -> None:
    stopped, other = LedgerWord(ledger, identity("north")), LedgerWord(ledger, identity("south"))
    for word, host in ((stopped, "north"), (other, "south")):
        word.tell(report(identity(host), 3), [], NOW)
    stopped.close()
    other.tell(report(identity("south"), 4), [], NOW)
    assert all_follow(ledger, 4, timedelta(0), LEASE)
    heir = LedgerWord(ledger, identity("north"))
    heir.tell(report(identity("north"), 3), [], NOW)
    assert not all_follow(ledger, 4, timedelta(0), LEASE)


@pytest.mark.services
def test_a_cut_is_heard_under_its_route_and_the_first_one_counts(ledger: Ledger) -> None:
    cut = Cut("rel-2", "3 failed answers", NOW, ("F01: not finite",))
    for host, reason in (("north", "3 failed answers"), ("south", "another reason")):
        found = FoundCut(5, "1", Cut("rel-2", reason, NOW, cut.failures))
        word = LedgerWord(ledger, identity(host))
        word.tell(report(identity(host), 5), [found], NOW)
        before = ledger.length()
        word.tell(report(identity(host), 5), [found], NOW)
        assert ledger.length() == before  # no news
    assert heard_cuts(ledger, 5, {"rel-1", "rel-2"}) == [FoundCut(5, "1 on north", cut)]
    assert heard_cuts(ledger, 6, {"rel-2"}) == []


@pytest.mark.services
def test_a_server_that_was_away_is_told_again_who_lives(ledger: Ledger, postgresql_cluster: Cluster) -> None:
    word = LedgerWord(ledger, identity("north"))
    word.tell(report(identity("north"), 3), [], NOW)
    postgresql_cluster.stop("immediate")
    postgresql_cluster.start()
    assert not in_reach(ledger, report(identity("north"), 3))
    word.tell(report(identity("north"), 3), [], NOW)
    assert in_reach(ledger, report(identity("north"), 3))
