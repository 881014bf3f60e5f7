"""Runs the jobs of a CI file as its forge would: step by step in bash, with variables, outputs and artifacts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass
class Machine:
    """What a forge knows of a push, and where its runners work.

    Attributes:
        place: folder for workspaces and artifacts.
        origin: the bare repository.
        commit: full id of what was pushed.
        actor: who pushed.
        variables: of the repository's settings.
        ran: (job, step) in the order in which they ran.
    """

    place: Path
    origin: Path
    commit: str
    actor: str
    variables: dict[str, str]
    ran: list[tuple[str, str]] = field(default_factory=list)

    def bash(self, script: str, folder: Path, more: dict[str, str]) -> None:
        """Run a script as runners do: it ends at the first command that fails."""
        here = Path(sys.executable).parent
        own = {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}", "PIP_NO_INDEX": "1"}
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=folder,
            env={**os.environ, **own, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StepFailed(script, done.returncode, done.stdout + done.stderr)

    def workspace(self, job: str, *, cloned: bool) -> Path:
        """Return a fresh workspace, with the pushed commit checked out where the job wants it."""
        folder = self.place / f"work-{job}"
        if cloned:
            subprocess.run(["git", "clone", "-q", str(self.origin), str(folder)], check=True)
            subprocess.run(["git", "-C", str(folder), "checkout", "-q", "--detach", self.commit], check=True)
        else:
            folder.mkdir(exist_ok=True)
        return folder


class StepFailed(AssertionError):
    """A step that a forge would show red."""

    def __init__(self, script: str, code: int, said: str) -> None:
        super().__init__(f"exit code {code} of:\n{script}\n{said}")
        self.code = code


class GitHub:
    """GitHub Actions, as far as the file needs it; an expression or an action that it does not know is an error."""

    def __init__(self, file: Path, machine: Machine) -> None:
        self.jobs: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)["jobs"]  # noqa: S506 - plain strings only
        self.machine = machine
        self.outputs: dict[str, dict[str, str]] = {}
        self.steps: dict[str, dict[str, str]] = {}

    def run(self, event: str) -> None:
        """Run all jobs in the order of their needs."""
        done: set[str] = set()
        while len(done) < len(self.jobs):
            ready = [name for name, job in self.jobs.items() if name not in done and self._needs(job) <= done]
            for name in ready:
                condition = self.jobs[name].get("if", "true")
                if condition in {"true", f"github.event_name == '{event}'"}:
                    self._job(name, self.jobs[name])
                done.add(name)
            if event != "push":
                return

    def _needs(self, job: dict[str, Any]) -> set[str]:
        needs = job.get("needs", [])
        return {needs} if isinstance(needs, str) else set(needs)

    def _job(self, name: str, job: dict[str, Any]) -> None:
        self.steps = {}
        folder = self.machine.workspace(name, cloned=False)
        env = {key: self._filled(text) for key, text in job.get("env", {}).items()}
        for index, step in enumerate(job["steps"]):
            self.machine.ran.append((name, step.get("name", step.get("uses", ""))))
            if "uses" in step:
                self._action(step, name, folder)
                continue
            files = {word: folder / f".{word}-{index}" for word in ("GITHUB_ENV", "GITHUB_OUTPUT")}
            for path in files.values():
                path.touch()
            self.machine.bash(self._filled(step["run"]), folder, {**env, **{k: str(p) for k, p in files.items()}})
            env |= assignments(files["GITHUB_ENV"])
            self.steps[step.get("id", str(index))] = assignments(files["GITHUB_OUTPUT"])
        self.outputs[name] = {key: self._filled(text) for key, text in job.get("outputs", {}).items()}

    def _action(self, step: dict[str, Any], job: str, folder: Path) -> None:
        action, given = step["uses"].partition("@")[0], step.get("with", {})
        store = self.machine.place / "artifacts" / given.get("name", "")
        if action == "actions/checkout":
            folder.rmdir()
            self.machine.workspace(job, cloned=True)
        elif action == "actions/upload-artifact":
            shutil.copytree(folder / given["path"], store)
        elif action == "actions/download-artifact":
            shutil.copytree(store, folder / given["path"])
        else:
            assert action == "actions/setup-python", action

    def _filled(self, text: str) -> str:
        def value(found: re.Match[str]) -> str:
            words = found[1].split(".")
            if words[0] == "vars":
                return self.machine.variables[words[1]]
            if words[0] == "steps":
                return self.steps[words[1]][words[3]]
            if words[0] == "needs":
                return self.outputs[words[1]][words[3]]
            return {"actor": self.machine.actor, "sha": self.machine.commit}[words[1]]

        return re.sub(r"\$\{\{ *([\w.]+) *\}\}", value, text)


class GitLab:
    """GitLab CI, as far as the file needs it."""

    def __init__(self, file: Path, machine: Machine) -> None:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        self.stages: list[str] = document["stages"]
        self.jobs = {name: job for name, job in document.items() if isinstance(job, dict) and "script" in job}
        self.machine = machine

    def run(self, event: str) -> None:
        """Run all stages; before a merge only jobs without rules run."""
        known: dict[str, str] = {}
        for stage in self.stages:
            for name, job in self.jobs.items():
                if job["stage"] == stage and (event == "push" or "rules" not in job):
                    self._job(name, job, known)

    def _job(self, name: str, job: dict[str, Any], known: dict[str, str]) -> None:
        machine = self.machine
        cloned = job.get("variables", {}).get("GIT_STRATEGY") != "none"
        folder = machine.workspace(name, cloned=cloned)
        store = machine.place / "artifacts"
        if store.exists():
            shutil.copytree(store, folder, dirs_exist_ok=True)
        predefined = {"CI_COMMIT_SHA": machine.commit, "GITLAB_USER_LOGIN": machine.actor}
        machine.bash("\n".join(job["script"]), folder, {**machine.variables, **predefined, **known})
        machine.ran.append((name, "script"))
        for path in job.get("artifacts", {}).get("paths", []):
            target = store / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(folder / path, target) if (folder / path).is_dir() else shutil.copy(folder / path, target)
        dotenv = job.get("artifacts", {}).get("reports", {}).get("dotenv")
        if dotenv:
            known |= assignments(folder / dotenv)


def assignments(file: Path) -> dict[str, str]:
    """Return the NAME=TEXT lines of a file."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return {name: text for name, _, text in (line.partition("=") for line in lines)}
