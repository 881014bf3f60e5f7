"""Whose answers the rollback benchmark's witness takes for the stopped release's."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
ROW = '{"predictions":[{"q50":6.5,"served_by":"%s","release":"%s","reason":"%s"}]}'


def test_an_answer_counts_for_who_made_it_not_for_whom_its_reason_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS / "serving")
    monkeypatch.syspath_prepend(BENCHMARKS / "rollback")
    witness = importlib.import_module("witness").Witness(0, [])
    witness.watch_for("rel-bad")
    witness._look(200, (ROW % ("champion", "rel-good", "canary rel-bad tripped")).encode())
    assert (witness.counts["rel-bad"], witness.last["rel-bad"]) == (0, 0.0)
    witness._look(200, (ROW % ("canary", "rel-bad", "")).encode())
    assert witness.counts["rel-bad"] == 1
    assert witness.last["rel-bad"] > 0.0
