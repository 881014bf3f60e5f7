"""A backup's picture of logs and their table holds every answer exactly once, taken while both are written."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from recloser.app.backup import staging
from recloser.app.predictions.mover import move_all
from recloser.app.project.layout import Layout
from recloser.store import PredictionTable


def test_no_answer_is_lost_or_doubled_between_a_log_and_its_table(tmp_path: Path, logged: SimpleNamespace) -> None:
    layout = Layout(tmp_path / "grid")
    layout.make()
    root, over, done = layout.predictions / "log", threading.Event(), [0]

    def write() -> None:
        while not over.is_set():
            logged.write(root / "gateway-0", range(done[0], done[0] + 20))
            done[0] += 20

    def move() -> None:
        table = PredictionTable(layout.predictions)
        while not over.is_set():
            move_all(root, table, logged.NOW)

    workers = [threading.Thread(target=write), threading.Thread(target=move)]
    for worker in workers:
        worker.start()
    pictures: list[tuple[int, Path]] = []
    try:
        for number in range(6):
            while done[0] < 20 * (number + 1):
                over.wait(0.01)
            before, picture = done[0], tmp_path / f"picture-{number}"
            found = staging.stage(layout, picture, private=True)
            copy = tmp_path / f"copy-{number}"
            for name, path in found.items():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(path), copy / name)
            pictures.append((before, copy / "state" / "predictions"))
    finally:
        over.set()
        for worker in workers:
            worker.join()
    for before, place in pictures:
        table = PredictionTable(place)
        logged.write(place / "log" / "gateway-0", range(10**6, 10**6 + 1))  # takes the log over, as a new gateway does
        move_all(place / "log", table, logged.NOW)
        rows = table.read(["a"]).filter(pl.col("model") == "rel-1").sort("sequence")
        ids = rows["request_id"].to_list()
        assert ids == [f"r{number}" for number in range(len(ids) - 1)] + ["r1000000"]
        assert len(ids) > before
        assert rows["sequence"].is_unique().all()


def test_a_segment_that_is_full_just_now_is_pictured_under_its_new_name(
    tmp_path: Path, logged: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path / "grid")
    layout.make()
    folder = layout.predictions / "log" / "gateway-0"
    logged.write(folder, range(3), segment_bytes=10**6)
    listed = staging._files_of

    def sealed_behind_our_back(of: Path) -> list[Path]:
        found = listed(of)
        for path in of.rglob("*.open"):
            path.rename(path.with_suffix(".seg"))
        return found

    before = next(path for path in sorted(folder.iterdir()) if path.suffix == ".seg")
    before.rename(before.with_suffix(".open"))
    monkeypatch.setattr(staging, "_files_of", sealed_behind_our_back)
    found = staging.stage(layout, tmp_path / "picture", private=True)
    names = [name for name in found if "gateway-0" in name and name.endswith((".open", ".seg"))]
    assert f"state/predictions/log/gateway-0/{before.stem}.seg" in names
    assert not any(name.endswith(".open") and name.removesuffix(".open") + ".seg" in names for name in names)
