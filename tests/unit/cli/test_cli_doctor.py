"""What the doctor finds: every real problem fails by name, and a healthy project is healthy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recloser.testing import load_file, small_grid


def states(told: Any) -> dict[str, str]:
    return {check["name"]: check["state"] for check in told.document["checks"]}


def test_a_healthy_project(call: Any, served: Path) -> None:
    told = call("doctor", "--project", served, "--json")
    assert (told.code, told.document["ok"]) == (0, True)
    names = ("python", "lightgbm", "project", "data", "clock", "audit", "champion", "packages", "registry")
    assert {states(told)[name] for name in names} == {"ok"}


def test_no_project_is_a_note_and_no_folder_a_failure(call: Any, tmp_path: Path) -> None:
    empty = call("doctor", "--project", tmp_path, "--json")
    assert (empty.code, states(empty)["project"]) == (0, "note")
    nowhere = call("doctor", "--project", tmp_path / "nowhere", "--json")
    assert (nowhere.code, states(nowhere)["project"]) == (1, "FAIL")
    assert not (tmp_path / "nowhere").exists()


def package(folder: Path) -> Path:
    return next((folder / "state" / "packages").glob("rel-*"))


def spoil_model(folder: Path) -> None:
    model = next(path for path in sorted((package(folder) / "model").rglob("*")) if path.suffix in {".txt", ".json"})
    model.chmod(0o644)
    model.write_bytes(model.read_bytes() + b" ")


def lose_ledger(folder: Path) -> None:
    for file in (folder / "state").glob("ledger.db*"):
        file.unlink()


def set_rollout(folder: Path, keys: str) -> None:
    file = folder / "recloser.toml"
    lines = [line for line in file.read_text().splitlines() if line.split("=")[0].strip() not in SET]
    file.write_text("\n".join(lines).replace("[rollout]", f"[rollout]\n{keys}") + "\n")


SET = {"alpha", "promotion", "harmless_days"}
DAMAGES: dict[str, tuple[Callable[[Path], object], tuple[str, ...], str]] = {
    "a changed model": (spoil_model, ("champion", "packages"), "a changed file"),
    "a lost package": (lambda f: shutil.rmtree(package(f)), ("champion", "packages"), "cannot be read"),
    "a lost store": (lambda f: shutil.rmtree(f / "state" / "store"), ("data",), "restore"),
    "a lost ledger": (lose_ledger, ("packages",), "lost or replaced"),
    "a lost key": (lambda f: (f / "state" / "keys" / "signing.pem").unlink(), ("project",), "is gone"),
    "an open key": (lambda f: (f / "state" / "keys" / "signing.pem").chmod(0o644), ("project",), "chmod 600"),
    "too many false rollbacks": (
        lambda f: set_rollout(f, "alpha = 0.3"),
        ("rollout",),
        "statistically unsound: alpha = 0.3",
    ),
    "three days without harm": (
        lambda f: set_rollout(f, 'promotion = "no_evidence_of_harm"\nharmless_days = 3'),
        ("rollout",),
        "says nothing before day 5",
    ),
    "a broken pipeline": (lambda f: (f / "pipeline.py").write_text("def x(:"), ("project",), "does not run"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_found(damage: str, call: Any, served: Path) -> None:
    spoil, names, said = DAMAGES[damage]
    spoil(served)
    told = call("doctor", "--project", served, "--json")
    assert told.code == 1
    failed = {check["name"]: check["detail"] for check in told.document["checks"] if check["state"] == "FAIL"}
    assert set(failed) == set(names)
    assert said in failed[names[0]]


def test_load_of_the_future_is_a_wrong_clock_or_zone(call: Any, ingested: Path, tmp_path: Path) -> None:
    frame = small_grid(days=2).frame().with_columns(pl.col("at").dt.offset_by("100y"))
    file = load_file(tmp_path / "later.csv", frame)
    words = ("--area", "area", "--time", "at", "--load", "load_mw", "--project", ingested)
    assert call("ingest", file, *words).code == 0
    told = call("doctor", "--project", ingested, "--json")
    assert (told.code, states(told)["clock"]) == (1, "FAIL")


def test_a_damaged_mlflow_database_is_unavailable(call: Any, ingested: Path) -> None:
    settings = ingested / "recloser.toml"
    settings.write_text(settings.read_text().replace('kind = "folder"', 'kind = "mlflow"'))
    (ingested / "state" / "mlflow.db").write_bytes(b"no database" * 999)
    told = call("doctor", "--project", ingested, "--json")
    assert (told.code, states(told)["registry"]) == (1, "FAIL")
