"""What every ledger promises, on SQLite and on a real PostgreSQL server that the tests start and stop."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from recloser.core import InvalidInput, Refused, Unavailable, canonical_json
from recloser.ledger import (
    RECORD_TYPES,
    ForecastRecord,
    Ledger,
    PairedDayRecord,
    PinRecord,
    ReleaseRecord,
    RolloutRecord,
    RouteRecord,
    RunRecord,
    SignalRecord,
    StateRecord,
    StepRecord,
    TriggerRecord,
    TripRecord,
    VerdictRecord,
)
from recloser.ledger.schema import METADATA

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
LATER = NOW + timedelta(hours=5, microseconds=7)
FACTS = {"mape": 3.25, "ok": True, "areas": ["Zürich", "b"], "none": None, "deep": {"n": [1, 2.5, 1e-9]}}


class Cluster:
    """A private PostgreSQL cluster on a Unix socket, owned by a user who is not root."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="rcl-pg-", dir="/tmp"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._numbers = itertools.count(1)
        self._run("initdb", "-D", f"{self.folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60, cwd="/")

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
        log = f"{self.folder}/log"
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-o", options, "-l", log, "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-m", mode, "stop")

    def new_database(self, template: str = "template1") -> str:
        name = f"ledger_{next(self._numbers)}"
        with psycopg.connect(f"host={self.folder} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL's server binaries are not installed (Debian: apt-get install postgresql)")
    server = Cluster(found[-1].parent)
    try:
        server.start()
        yield server
        server.stop("immediate")
    finally:
        shutil.rmtree(server.folder)


BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.services)]


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: Cluster = request.getfixturevalue("cluster")
    return server.new_database()


