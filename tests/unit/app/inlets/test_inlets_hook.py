"""A real `git push` into a bare repository whose hook tells it, by HTTP and without a gateway."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recloser.app import Platform, tell_pushes, to_gateway
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.requests import standing_requests
from recloser.core import InvalidInput
from recloser.ledger import RunRecord, TriggerRecord

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
NAMED = ("-c", "user.name=Ann Dev", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *words: str) -> str:
    environment = {**os.environ, "LOGNAME": "ann-dev", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for name in ("GL_USERNAME", "GITEA_PUSHER_NAME", "REMOTE_USER", "SSH_USER"):
        environment.pop(name, None)
    done = subprocess.run(
        ["git", "-C", str(folder), *NAMED, *words], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() + done.stderr.strip()


def bare(folder: Path, hook: str) -> Path:
    """Make a bare repository with that post-receive hook."""
    repository = folder / "models.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(repository)], check=True, capture_output=True)
    script = repository / "hooks" / "post-receive"
    script.write_text(f"#!/bin/sh\n{hook}\n", encoding="utf-8")
    script.chmod(0o755)
    return repository


def recloser(*words: str) -> str:
    """Return the hook's command line; the program is the one under test."""
    program = "import sys; from recloser.cli.main import run; sys.exit(run())"
    return " ".join(f"'{word}'" for word in (sys.executable, "-c", program, *words))


def worktree(folder: Path, remote: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", str(remote))
    commit(folder, "one")
    return folder


def commit(folder: Path, text: str) -> str:
    (folder / "note.txt").write_text(text, encoding="utf-8")
    git(folder, "add", "note.txt")
    git(folder, "commit", "-q", "-m", text)
    return git(folder, "rev-parse", "HEAD")


def test_a_push_asks_over_http_signed_by_the_hook(address: str, grid: Path, platform: Platform, tmp_path: Path) -> None:
    secret = str(grid / "forge.secret")
    hook = recloser("hook", "post-receive", "--inlet", "forge", "--url", address, "--secret-file", secret)
    work = worktree(tmp_path / "work", bare(tmp_path, f"exec {hook}"))
    said = git(work, "push", "origin", "main")
    first = git(work, "rev-parse", "HEAD")
    assert f"asked to retrain (commit:{first})" in said  # told to whoever pushes
    (standing,) = standing_requests(platform)
    assert (standing.key, standing.asked_by) == (f"commit:{first}", ("ann",))
    git(work, "push", "origin", "main:idea")
    assert len(standing_requests(platform)) == 1
    second = commit(work, "two")
    git(work, "push", "origin", "main")
    assert [trigger.key for trigger in standing_requests(platform)] == [f"commit:{first}", f"commit:{second}"]
    (request,) = [e for e in platform.ledger.entries(subject=f"commit:{second}") if e.action == "trigger.request"]
    assert request.facts["repository"] == "models"


def test_a_push_asks_a_project_on_the_same_machine_without_a_gateway(grid: Path, tmp_path: Path) -> None:
    hook = recloser("hook", "post-receive", "--inlet", "forge", "--project", str(grid))
    work = worktree(tmp_path / "work", bare(tmp_path, f"exec {hook}"))
    git(work, "push", "origin", "main")
    with Platform.open(grid) as platform:
        assert [trigger.asked_by for trigger in standing_requests(platform)] == [("ann",)]


def test_a_hook_that_cannot_tell_fails_no_push(grid: Path, tmp_path: Path) -> None:
    secret = str(grid / "forge.secret")
    hook = recloser("hook", "post-receive", "--inlet", "forge", "--url", "http://127.0.0.1:9", "--secret-file", secret)
    remote = bare(tmp_path, hook)
    work = worktree(tmp_path / "work", remote)
    assert "the gateway does not answer" in git(work, "push", "origin", "main")
    assert git(remote, "rev-parse", "main") == git(work, "rev-parse", "HEAD")


def test_a_push_waits_until_the_folder_holds_its_commit(grid: Path, tmp_path: Path) -> None:
    """The project is a clone: the push is told before the clone is brought up to date."""
    hook = recloser("hook", "post-receive", "--inlet", "forge", "--project", str(grid))
    remote = bare(tmp_path, f"exec {hook}")
    (grid / ".gitignore").write_text("state/\nforge.secret\n", encoding="utf-8")
    git(grid, "init", "-q", "-b", "main")
    git(grid, "remote", "add", "origin", str(remote))
    git(grid, "add", ".")
    git(grid, "commit", "-q", "-m", "one")
    git(grid, "push", "origin", "main")
    with Platform.open(grid) as platform:
        loop = ControlLoop(platform, LoopOptions())
        now = platform.clock.now()
        assert loop.retraining.tick(now, frozenset()) is True  # the first push, whose commit is here
        assert [run.trigger for run in platform.ledger.find(RunRecord)] == ["commit"]
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(remote), str(other))
    second = commit(other, "two")
    git(other, "push", "origin", "main")
    with Platform.open(grid) as platform:
        triggers = platform.project.triggers.model_copy(update={"cooldown_days": 0})
        platform.project = platform.project.model_copy(update={"triggers": triggers})
        loop = ControlLoop(platform, LoopOptions())
        now = platform.clock.now()
        assert loop.retraining.tick(now, frozenset()) is False
        (waits,) = platform.ledger.find(TriggerRecord, key=f"commit:{second}/code")
        assert waits.why == "waits until the project's folder holds this commit"
        git(grid, "pull", "-q", "origin", "main")
        assert loop.retraining.tick(now, frozenset()) is True
        (started,) = platform.ledger.find(TriggerRecord, key=f"commit:{second}/started")
        (entry,) = [e for e in platform.ledger.entries(subject=started.key) if e.action == "trigger.start"]
        assert entry.facts["asked_by"] == ["Ann Dev <ann@example.org>", "ann"]
        assert loop.retraining.tick(now, frozenset()) is False  # the folder's own commit is the same one


def test_lines_that_are_not_gits_and_addresses_that_are_none_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="line of git"):
        tell_pushes(["only two"], tmp_path, None, lambda _headers, _body: {})
    assert tell_pushes(["", "\n"], tmp_path, None, lambda _headers, _body: {}) == {"told": [], "failed": []}
    secret = tmp_path / "secret"
    with pytest.raises(InvalidInput, match="cannot be read"):
        to_gateway("http://127.0.0.1:1", "forge", secret)
    secret.write_bytes(b"a secret that nobody guesses")
    for url in ("ftp://x", "127.0.0.1:80", "http://"):
        with pytest.raises(InvalidInput, match="not an address"):
            to_gateway(url, "forge", secret)
