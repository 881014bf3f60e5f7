"""The newest audit entries, page by page, and how many there are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from recloser.ledger import Ledger

NOW = datetime(2020, 1, 1, tzinfo=UTC)


def test_the_newest_entries_come_first_page_by_page_and_without_routine(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        assert (ledger.length(), ledger.latest(5)) == (0, [])
        for number in range(6):
            with ledger.change("test", NOW) as change:
                change.note("quiet" if number % 2 else "loud", str(number))
        assert ledger.length() == 6
        assert [entry.subject for entry in ledger.latest(2)] == ["5", "4"]
        assert [entry.subject for entry in ledger.latest(9, before=4)] == ["2", "1", "0"]
        assert [entry.subject for entry in ledger.latest(9, without=["quiet"])] == ["4", "2", "0"]
