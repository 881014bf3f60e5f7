"""The project file: every key has a default, every mistake a sentence, and a replay's project touches nothing else."""

from __future__ import annotations

import sqlite3
import tomllib
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform, scaffold
from recloser.app.project.settings import FILE_NAME, Project, load_project, parse_project
from recloser.core import InvalidInput
from recloser.registry import FolderRegistry
from recloser.testing import empty_project

HEAD = '[project]\nareas = ["a"]\ntime_zone = "UTC"\n'


def test_the_scaffold_says_what_the_defaults_are(tmp_path: Path) -> None:
    """Whoever deletes a line of the scaffolded file changes nothing."""
    scaffold(tmp_path / "grid", areas=["a"], time_zone="UTC")
    written = Project.model_validate(tomllib.loads((tmp_path / "grid" / FILE_NAME).read_text(encoding="utf-8")))
    bare = parse_project(HEAD.replace("[project]", '[project]\nname = "grid"'), "test")
    assert written == bare


def leaves(model: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    """Every table of the project file with one of its keys."""
    found = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if hasattr(inner, "model_fields"):
            found += leaves(inner, (*path, name))
        elif path:
            found.append((path, name))
    return found


@pytest.mark.parametrize(("path", "key"), leaves(Project))
def test_every_key_misspelt_by_a_letter_is_found(path: tuple[str, ...], key: str) -> None:
    wrong = key[:-1] + ("x" if key[-1] != "x" else "y") if len(key) > 3 else key + "s"
    head = HEAD if path != ("project",) else HEAD + f'{wrong} = "oops"\n'
    table = "" if path == ("project",) else f'[{".".join(path)}]\n{wrong} = "oops"\n'
    with pytest.raises(InvalidInput) as caught:
        parse_project(head + table, "recloser.toml")
    assert caught.value.got == ".".join([*path, wrong])
    assert caught.value.next_step == f"Did you mean '{'.'.join([*path, key])}'?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "project"),
        ("[project]\nareas = []\ntime_zone = 'UTC'\n", "areas"),
        ("[project]\nareas = ['a']\n", "time_zone"),
        ("[project\n", "TOML"),
        ("[projct]\nareas = ['a']\n", "Did you mean 'project'?"),
        ("[project]\naras = ['a']\ntime_zone = 'UTC'\n", "Did you mean 'project.areas'?"),
        (HEAD + "[model]\ntrees = 'many'\n", "model.trees"),
        (HEAD + "[model]\nlearning_rate = 2\n", "model.learning_rate"),
        (HEAD + "[rollout]\npromotion = 'hope'\n", "rollout.promotion"),
        (HEAD + "[gateway]\nport = 65535\n", "gateway.port"),
        (HEAD + "[horizon]\nissue_time = '25:00'\n", "horizon.issue_time"),
        (HEAD + "subdivision = 'VIC'\n", "subdivision"),
        (HEAD + "[staging]\nholdout_days = '56'\n", "staging.holdout_days"),
        (HEAD + "[triggers]\non_drift = 'yes'\n", "triggers.on_drift"),
        (HEAD + "[horizon]\nissue_time = 9\n", "horizon.issue_time"),
        (HEAD + "[horizon]\nissue_time = '09:00+02:00'\n", "horizon.issue_time"),
        (HEAD + "[rollout]\ncanary_steps = [[25, 7]]\n", "[rollout]"),
        (HEAD + "[rollout]\ncanary_steps = [[0.5, 7], [0.25, 7]]\n", "ascending"),
        (HEAD + "[rollout]\nshadow_days = 90\n", "deadline_days"),
        (HEAD + "[rollout]\nmax_mae_ratio = 1.2\n", "rolled back 99 % of equal canaries"),
        (HEAD + "[rollout]\nhourly_t_test = true\n", "as if they were independent rolled back"),
        (HEAD + "[rollout]\nmann_whitney_significance = 0.05\n", "looked at again and again rolled back"),
        (HEAD + "[rollout]\ncolour_of_the_button = 'red'\n", "Remove it."),
        (HEAD + "[data]\nload_unit = 'MVA'\n", "MVA"),
        (HEAD + "[data]\ntime_zone = 'Europe/Amsterdan'\n", "Did you mean 'Europe/Amsterdam'?"),
        (HEAD + "[monitoring.groups]\nS = ['b']\n", "monitoring.groups.S"),
        (HEAD + "[data.extra.wind]\nquantity = 'wind_m_s'\nunits = 'm/s'\n", "Did you mean 'data.extra.wind.unit'?"),
    ],
)
def test_a_bad_value_names_its_key(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_project(text, "recloser.toml")
    assert said in caught.value.explain()


def test_lists_local_times_and_whole_numbers_are_taken(tmp_path: Path) -> None:
    text = HEAD + "[horizon]\nissue_time = 07:30:00\n[model]\nlearning_rate = 1\nweather = ['temperature_c']\n"
    project = parse_project(text, "test")
    assert (project.horizon.issue_time, project.model.learning_rate) == (time(7, 30), 1.0)
    assert project.model.weather == ("temperature_c",)
    (tmp_path / FILE_NAME).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert load_project(tmp_path) == project  # as an editor on Windows saves it


def test_an_isolated_project_uses_nothing_outside_its_folder(tmp_path: Path) -> None:
    """A replay of a project in operation must not write into its ledger or model registry."""
    operation = tmp_path / "operation.db"
    settings = f'\n[ledger]\nurl = "sqlite:///{operation}"\n[registry]\ntracking_uri = "sqlite:///{operation}"\n'
    folder = empty_project(tmp_path / "grid", settings=settings)
    with Platform.open(folder, isolated=True) as platform:
        assert isinstance(platform.registry, FolderRegistry)
        with platform.ledger.change("test", platform.clock.now()) as change:
            change.note("test.note", "nothing", {})
    assert not operation.exists()
    assert (folder / "state" / "ledger.db").exists()
    with Platform.open(folder) as platform:
        assert platform.ledger.entries() == []
    assert operation.exists()
    sqlite3.connect(operation).close()


def test_a_project_that_cannot_be_opened_leaves_no_database_open(tmp_path: Path) -> None:
    """With warnings as errors, an open SQLite connection would fail this test when it is collected."""
    import gc

    folder = empty_project(tmp_path / "grid")
    (folder / "pipeline.py").write_text("def build_features(standard): return 1 / 0\n")
    with pytest.raises(InvalidInput, match="build_features"):
        Platform.open(folder)
    gc.collect()
