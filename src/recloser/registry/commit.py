"""Owns reading which code commit a folder is at. Does not change the repository and runs none of its hooks."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class CodeCommit:
    """A git commit (full hex id) and whether tracked or new files differ from it."""

    commit: str
    dirty: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return {"commit": self.commit, "dirty": self.dirty}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CodeCommit:
        """Read what `to_dict` wrote; a missing key raises KeyError."""
        return cls(str(data["commit"]), bool(data["dirty"]))


def read_commit(folder: Path) -> CodeCommit | None:
    """Return HEAD and dirty state of the repository that holds `folder`; None where there is none, or no git.

    A repository whose state cannot be read counts as dirty.
    """
    head = _git(folder, "rev-parse", "--verify", "HEAD")
    if head is None:
        return None
    status = _git(folder, "status", "--porcelain", "--untracked-files=normal")
    return CodeCommit(head.strip(), status is None or bool(status.strip()))


def read_last_change(folder: Path) -> str | None:
    """Return the full hex id of the last commit that changed something in `folder`; None without one, or without git.

    Commits elsewhere in a larger repository do not count.
    """
    found = _git(folder, "log", "-1", "--format=%H", "--", ".")
    return found.strip() or None if found is not None else None


def has_commit(folder: Path, commit: str) -> bool:
    """Tell whether the repository that holds `folder` is at a commit or past it; False where that is unknown."""
    return _git(folder, "merge-base", "--is-ancestor", commit, "HEAD") is not None


def read_changed_files(folder: Path, old: str, new: str) -> tuple[str, ...] | None:
    """Return the files that differ between two commits, relative to the repository's top; None where unknown."""
    found = _git(folder, "diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new, "--")
    return None if found is None else tuple(name for name in found.split("\0") if name)


def read_authors(folder: Path, last: str, since: str | None = None) -> tuple[str, ...]:
    """Return who wrote, wrote together or committed what changed in `folder`, as "Name <address>", sorted.

    Args:
        folder: as of `read_last_change`.
        last: full hex id of the newest commit to look at.
        since: the commit up to which everything is known; None, or one that `last` does not descend from: `last` alone.
    """
    span = ["-1", last]
    if since is not None and _git(folder, "merge-base", "--is-ancestor", since, last) is not None:
        span = [f"{since}..{last}"]
    trailers = "%(trailers:key=Co-authored-by,valueonly,only)"
    found = _git(
        folder,
        "log",
        "--no-show-signature",
        "--full-history",
        f"--format=%aN <%aE>%n%cN <%cE>%n{trailers}",
        *span,
        "--",
        ".",
    )
    return tuple(sorted({line.strip() for line in (found or "").splitlines() if line.strip()}))


def _git(folder: Path, *arguments: str) -> str | None:
    program = shutil.which("git")
    if program is None or not folder.is_dir():
        return None
    # fsmonitor may name a program of the repository's choosing; optional locks would write into it.
    command = [program, "-c", "core.fsmonitor=false", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - fixed program, no shell, no input from outside
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
