"""A history with faults of its own is replayed: nobody is scored against load that the replay itself calls faulty."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recloser.app import ingest_file
from recloser.cli import main
from recloser.core import LOAD
from recloser.simulation import Scaled, Stuck, apply
from recloser.testing import COLUMNS, empty_project, small_grid

pytestmark = pytest.mark.story

UNIT = (datetime(2020, 5, 10, tzinfo=UTC), datetime(2020, 5, 12, tzinfo=UTC))
STUCK = (datetime(2020, 5, 15, 6, tzinfo=UTC), datetime(2020, 5, 16, 12, tzinfo=UTC))
FAULTS = (Scaled(("F01",), *UNIT), Stuck(("F02",), *STUCK))


def report_of(folder: Path, *, faulty: bool, policies: tuple[str, ...]) -> dict[str, Any]:
    """Replay three weeks of a small project whose operator's own forecast is 5 % too high."""
    clean = small_grid(150).frame()
    frame = apply(clean, FAULTS) if faulty else clean
    wide = frame.pivot(on="quantity", index=["area", "at"], values="value")
    true = clean.filter(pl.col("quantity") == LOAD).select("area", "at", operator=1.05 * pl.col("value"))
    project = empty_project(folder / "grid")
    wide.join(true, on=["area", "at"]).sort("area", "at").write_parquet(folder / "history.parquet")
    ingest_file(project, folder / "history.parquet", COLUMNS | {"incumbent": "operator"})
    words = ["replay", "--from", "2020-05-04", "--to", "2020-05-25", "--out", str(folder / "out")]
    words += [word for policy in policies for word in ("--policy", policy)]
    assert main([*words, "--project", str(project)]) == 0
    found: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    return found


def test_faults_of_the_history_itself_are_in_nobodys_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    faulty = report_of(tmp_path / "a", faulty=True, policies=("never", "monthly"))
    printed = capsys.readouterr().out
    clean = report_of(tmp_path / "b", faulty=False, policies=("never",))
    left = faulty["left_out"]
    spoilt = {"F01": (UNIT[1] - UNIT[0]) / timedelta(hours=1), "F02": (STUCK[1] - STUCK[0]) / timedelta(hours=1)}
    assert {area: pytest.approx(count, abs=2) for area, count in spoilt.items()} == left["by_area"]
    assert set(left["by_reason"]) == {"UNIT_SUSPECT", "STUCK"}
    for name in ("naive", "incumbent", *faulty["policies"]):
        mine = faulty["policies"].get(name) or faulty[name]
        other = clean["policies"].get("never" if name in faulty["policies"] else name) or clean[name]
        assert mine["total"]["n"] == clean["naive"]["total"]["n"] - left["samples"]
        assert mine["total"]["wmape"] == pytest.approx(other["total"]["wmape"], rel=0.25), name
    operator = faulty["incumbent"]["total"]  # one number, no band
    assert (operator["rcrps"], operator["coverage80"]) == (None, None)
    assert {policy["never_served"] for policy in faulty["policies"].values()} == {None}
    assert clean["left_out"] == {"samples": 0, "by_area": {}, "by_reason": {}}
    page = (tmp_path / "a" / "out" / "report.html").read_text(encoding="utf-8")
    for told in (page, printed):
        assert f"{left['samples']} samples of load are left out of every score" in told