@pytest.fixture(scope="module")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "filled.db"
    fill(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def postgresql_template(cluster: Cluster) -> str:
    place = cluster.new_database()
    fill(place)
    return str(sa.make_url(place).database)


@pytest.fixture(params=BACKENDS)
def filled_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a copy of a ledger with five entries."""
    template = request.getfixturevalue(f"{request.param}_template")
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(template, tmp_path)}"
    server: Cluster = request.getfixturevalue("cluster")
    return server.new_database(template)


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url) as opened:
        yield opened


def forecast(key: str = "f1", area: str = "a", *, issued_at: datetime = NOW, void: bool = False) -> ForecastRecord:
    last = issued_at + timedelta(hours=39)
    return ForecastRecord(
        key=key,
        area=area,
        issued_at=issued_at,
        made_at=issued_at,
        first_target=issued_at + timedelta(hours=15),
        last_target=last,
        release="rel-1",
        served_by="rel-1",
        reason="champion",
        targets=["2020-03-02T00:00:00Z"],
        quantiles=[0.1, 0.5, 0.9],
        answers={"rel-1": [[1.5, 2.0, 3.25]], "rel-2": [[1.0, 2.0, None]]},
        void=void,
        void_at=LATER if void else None,
        void_reason="trip" if void else None,
        replaced_by=None,
    )


def pin(key: str = "p1", version: int = 3) -> PinRecord:
    return PinRecord(key, "samples", version, "d" * 64, "run-1", NOW)


ONE_OF_EACH = [
    RunRecord("run-1", "manual", "first", NOW, "done", NOW, LATER, "rel-1", "pass", FACTS),
    StepRecord("run-1/train", "run-1", "train", 2, "failed", 3, "e" * 64, None, {"what": "no"}, NOW, None),
    ReleaseRecord("rel-1", "a" * 64, "/packages/rel-1", "run-1", NOW, "candidate", None, FACTS),
    VerdictRecord("v-1", "rel-1", NOW, "hold", "no data", [{"name": "x", "verdict": "hold"}], "b" * 64),
    RolloutRecord("ro-1", "rel-2", "rel-1", "canary", LATER, NOW, None, 0.1, "started", FACTS, {}),
    RouteRecord("route", 7, None, "rel-2", 1.0, ["a", "b"], None, ["seasonal_naive"], LATER, "boot", NOW),
    forecast(void=True),
    PairedDayRecord("ro-1/2020-03-01", "ro-1", "2020-03-01", -1.5e-7, 48, NOW, FACTS),
    SignalRecord("s-1", NOW, "data_fault", "high", ["a"], NOW, "stuck", FACTS, None),
    TripRecord("t-1", NOW, "rel-2", "T1", "diverged", ["f1"]),
    TriggerRecord("g-1", NOW, "drift", "signal s-1", "skip", "cooling down", None),
    pin(),
    StateRecord("monitor/a", NOW, {"sum": 1.25}),
]


def write(ledger: Ledger, *records: object, action: str = "test.put", subject: str = "x") -> None:
    with ledger.change(actor="test", now=NOW) as change:
        for record in records:
            change.put(record)
        change.note(action, subject, {"n": len(records)})


def test_one_of_each_record_type_is_tested() -> None:
    assert {type(record) for record in ONE_OF_EACH} == set(RECORD_TYPES)


def test_records_read_back_equal_and_survive_reopening(url: str) -> None:
    with Ledger.open(url) as ledger:
        write(ledger, *ONE_OF_EACH)
    with Ledger.open(url) as ledger:
        for record in ONE_OF_EACH:
            assert ledger.get(type(record), record.key) == record
            assert ledger.find(type(record)) == [record]
        assert ledger.get(RunRecord, "no such") is None
        assert ledger.verify().ok


def test_times_read_back_aware_and_utc(ledger: Ledger) -> None:
    write(ledger, forecast())
    read = ledger.get(ForecastRecord, "f1")
    assert read is not None
    assert read.last_target.tzinfo is UTC


def test_an_error_in_the_block_writes_nothing(ledger: Ledger) -> None:
    def broken() -> None:
        with ledger.change("test", NOW) as change:
            change.put(pin())
            change.note("pin.add", "p1")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        broken()
    assert ledger.find(PinRecord) == []
    assert ledger.entries() == []


def test_writing_without_a_note_is_refused_and_writes_nothing(ledger: Ledger) -> None:
    with pytest.raises(InvalidInput, match="no audit note"), ledger.change("test", NOW) as change:
        change.put(pin())
    assert ledger.find(PinRecord) == []


def test_an_existing_key_refuses_the_whole_change(ledger: Ledger) -> None:
    write(ledger, pin("p2"))

    def conflict() -> None:
        with ledger.change("test", NOW) as change:
            change.put(pin("p0"))
            change.add_all([pin("p1"), pin("p2", 99), pin("p3")])
            change.note("pin.add", "all")

    with pytest.raises(Refused) as caught:
        conflict()
    assert caught.value.got == "p2"
    assert [record.key for record in ledger.find(PinRecord)] == ["p2"]
    assert len(ledger.entries()) == 1
    assert ledger.verify().ok


def test_versions_count_writes_and_guard_them(ledger: Ledger) -> None:
    assert ledger.version_of(PinRecord, "p1") == 0

    def swap(version: int, expected: int) -> None:
        with ledger.change("test", NOW) as change:
            change.put(pin(version=version), expected_version=expected)
            change.note("n", "s")

    swap(1, expected=0)
    write(ledger, pin(version=2))
    stored = ledger.stored(PinRecord, "p1")
    assert stored is not None
    assert (stored.record.version, stored.version) == (2, 2)
    swap(3, expected=2)
    for stale in (0, 1, 2, 4):
        with pytest.raises(Refused):
            swap(99, expected=stale)
    assert ledger.get(PinRecord, "p1") == pin(version=3)
    assert len(ledger.entries()) == 3


def test_writes_of_one_key_in_one_change_follow_each_other(ledger: Ledger) -> None:
    write(ledger, pin(version=1), forecast(), pin(version=2), pin(version=3))
    assert ledger.get(PinRecord, "p1") == pin(version=3)
    assert ledger.verify().ok


def test_find_filters_orders_and_limits(ledger: Ledger) -> None:
    days = [NOW + timedelta(days=day) for day in range(4)]
    write(ledger, *(forecast(f"{area}{day}", area, issued_at=days[day]) for area in "ba" for day in range(4)))
    write(ledger, forecast("a1", "a", issued_at=days[1], void=True))

    def keys(**filters: object) -> list[str]:
        return [record.key for record in ledger.find(ForecastRecord, **filters)]  # type: ignore[arg-type]

    assert keys() == ["a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"]
    assert keys(area="a", void=False, order_by="issued_at", descending=True) == ["a3", "a2", "a0"]
    assert keys(order_by="issued_at", limit=3) == ["a0", "b0", "a1"]
    assert keys(area="b", since=("issued_at", days[2])) == ["b2", "b3"]
    assert keys(key=["b3", "a0", "none"]) == ["a0", "b3"]
    assert keys(area=[]) == []
    assert keys(void_at=LATER) == ["a1"]
    assert keys(void_at=None, issued_at=days[1]) == ["b1"]


@pytest.mark.parametrize("filters", [{"aera": "a"}, {"order_by": "isued_at"}, {"area": 3}, {"issued_at": "now"}])
def test_find_names_what_it_does_not_know(ledger: Ledger, filters: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        ledger.find(ForecastRecord, **filters)  # type: ignore[arg-type]


def test_unknown_types_are_refused(ledger: Ledger) -> None:
    @dataclass(frozen=True)
    class Stranger:
        key: str

    with pytest.raises(InvalidInput, match="not a record type"):
        write(ledger, Stranger("x"))
    with pytest.raises(InvalidInput):
        ledger.get(Stranger, "x")


def test_entries_are_chained_as_documented(ledger: Ledger) -> None:
    with ledger.change("rollout", NOW) as change:
        change.put(pin())
        change.note("rollout.trip", "rel-1", FACTS)
        change.note("forecast.recall", "f1")
    write(ledger, forecast())
    entries = ledger.entries()
    assert [(entry.seq, entry.actor, entry.action, entry.subject) for entry in entries] == [
        (1, "rollout", "rollout.trip", "rel-1"),
        (2, "rollout", "forecast.recall", "f1"),
        (3, "test", "test.put", "x"),
    ]
    assert entries[0].facts == FACTS
    assert [[record[:2] for record in entry.records] for entry in entries] == [
        [("pins", "p1")],
        [],
        [("forecasts", "f1")],
    ]
    previous = "0" * 64
    for entry in entries:
        at = entry.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        whole = [entry.seq, at, entry.actor, entry.action, entry.subject, entry.facts, entry.records, previous]
        assert entry.previous == previous
        assert entry.hash == hashlib.sha256(canonical_json(whole)).hexdigest()
        previous = entry.hash
    assert [entry.seq for entry in ledger.entries(after=1, limit=1)] == [2]
    assert [entry.seq for entry in ledger.entries(subject="rel-1")] == [1]


def test_a_change_may_be_only_a_note_or_nothing(ledger: Ledger) -> None:
    with ledger.change("test", NOW) as change:
        change.note("gate.explain", "rel-1")
    with ledger.change("test", NOW):
        pass
    with pytest.raises(InvalidInput, match="over"):
        change.put(pin())
    assert [entry.records for entry in ledger.entries()] == [()]
    assert ledger.verify().ok


_TEXTS = "at, actor, action, subject, facts, records"
_PIN_FIELDS = "table_name, version, digest, owner, at"

# Ways to damage a ledger of five entries by hand, and the first entry that is then bad.
DAMAGE: dict[str, tuple[list[str], int]] = {
    "edited facts": (["UPDATE audit_entries SET facts = '{\"n\":2}' WHERE seq = 3"], 3),
    "reformatted facts": (["UPDATE audit_entries SET facts = '{\"n\": 1}' WHERE seq = 3"], 3),
    "edited actor": (["UPDATE audit_entries SET actor = 'nobody' WHERE seq = 2"], 2),
    "edited time": (["UPDATE audit_entries SET at = '2020-03-01T08:00:00.000000Z' WHERE seq = 5"], 5),
    "edited hash": (["UPDATE audit_entries SET hash = previous WHERE seq = 4"], 4),
    "unreadable": (["UPDATE audit_entries SET records = 'x' WHERE seq = 4"], 4),
    "first dropped": (["DELETE FROM audit_entries WHERE seq = 1"], 1),
    "middle dropped": (["DELETE FROM audit_entries WHERE seq = 3"], 3),
    "tail dropped": (["DELETE FROM audit_entries WHERE seq > 3"], 4),
    "all dropped": (["DELETE FROM audit_entries"], 1),
    "dropped and renumbered": (
        ["DELETE FROM audit_entries WHERE seq = 3", "UPDATE audit_entries SET seq = seq - 1 WHERE seq > 3"],
        3,
    ),
    "reordered": (
        [
            "UPDATE audit_entries SET seq = 99 WHERE seq = 2",
            "UPDATE audit_entries SET seq = 2 WHERE seq = 3",
            "UPDATE audit_entries SET seq = 3 WHERE seq = 99",
        ],
        2,
    ),
    "appended": (
        [f"INSERT INTO audit_entries SELECT 6, {_TEXTS}, hash, hash FROM audit_entries WHERE seq = 5"],  # noqa: S608 - constants
        6,
    ),
    "tail dropped, head count adapted": (
        ["DELETE FROM audit_entries WHERE seq = 5", "UPDATE audit_head SET entries = 4"],
        4,
    ),
    "head gone": (["DELETE FROM audit_head"], 6),
    "head edited": (["UPDATE audit_head SET entries = 7"], 6),
    "record edited": (["UPDATE pins SET version = 77 WHERE key = 'p3'"], 4),
    "record nulled": (["UPDATE runs SET candidate = NULL"], 5),
    "record dropped": (["DELETE FROM pins WHERE key = 'p2'"], 3),
    "record inserted": (
        [f"INSERT INTO pins SELECT 'p9', {_PIN_FIELDS}, 1 FROM pins WHERE key = 'p1'"],  # noqa: S608 - constants
        6,
    ),
    "record rolled back to an older state": (["UPDATE pins SET version = 3 WHERE key = 'p1'"], 2),
}

UNGUARD = {
    "sqlite": ["DROP TRIGGER audit_entries_no_update", "DROP TRIGGER audit_entries_no_delete"],
    "postgresql": ["DROP TRIGGER audit_entries_no_change ON audit_entries"],
}


def execute(url: str, *statements: str) -> None:
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


def fill(url: str) -> None:
    with Ledger.open(url) as ledger:
        write(ledger, pin("p1", 3))
        write(ledger, pin("p1", 4))
        write(ledger, pin("p2"))
        write(ledger, pin("p3"))
        write(ledger, ONE_OF_EACH[0])
        assert ledger.verify().ok


@pytest.mark.parametrize("damage", DAMAGE)
def test_verify_finds_damage_and_names_the_first_bad_entry(filled_url: str, damage: str) -> None:
    statements, first_bad = DAMAGE[damage]
    execute(filled_url, *UNGUARD[sa.make_url(filled_url).get_backend_name()], *statements)
    with Ledger.open(filled_url) as ledger:
        found = ledger.verify()
    assert not found.ok
    assert found.first_bad == first_bad, found.reason
    assert found.reason


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_entries SET actor = 'x' WHERE seq = 1", "DELETE FROM audit_entries WHERE seq = 5"]
)
def test_the_database_itself_refuses_to_change_entries(filled_url: str, statement: str) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="never changed"):
        execute(filled_url, statement)
    with Ledger.open(filled_url) as ledger:
        assert ledger.verify().ok


def test_a_record_made_unreadable_by_hand_is_refused_with_a_next_step(filled_url: str) -> None:
    execute(filled_url, "UPDATE runs SET parameters = '{' WHERE key = 'run-1'")
    with Ledger.open(filled_url) as ledger, pytest.raises(Refused, match="audit verify"):
        ledger.get(RunRecord, "run-1")


def test_a_ledger_of_a_newer_version_is_refused(filled_url: str) -> None:
    execute(filled_url, "UPDATE ledger_version SET version_num = '9999'")
    with pytest.raises(Refused, match="newer version"):
        Ledger.open(filled_url)


def test_a_database_of_another_program_is_refused_and_left_alone(url: str) -> None:
    execute(url, "CREATE TABLE runs (run_uuid TEXT)")
    with pytest.raises(InvalidInput, match="another program"):
        Ledger.open(url)
    engine = sa.create_engine(url)
    assert sa.inspect(engine).get_table_names() == ["runs"]
    engine.dispose()


def test_the_migrations_make_the_declared_tables(filled_url: str) -> None:
    engine = sa.create_engine(filled_url)
    with engine.connect() as connection:
        migration = MigrationContext.configure(connection, opts={"version_table": "ledger_version"})
        assert compare_metadata(migration, METADATA) == []
    engine.dispose()


def test_threads_write_and_read_at_once_without_losing_anything(ledger: Ledger) -> None:
    write(ledger, StateRecord("counter", NOW, {"n": 0}))

    def increment() -> int:
        tries = 0
        for _ in range(8):
            while True:
                tries += 1
                stored = ledger.stored(StateRecord, "counter")
                assert stored is not None
                more = replace(stored.record, state={"n": stored.record.state["n"] + 1})
                try:
                    with ledger.change("test", NOW) as change:
                        change.put(more, expected_version=stored.version)
                        change.note("count", "counter")
                    break
                except Refused:
                    continue
        return tries

    stop = threading.Event()

    def watch() -> bool:
        ok = True
        while not stop.is_set():
            ok = ok and ledger.verify().ok
        return ok

    with ThreadPoolExecutor(5) as pool:
        watcher = pool.submit(watch)
        counters = [pool.submit(increment) for _ in range(4)]
        for counter in counters:
            counter.result(timeout=60)
        stop.set()
        assert watcher.result(timeout=60)
    final = ledger.get(StateRecord, "counter")
    assert final is not None
    assert final.state == {"n": 32}
    assert len(ledger.entries()) == 33


def test_threads_may_open_a_new_ledger_at_once(url: str) -> None:
    def open_and_write(number: int) -> None:
        with Ledger.open(url) as ledger:
            write(ledger, pin(f"p{number}"))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(open_and_write, range(6)))
    with Ledger.open(url) as ledger:
        assert len(ledger.find(PinRecord)) == 6
        assert ledger.verify().ok


def test_a_hold_is_exclusive_and_ends_with_its_block(ledger: Ledger, url: str) -> None:
    with ledger.hold("run 1"):
        with pytest.raises(Unavailable, match="held"), ledger.hold("run 1"):
            pytest.fail("held twice")
        with ledger.hold("run 2"):
            pass
        with Ledger.open(url) as other, pytest.raises(Unavailable), other.hold("run 1"):
            pytest.fail("held twice")
    with ledger.hold("run 1"):
        pass
    with pytest.raises(OSError, match="mine"), ledger.hold("run 1"):
        raise OSError("mine")
    with ledger.hold("run 1"):
        pass


# Forks workers from one process that has imported the ledger, so that only one import is paid for.
WORKERS = """
import json, os, random, signal, sys, time
from datetime import UTC, datetime
from recloser.ledger import Ledger, PinRecord

NOW = datetime(2020, 3, 1, tzinfo=UTC)

def worker(url, name, pipe):
    ledger = Ledger.open(url)
    n = len(ledger.find(PinRecord, owner=name))
    with ledger.hold("worker " + name):
        while True:
            with ledger.change(name, NOW) as change:
                for part in "abc":
                    change.add(PinRecord(f"{name}-{n}-{part}", "t", n, "d" * 2000, name, NOW))
                change.note("pin.add", f"{name}-{n}")
            os.write(pipe, b".")
            n += 3

def start(url, name):
    pipe_in, pipe_out = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(pipe_in)
        worker(url, name, pipe_out)
    os.close(pipe_out)
    return pid, pipe_in

url, rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)
acknowledged = {"x": 0, "y": 0}
for _ in range(rounds):
    running = {name: start(url, name) for name in acknowledged}
    for name, (pid, pipe) in running.items():
        acknowledged[name] += len(os.read(pipe, 1))  # it works, and holds its name
    time.sleep(chance.uniform(0.01, 0.15))
    for name, (pid, pipe) in running.items():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while content := os.read(pipe, 65536):
            acknowledged[name] += len(content)
        os.close(pipe)
