from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from recloser.core import InvalidInput
from recloser.registry import EnvironmentLock, PackageFacts, read_commit, read_environment, read_last_change


def test_the_lock_names_interpreter_platform_and_versions() -> None:
    lock = read_environment(["numpy", "polars", "no-such-distribution"])
    assert lock.python.startswith("CPython 3.")
    assert lock.libraries["numpy"]
    assert lock.libraries["no-such-distribution"] is None
    assert lock.digest == read_environment(["polars", "numpy", "no-such-distribution"]).digest
    assert EnvironmentLock.from_dict(lock.to_dict()) == lock
    other = EnvironmentLock(lock.python, lock.platform, {**lock.libraries, "numpy": "0"})
    assert other.digest != lock.digest
    assert lock.differences(other) == {"numpy": (lock.libraries["numpy"], "0")}
    assert lock.differences(lock) == {}


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_and_dirty_state(tmp_path: Path) -> None:
    assert read_commit(tmp_path / "absent") is None
    assert read_commit(tmp_path) is None
    repo = tmp_path / "repo"
    repo.mkdir()

    def git(*arguments: str) -> str:
        settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *settings, *arguments], cwd=repo, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    assert read_commit(repo) is None  # no commit yet
    (repo / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "x")
    clean = read_commit(repo)
    assert clean is not None
    assert (clean.commit, clean.dirty) == (git("rev-parse", "HEAD"), False)
    (repo / "new").write_text("1")
    dirty = read_commit(repo)
    assert dirty is not None
    assert dirty.dirty
    (repo / "new").unlink()
    (repo / "a").write_text("2")
    assert read_commit(repo) == dirty


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_last_change_of_a_folder_is_not_that_of_its_repository(tmp_path: Path) -> None:
    assert read_last_change(tmp_path / "absent") is None
    assert read_last_change(tmp_path) is None
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]

    def git(*arguments: str) -> None:
        subprocess.run(["git", *settings, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    project = tmp_path / "project"
    project.mkdir()
    assert read_last_change(project) is None
    for name in ("elsewhere", "project/a"):
        assert read_last_change(project) is None
        (tmp_path / name).write_text("1")
        git("add", name)
        git("commit", "-q", "-m", name)
    head = read_commit(tmp_path)
    assert head is not None
    assert read_last_change(project) == head.commit
    (tmp_path / "elsewhere").write_text("2")
    git("commit", "-q", "-a", "-m", "other")
    assert read_last_change(project) == head.commit


def test_unreadable_facts_are_said_so() -> None:
    for content in (b"", b"[]", b"{}", b'{"training_window":["2020-01-01","2020-01-02"]}', b"\xff"):
        with pytest.raises(InvalidInput):
            PackageFacts.from_bytes(content, "release.json")
