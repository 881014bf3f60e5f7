"""Who meets another's write reads and decides anew, as often as it takes, and is told when it never ends."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloser.core import Conflict, Refused, Unavailable
from recloser.ledger import Ledger, StateRecord, again, decided_again
from recloser.testing import MemoryLedger

NOW = datetime(2020, 3, 2, tzinfo=UTC)


def count_up(ledger: Ledger) -> int:
    """Read a count and write the next one, as whoever swaps a record does."""
    stored = ledger.stored(StateRecord, "count")
    version, count = (0, 0) if stored is None else (stored.version, int(stored.record.state["count"]))
    with ledger.change("test", NOW) as change:
        change.put(StateRecord("count", NOW, {"count": count + 1}), expected_version=version)
        change.note("count", "count")
    return count + 1


def test_writers_at_one_moment_all_get_through_and_none_is_lost(tmp_path: Path) -> None:
    counted: list[int] = []

    def work() -> None:
        with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
            counted.extend(decided_again(lambda: count_up(ledger)) for _ in range(25))

    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db"):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(counted) == list(range(1, 101))


def test_a_first_record_and_a_later_version_are_both_overtaken(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        assert [decided_again(lambda: count_up(ledger)) for _ in range(2)] == [1, 2]
        for version in (0, 1):
            with pytest.raises(Conflict), ledger.change("test", NOW) as change:  # noqa: PT012
                change.put(StateRecord("count", NOW, {"count": 9}), expected_version=version)
                change.note("count", "count")
        assert ledger.stored(StateRecord, "count").record.state == {"count": 2}  # type: ignore[union-attr]


@pytest.mark.parametrize("expected", [None, 0])
def test_a_key_that_is_new_twice_in_one_change_is_no_conflict(tmp_path: Path, expected: int | None) -> None:
    for ledger in (Ledger.open(f"sqlite:///{tmp_path}/ledger.db"), MemoryLedger()):
        with ledger, pytest.raises(Refused, match="new twice") as caught, ledger.change("test", NOW) as change:  # noqa: PT012
            change.put(StateRecord("count", NOW, {"count": 1}), expected_version=expected)
            change.note("count", "count")
            change.add(StateRecord("count", NOW, {"count": 2}))
        assert type(caught.value) is Refused


def test_another_refusal_ends_at_once_and_writers_without_end_are_told() -> None:
    asked: list[str] = []

    def refuse(error: Refused) -> None:
        asked.append(error.what)
        raise error

    with pytest.raises(Refused, match="a gate"):
        decided_again(lambda: refuse(Refused("a gate says no")))
    assert asked == ["a gate says no"]
    with pytest.raises(Unavailable, match="Ask again"):
        decided_again(lambda: refuse(Conflict("somebody wrote")))
    assert len(asked) == 1 + again.TRIES