print(json.dumps(acknowledged))
"""


@pytest.mark.chaos
def test_kill_9_of_two_writing_processes_leaves_whole_changes_only(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, url, "6", "20"], check=True, capture_output=True, text=True, timeout=120
    )
    acknowledged = json.loads(done.stdout)
    with Ledger.open(url) as ledger:
        found = ledger.verify()
        assert found.ok, found.reason
        records, entries = ledger.find(PinRecord), ledger.entries()
        with ledger.hold("worker x"), ledger.hold("worker y"):
            pass  # a killed holder holds nothing
    named = [key for entry in entries for _, key, _ in entry.records]
    assert sorted(named) == sorted(record.key for record in records)
    assert len(records) == 3 * len(entries)
    for name, changes in acknowledged.items():
        written = sum(entry.actor == name for entry in entries)
        assert 0 < changes <= written <= changes + 6  # at most the change that each kill kept from being acknowledged


@pytest.mark.services
def test_a_server_that_dies_makes_the_ledger_unavailable_until_it_is_back(cluster: Cluster) -> None:
    with Ledger.open(cluster.new_database()) as ledger:
        write(ledger, pin())
        cluster.stop("immediate")
        try:
            for action in (lambda: write(ledger, pin("p2")), lambda: ledger.get(PinRecord, "p1"), ledger.verify):
                assert_unavailable(action)
        finally:
            cluster.start()
        write(ledger, pin("p3"))
        assert [record.key for record in ledger.find(PinRecord)] == ["p1", "p3"]
        assert ledger.verify().ok


def assert_unavailable(action: Callable[[], object]) -> None:
    with pytest.raises(Unavailable) as caught:
        action()
    assert "ledger postgresql" in str(caught.value.where)


@pytest.mark.services
def test_wrong_postgresql_urls_are_explained(cluster: Cluster) -> None:
    with pytest.raises(InvalidInput, match="no such database"):
        Ledger.open(f"postgresql+psycopg://postgres@/nothing?host={cluster.folder}")
    with pytest.raises(Unavailable) as caught:
        Ledger.open("postgresql://postgres:secret@/ledger?host=/nowhere")
    assert "secret" not in caught.value.explain()
