"""A replay's scratch project: made afresh over what a replay left, never over anything else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recloser.app.replay.policies.scratch import MARK, Scratch
from recloser.core import SAMPLE_SCHEMA, InvalidInput

TEXT = '[project]\nname = "x"\nareas = ["a"]\ntime_zone = "UTC"\n'


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    at = datetime(2024, 3, 1, tzinfo=UTC)
    row = ("a", "load_mw", at, at + timedelta(hours=1), 1.0, 0, "scada")
    recorded = tmp_path / "recorded.parquet"
    pl.DataFrame([row], schema=SAMPLE_SCHEMA, orient="row").write_parquet(recorded)
    return Scratch(tmp_path / "work" / "never", (TEXT, None), recorded, "task-1")


def test_what_no_replay_made_stays(scratch: Scratch) -> None:
    scratch.folder.mkdir(parents=True)
    mine = scratch.folder / "thesis.txt"
    mine.write_text("mine")
    with pytest.raises(InvalidInput, match="not made by a replay") as told:
        scratch.ready()
    assert (told.value.got, told.value.where) == (str(scratch.folder), "--out")
    assert [path.name for path in scratch.folder.iterdir()] == ["thesis.txt"]
    mine.unlink()
    (scratch.folder / f".{MARK}.77.tmp").write_text("{")  # all that a replay that was killed at once left
    assert not scratch.ready()
    assert not (scratch.folder / f".{MARK}.77.tmp").exists()
    assert scratch.ready()


def test_a_folder_elsewhere_and_a_file_stay(scratch: Scratch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / MARK).write_text("{}")
    scratch.folder.parent.mkdir()
    scratch.folder.symlink_to(elsewhere)
    with pytest.raises(InvalidInput, match="not made by a replay"):
        scratch.ready()
    assert (elsewhere / MARK).read_text() == "{}"
    scratch.folder.unlink()
    scratch.folder.write_text("a file")
    with pytest.raises(InvalidInput, match="not made by a replay"):
        scratch.ready()


@pytest.mark.parametrize("mark", ["{", '{"task": null}', '{"task": "task-0", "cpu_s": 3.0}'])
def test_what_another_or_a_killed_replay_left_is_made_afresh(scratch: Scratch, mark: str) -> None:
    assert not scratch.ready()
    (scratch.folder / MARK).write_text(mark)
    (scratch.folder / "left.txt").write_text("by the other")
    assert not scratch.ready()
    assert not (scratch.folder / "left.txt").exists()
    assert json.loads((scratch.folder / MARK).read_text()) == {"task": "task-1", "cpu_s": 0.0}
    assert scratch.ready()
