"""Segments become rows of the store exactly once, whatever kills the mover."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from recloser.app.predictions.mover import Moved, move_all
from recloser.app.predictions.rows import DAMAGED, Row, inputs_of
from recloser.core import Refused
from recloser.serving.log import segments
from recloser.store import PREDICTION_SCHEMA, PredictionTable

STEPS = ("list", "read", "look up", "commit", "delete", "deleted")


class KilledError(Exception):
    """Ends a pass at a step."""


def places(tmp_path: Path) -> tuple[Path, PredictionTable]:
    return tmp_path / "log", PredictionTable(tmp_path / "table")


def request_ids(table: PredictionTable) -> list[str]:
    """Return the id of each stored request as often as it was stored."""
    rows = table.read(["a"]).filter(pl.col("model") == "rel-1")
    return rows.sort("sequence")["request_id"].to_list()


def test_rows_tell_what_was_answered_by_whom(tmp_path: Path, logged: SimpleNamespace) -> None:
    root, table = places(tmp_path)
    logged.write(root / "gateway-0", range(1))
    moved = move_all(root, table, logged.NOW)
    assert (moved.segments, moved.rows, moved.gaps, moved.damaged) == (1, 3, 0, 0)
    rows = table.read()
    assert dict(rows.schema) == PREDICTION_SCHEMA
    assert tuple(PREDICTION_SCHEMA) == Row._fields
    champion, shadow, unknown = rows.sort("area", "model").rows(named=True)
    assert (champion["model"], champion["release"], champion["served_by"]) == ("rel-1", "rel-1", "champion")
    assert (champion["mw"], champion["quantiles"]) == ([99.0, 100.0, 101.0], [0.1, 0.5, 0.9])
    assert champion["at"].isoformat() == "1970-01-01T01:00:00+00:00"
    assert champion["made_at"] == logged.NOW
    assert champion["fault"] == ""
    assert inputs_of(champion["inputs"]) == {"scale_mw": [100.0, 100.0]}
    assert (shadow["model"], shadow["mw"], shadow["inputs"]) == ("rel-2", None, None)
    assert shadow["fault"] == "output: not finite"
    assert (unknown["area"], unknown["model"], unknown["release"], unknown["mw"]) == ("x", None, None, None)
    assert unknown["served_by"] == "unavailable"
    assert unknown["reason"].startswith("input: ")


def test_the_open_segment_stays_and_a_second_pass_moves_nothing(tmp_path: Path, logged: SimpleNamespace) -> None:
    root, table = places(tmp_path)
    assert move_all(root, table, logged.NOW) == Moved()
    logged.write(root / "gateway-0", range(20))
    assert len(segments(root / "gateway-0")) > 3
    move_all(root, table, logged.NOW)
    assert [segment.sealed for segment in segments(root / "gateway-0")] == [False]
    assert move_all(root, table, logged.NOW) == Moved()
    logged.write(root / "gateway-0", range(20, 40))
    logged.write(root / "gateway-1", range(40, 50))
    move_all(root, table, logged.NOW)
    assert sorted(request_ids(table)) == sorted(f"r{k}" for k in range(50))
    assert table.read()["stream"].n_unique() == 2


@pytest.mark.parametrize("name", STEPS)
def test_ended_at_any_step_nothing_is_lost_or_stored_twice(tmp_path: Path, logged: SimpleNamespace, name: str) -> None:
    root, table = places(tmp_path)
    logged.write(root / "gateway-0", range(20))

    def step(reached: str) -> None:
        if reached == name:
            raise KilledError(reached)

    with pytest.raises(KilledError):
        move_all(root, table, logged.NOW, step)
    logged.write(root / "gateway-0", range(20, 30))
    move_all(root, PredictionTable(tmp_path / "table"), logged.NOW)
    assert request_ids(table) == [f"r{k}" for k in range(30)]


@pytest.mark.slow
@pytest.mark.chaos
def test_kill_9_at_every_step_in_turn(tmp_path: Path, logged: SimpleNamespace) -> None:
    root, table = places(tmp_path)
    script = Path(__file__).with_name("moving.py")
    for round_, name in enumerate(STEPS):
        logged.write(root / "gateway-0", range(round_ * 12, round_ * 12 + 12))
        killed = subprocess.run([sys.executable, script, tmp_path, name, "1"], check=False)
        assert killed.returncode == -9
    move_all(root, table, logged.NOW)
    assert request_ids(table) == [f"r{k}" for k in range(12 * len(STEPS))]


def test_damage_is_a_gap_row_once_and_its_bytes_are_kept(tmp_path: Path, logged: SimpleNamespace) -> None:
    root, table = places(tmp_path)
    logged.write(root / "gateway-0", range(20))
    first = segments(root / "gateway-0")[0]
    content = bytearray(first.path.read_bytes())
    content[60] ^= 1  # in the first record
    content[-5] ^= 1  # in the last one
    first.path.write_bytes(content)
    last = segments(root / "gateway-0")[1].first - 1

    def step(reached: str) -> None:
        if reached == "delete":
            raise KilledError

    with pytest.raises(KilledError):
        move_all(root, table, logged.NOW, step)
    moved = move_all(root, table, logged.NOW)
    assert moved.damaged == 2
    gaps = table.read().filter(pl.col("kind") == "gap").sort("sequence")
    assert gaps.select("gap_first", "gap_last").rows() == [(1, 1), (last, last)]
    assert set(gaps["reason"]) == {DAMAGED}
    assert request_ids(table) == [f"r{k}" for k in range(1, 20) if k != last - 1]
    kept = list((root / "gateway-0" / "quarantine").iterdir())
    assert len(kept) == 2


def test_a_record_of_another_release_keeps_its_segment(tmp_path: Path, logged: SimpleNamespace) -> None:
    from recloser.journal.folder import fresh_segment, seal
    from recloser.journal.frame import MAGIC, frame

    root, table = places(tmp_path)
    folder = root / "gateway-0"
    logged.write(folder, range(1))
    [sealed, newest] = segments(folder)
    newest.path.unlink()
    strange = fresh_segment(folder, 2)
    strange.path.write_bytes(MAGIC + frame(b"\x93\x09\x01\x02", 2, strange.salt))
    seal(strange)
    fresh_segment(folder, 3).path.write_bytes(MAGIC)
    move_all(root, table, logged.NOW)
    assert request_ids(table) == ["r0"]
    assert [path.suffix for path in (folder / "quarantine").iterdir()] == [".seg"]
    assert table.read().filter(pl.col("kind") == "gap").select("gap_first", "gap_last").rows() == [(2, 2)]
    assert sealed not in segments(folder)


def test_a_log_that_numbers_anew_is_refused_and_kept(tmp_path: Path, logged: SimpleNamespace) -> None:
    root, table = places(tmp_path)
    folder = root / "gateway-0"
    logged.write(folder, range(10))
    move_all(root, table, logged.NOW)
    for segment in segments(folder):
        segment.path.unlink()
    logged.write(folder, range(50, 55))
    before = segments(folder)
    with pytest.raises(Refused, match="numbers its records anew"):
        move_all(root, table, logged.NOW)
    assert segments(folder) == before


def test_tidy_merges_files_and_keeps_rows(tmp_path: Path, logged: SimpleNamespace) -> None:
    root, table = places(tmp_path)
    assert table.tidy() == 0
    for round_ in range(4):
        logged.write(root / "gateway-0", range(round_ * 3, round_ * 3 + 3))
        move_all(root, table, logged.NOW)
    before = table.read()
    assert table.tidy(grace_hours=0) == 1
    assert PredictionTable(tmp_path / "table").read().equals(before)
    logged.write(root / "gateway-0", range(12, 14))
    move_all(root, table, logged.NOW)
    assert request_ids(table) == [f"r{k}" for k in range(14)]


def test_a_table_of_another_program_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"x": [1]}).write_delta(tmp_path / "table" / "predictions")
    with pytest.raises(Refused, match="not written by this release"):
        PredictionTable(tmp_path / "table").sequence("s")
