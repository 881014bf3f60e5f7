"""The record of a run that several processes open and close."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recloser.core import VirtualClock
from recloser.engines import RunBook
from recloser.ledger import Ledger, RunRecord
from recloser.pipelines import Pipeline, Step

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
PIPELINE = Pipeline("grid", (Step("judge", lambda _context: {"verdict": "pass"}),))


@pytest.mark.parametrize("state", ["done", "failed"])
def test_a_run_that_another_process_ends_while_it_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        book = RunBook(ledger, VirtualClock(NOW))
        run = book.open(PIPELINE, "run-1", "api", "because", {})
        seen, real = [ledger.stored(RunRecord, "run-1")], Ledger.stored
        if state == "done":
            book.finish(run, {"judge": {"verdict": "pass", "candidate": "rel-1"}})
        else:
            book.fail(run, ValueError("no"))
        monkeypatch.setattr(Ledger, "stored", lambda *words: seen.pop() if seen else real(*words))
        if state == "done":
            again: Any = book.open(PIPELINE, "run-1", "api", "because", {})
            assert (again.state, again.verdict) == ("done", "pass")
        else:
            with pytest.raises(Exception, match="somebody else changed the record"):
                book.open(PIPELINE, "run-1", "api", "because", {})
            assert book.open(PIPELINE, "run-1", "api", "because", {}).state == "running"  # asked again it goes on
        assert ledger.verify().ok
