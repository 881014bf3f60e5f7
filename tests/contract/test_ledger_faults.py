"""Connections lost at every place of a change, and a leader that is paused or loses its session."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from recloser.core import Refused, Unavailable
from recloser.ledger import Leadership, Ledger, PinRecord, RouteRecord, StateRecord

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
PLACES = ("begin", "head", "rows", "entries", "commit")


class Present:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def route(epoch: int, share: float) -> RouteRecord:
    return RouteRecord("route", epoch, "rel-1", "rel-2", share, [], None, [], None, "a test", NOW)


def step(ledger: Ledger, epoch: int, share: float) -> None:
    """Write one step of a canary as a controller does: everything or nothing, once."""
    fence = ledger.version_of(StateRecord, "fence")
    with ledger.change("rollout", NOW) as change:
        change.put(StateRecord("fence", NOW, {"by": "test"}), expected_version=fence)
        change.put(route(epoch, share))
        change.add(PinRecord(f"step-{epoch}", "t", epoch, "d" * 64, "test", NOW))
        change.note("rollout.canary", "rel-2", {"epoch": epoch})


def place_of(statement: str) -> str:
    if statement.startswith("SELECT audit_head"):
        return "head"
    return "entries" if "audit_entries" in statement else "rows"


@pytest.fixture
def cutting() -> Iterator[Callable[[str, Callable[[int], None]], None]]:
    """Let the next writing transaction of this process lose its connection at a place, by what `cut(pid)` does."""
    armed: dict[str, Callable[[int], None]] = {}

    def reached(connection: sa.Connection, place: str) -> None:
        writing = connection.get_execution_options().get("writing", False)
        if writing and place in armed:
            cut = armed.pop(place)
            armed.clear()
            cut(connection.connection.dbapi_connection.info.backend_pid)  # type: ignore[union-attr]

    def began(connection: sa.Connection) -> None:
        reached(connection, "begin")

    def executes(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        reached(connection, place_of(statement))

    def commits(connection: sa.Connection) -> None:
        reached(connection, "commit")

    event.listen(sa.Engine, "begin", began)
    event.listen(sa.Engine, "before_cursor_execute", executes)
    event.listen(sa.Engine, "commit", commits)
    yield lambda place, cut: armed.update({place: cut})
    event.remove(sa.Engine, "begin", began)
    event.remove(sa.Engine, "before_cursor_execute", executes)
    event.remove(sa.Engine, "commit", commits)


@pytest.mark.services
@pytest.mark.parametrize("how", ["its backend is ended", "the server is killed and started again"])
def test_a_connection_lost_at_any_place_of_a_change_leaves_all_or_nothing(
    how: str, postgresql_cluster: Any, cutting: Callable[[str, Callable[[int], None]], None]
) -> None:
    def cut(pid: int) -> None:
        if how == "its backend is ended":
            with psycopg.connect(f"host={postgresql_cluster.folder} user=postgres dbname=postgres") as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        else:
            postgresql_cluster.stop("immediate")
            postgresql_cluster.start()

    with Ledger.open(postgresql_cluster.new_place()) as ledger:
        step(ledger, 1, 0.1)
        for epoch, place in enumerate(PLACES, start=2):
            before = ledger.get(RouteRecord, "route")
            cutting(place, cut)
            with pytest.raises(Unavailable):
                step(ledger, epoch, epoch / 10)
            assert ledger.get(RouteRecord, "route") == before, place
            step(ledger, epoch, epoch / 10)
            assert ledger.get(RouteRecord, "route") == route(epoch, epoch / 10)
        assert len(ledger.entries()) == len(ledger.find(PinRecord)) == 1 + len(PLACES)
        found = ledger.verify()
        assert found.ok, found.reason


@pytest.mark.services
def test_a_leader_whose_session_the_server_lost_is_fenced_off(postgresql_cluster: Any) -> None:
    place = postgresql_cluster.new_place()
    with Ledger.open(place) as one, Ledger.open(place) as two:
        first = Leadership(one, "controller", "one", Present(), timedelta(minutes=10)).__enter__()
        step(first.ledger, 1, 0.1)
        postgresql_cluster.stop("immediate")
        postgresql_cluster.start()
        with Leadership(two, "controller", "two", Present(), timedelta(minutes=10)) as second:
            step(second.ledger, 2, 0.0)
            with pytest.raises(Refused, match="another process leads by now"):
                step(first.ledger, 3, 0.5)
            assert not first.keep()
        assert two.get(RouteRecord, "route") == route(2, 0.0)
        assert two.verify().ok


@pytest.mark.chaos
@pytest.mark.slow
def test_a_leader_that_was_stopped_and_wakes_up_after_its_lease_writes_nothing(ledger_url: str) -> None:
    """Two real processes: the first is stopped by SIGSTOP while it writes, the second leads after its lease."""
    lease, told, goes = timedelta(seconds=1), os.pipe(), os.pipe()
    with Ledger.open(ledger_url) as made:
        step(made, 1, 0.1)
    child = os.fork()
    if child == 0:
        code = 9
        with Ledger.open(ledger_url) as mine, Leadership(mine, "controller", "one", Present(), lease) as first:
            os.write(told[1], b"leads")
            os.read(goes[0], 2)
            try:
                step(first.ledger, 9, 1.0)
            except Refused:
                code = 0 if not first.keep() else 8
        os._exit(code)
    assert os.read(told[0], 5) == b"leads"
    os.kill(child, signal.SIGSTOP)
    with Ledger.open(ledger_url) as ledger:
        until = time.monotonic() + 60.0
        leader = Leadership(ledger, "controller", "two", Present(), timedelta(minutes=10))
        while leader.epoch == 0:
            try:
                leader.__enter__()
            except Unavailable:
                assert time.monotonic() < until
                time.sleep(0.05)
        step(leader.ledger, 2, 0.0)
        os.kill(child, signal.SIGCONT)
        os.write(goes[1], b"go")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert ledger.get(RouteRecord, "route") == route(2, 0.0)
        assert ledger.verify().ok
        leader.__exit__(None, None, None)
