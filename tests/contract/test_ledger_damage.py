"""A ledger damaged by hand, of another version or of another program, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from recloser.core import InvalidInput, Refused
from recloser.ledger import Ledger, PinRecord, RunRecord
from recloser.ledger.schema import METADATA

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
RUN = RunRecord("run-1", "manual", "first", NOW, "done", NOW, NOW, "rel-1", "pass", {"n": 1})


def pin(key: str = "p1", version: int = 3) -> PinRecord:
    return PinRecord(key, "samples", version, "d" * 64, "run-1", NOW)


def write(ledger: Ledger, record: object) -> None:
    with ledger.change(actor="test", now=NOW) as change:
        change.put(record)
        change.note("test.put", "x", {"n": 1})


@pytest.fixture
def filled_url(ledger_url: str) -> str:
    """Return the URL of a ledger with five entries."""
    with Ledger.open(ledger_url) as ledger:
        for record in (pin("p1", 3), pin("p1", 4), pin("p2"), pin("p3"), RUN):
            write(ledger, record)
        assert ledger.verify().ok
    return ledger_url


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


def test_a_database_of_another_program_is_refused_and_left_alone(ledger_url: str) -> None:
    execute(ledger_url, "CREATE TABLE runs (run_uuid TEXT)")
    with pytest.raises(InvalidInput, match="another program"):
        Ledger.open(ledger_url)
    engine = sa.create_engine(ledger_url)
    assert sa.inspect(engine).get_table_names() == ["runs"]
    engine.dispose()


def test_the_migrations_make_the_declared_tables(filled_url: str) -> None:
    engine = sa.create_engine(filled_url)
    with engine.connect() as connection:
        migration = MigrationContext.configure(connection, opts={"version_table": "ledger_version"})
        assert compare_metadata(migration, METADATA) == []
    engine.dispose()
