"""The CI files are valid by the forges' own schemas, and their steps take a commit from a push to a rollout."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from recloser.app import Platform, check_project, scaffold, write_ci
from recloser.app.delivery.commits.opening import Wanted
from recloser.app.project.ci.writing import TARGETS
from recloser.cli.main import main
from recloser.core import InvalidInput
from recloser.ledger import RolloutRecord
from recloser.rollout import Rollout
from recloser.testing import small_project

SCHEMAS = {"github": ["vendor.github-workflows"], "gitlab": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]}


def loaded(name: str) -> ModuleType:
    """Load a module that lies beside this file."""
    spec = importlib.util.spec_from_file_location(f"ci_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


jobs = loaded("jobs")
RUNNERS = {"github": jobs.GitHub, "gitlab": jobs.GitLab}


@pytest.mark.parametrize("forge", sorted(TARGETS))
def test_the_file_is_valid_by_the_forges_own_schema(forge: str, tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema, which carries the schemas, is not installed")
    scaffold(tmp_path / "grid", areas=["N"], time_zone="UTC")
    (file, ignore) = write_ci(tmp_path / "grid", forge)["written"]
    assert "/state/" in Path(ignore).read_text(encoding="utf-8").splitlines()

    def judged() -> int:
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *SCHEMAS[forge], file]
        return subprocess.run(command, capture_output=True, text=True, check=False).returncode

    assert judged() == 0
    text = Path(file).read_text(encoding="utf-8")
    Path(file).write_text(text.replace("runs-on", "run-on").replace("stage: check", "stage: [1]"), encoding="utf-8")
    assert judged() != 0  # the schema does look at what we write


def test_init_writes_it_too_and_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    assert main(["init", str(folder), "--area", "N", "--time-zone", "UTC", "--ci", "github"]) == 0
    assert (folder / TARGETS["github"]).exists()
    with pytest.raises(InvalidInput, match="already here"):
        write_ci(folder, "github")
    (folder / ".gitignore").write_text("mine\n", encoding="utf-8")
    write_ci(folder, "gitlab")
    assert (folder / ".gitignore").read_text(encoding="utf-8") == "mine\n"
    with pytest.raises(InvalidInput, match="forge"):
        write_ci(folder, "jenkins")
    with pytest.raises(InvalidInput, match=r"recloser\.toml"):
        write_ci(tmp_path / "nowhere", "github")


def git(folder: Path, *words: str) -> str:
    own = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *own, "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def _grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project(tmp_path_factory.mktemp("ci") / "grid")


@pytest.fixture
def grid(_grid: Path) -> Path:
    """A project with data, to be read only."""
    return _grid


Pushed = Callable[[str, str], "jobs.Machine"]


@pytest.fixture
def pushed(_grid: Path, tmp_path: Path) -> Pushed:
    """A repository, the staging project as its clone with data, a production project; then a push of a change."""

    def push(forge: str, code: str) -> jobs.Machine:
        staging, production, origin = (tmp_path / name for name in ("staging", "production", "origin.git"))
        for folder in (staging, production):
            shutil.copytree(_grid, folder)
            shutil.rmtree(folder / "state/keys")
        toml = staging / "recloser.toml"
        text = toml.read_text(encoding="utf-8")
        toml.write_text(text + '\n[promotion]\nstage = "staging"\n', encoding="utf-8")
        source = '\n[promotion]\nstage = "production"\n[[promotion.sources]]\nstage = "staging"\nkeys = "trust"\n'
        (production / "recloser.toml").write_text(text + source, encoding="utf-8")
        write_ci(staging, forge)
        with (staging / ".gitignore").open("a", encoding="utf-8") as file:
            file.write("/history.parquet\n")
        git(tmp_path, "init", "-q", "--bare", str(origin))
        git(staging, "init", "-q")
        git(staging, "add", ".")
        assert "state" not in git(staging, "ls-files")
        git(staging, "commit", "-q", "-m", "a grid")
        git(staging, "remote", "add", "origin", str(origin))
        git(staging, "push", "-q", "origin", "HEAD:main")
        with Platform.open(staging) as platform:
            keys = [path for path in platform.layout.key.parent.iterdir() if path.suffix == ".pub"]
        (production / "trust").mkdir()
        for path in keys:
            shutil.copy(path, production / "trust")
        git(tmp_path, "clone", "-q", "-b", "main", str(origin), str(tmp_path / "laptop"))
        with (tmp_path / "laptop/pipeline.py").open("a", encoding="utf-8") as file:
            file.write(code)
        git(tmp_path / "laptop", "commit", "-q", "-a", "-m", "a change")
        git(tmp_path / "laptop", "push", "-q", "origin", "HEAD:main")
        commit = git(tmp_path / "laptop", "rev-parse", "HEAD")
        told = {"RECLOSER_PROJECT": str(staging), "RECLOSER_PRODUCTION": str(production)}
        return jobs.Machine(tmp_path / "forge", origin, commit, "ann", told)

    (tmp_path / "forge").mkdir()
    return push


@pytest.mark.slow
@pytest.mark.parametrize("forge", sorted(TARGETS))
def test_a_push_is_checked_judged_signed_and_its_rollout_opened(forge: str, pushed: Pushed) -> None:
    machine = pushed(forge, "\n# a remark\n")
    staging, production = (Path(machine.variables[name]) for name in ("RECLOSER_PROJECT", "RECLOSER_PRODUCTION"))
    RUNNERS[forge](staging / TARGETS[forge], machine).run("push")
    assert list(dict.fromkeys(job for job, _ in machine.ran)) == ["check", "gate", "rollout"]
    assert git(staging, "rev-parse", "HEAD") == machine.commit
    with Platform.open(staging) as there, Platform.open(production) as here:
        (theirs,), (ours,) = (platform.ledger.find(RolloutRecord) for platform in (there, here))
        assert theirs.release == ours.release
        package = here.load(ours.release).package
        assert package.facts.commit is not None
        assert (package.facts.commit.commit, package.facts.commit.dirty) == (machine.commit, False)
        people = Rollout.from_record(ours).proposers
        assert "ann" in {*people.known, *people.strangers}  # who pushed may not approve it in production
        shown = {status.context: str(status.mark) for status in Wanted(here)() if status.commit == machine.commit}
        assert shown["gate"] == "success"
    kept = machine.place / "artifacts"
    assert [path.name for path in kept.rglob("release.offer")] == ["release.offer"]
    assert len(list(kept.rglob("rel-*.html"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("forge", sorted(TARGETS))
def test_a_push_that_does_not_work_is_red_before_it_reaches_any_data(forge: str, pushed: Pushed) -> None:
    machine = pushed(forge, "\n\ndef train(rows, feature_names, plan):\n    raise RuntimeError('never worked')\n")
    staging, production = (Path(machine.variables[name]) for name in ("RECLOSER_PROJECT", "RECLOSER_PRODUCTION"))
    for event in ("pull_request", "push"):
        shutil.rmtree(machine.place)
        machine.place.mkdir()
        with pytest.raises(jobs.StepFailed, match="the project's train failed"):
            RUNNERS[forge](staging / TARGETS[forge], machine).run(event)
    assert {job for job, _ in machine.ran} <= {"check"}
    for folder in (staging, production):
        with Platform.open(folder) as platform:
            assert platform.ledger.find(RolloutRecord) == []


def test_a_check_needs_no_data_and_leaves_nothing_behind(grid: Path, tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    folder.mkdir()
    for name in ("recloser.toml", "pipeline.py"):
        shutil.copy(grid / name, folder / name)
    before = {path.name for path in folder.iterdir()}
    told = check_project(folder, train=True, say=lambda _line: None)
    assert told["ok"], told
    names = [row["name"] for row in told["checks"]]
    assert names[:4] == ["settings", "features", "pipeline", "run"]
    assert {"formats", "leak", "parity"} <= {name.partition(".")[0] for name in names}
    assert {path.name for path in folder.iterdir()} == before
    (folder / "recloser.toml").write_text("[project]\nares = []\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="ares"):
        check_project(folder, train=False, say=lambda _line: None)


def test_a_check_refuses_code_that_does_not_load_or_cannot_be_made_again(grid: Path, tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    folder.mkdir()
    shutil.copy(grid / "recloser.toml", folder / "recloser.toml")
    (folder / "pipeline.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="does not run"):
        check_project(folder, train=False, say=lambda _line: None)
    (folder / "pipeline.py").write_text(AHEAD, encoding="utf-8")
    told = check_project(folder, train=True, say=lambda _line: None)
    assert not told["ok"]
    assert {row["name"] for row in told["checks"] if row["state"] == "FAIL"} == {"leak"}, told


AHEAD = """
from dataclasses import replace

import numpy as np
import polars as pl

from recloser.features import Extra


def drawn(frame):
    return pl.Series(np.random.default_rng().random(frame.height))


def build_features(standard):
    return replace(standard, extra=(Extra("drawn", drawn, known_ahead=True),))
"""
"""A feature that is not what it was when it was learned from, as one that looks ahead is not."""
