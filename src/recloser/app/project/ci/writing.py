"""Owns writing a forge's CI file into a project. Runs nothing."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from recloser import __version__
from recloser.app.project.files import replace_file
from recloser.app.project.settings import FILE_NAME
from recloser.core import InvalidInput, unknown_name

TARGETS = {"github": ".github/workflows/recloser.yml", "gitlab": ".gitlab-ci.yml"}
IGNORED = "/state/\n/dossiers/\n*.offer\n"


def write_ci(folder: Path, kind: str) -> dict[str, Any]:
    """Write the CI file of a forge into a project, and a `.gitignore` that keeps state and keys out of the repository.

    Files that are there are never touched.

    Args:
        folder: project.
        kind: 'github' or 'gitlab'.

    Returns:
        {"folder", "kind", "written": [paths], "next_step"}.

    Raises:
        InvalidInput: no project, an unknown forge, or there is a CI file already.
    """
    if kind not in TARGETS:
        raise unknown_name("forge", kind, TARGETS, "ci")
    if not (folder / FILE_NAME).is_file():
        raise InvalidInput(f"no {FILE_NAME} here", where=str(folder), next_step="Run recloser init first.")
    target = folder / TARGETS[kind]
    if target.exists():
        raise InvalidInput("a CI file is already here", where=str(target), next_step="Move it away to have it anew.")
    template = (files("recloser.app.project.ci") / f"{kind}.yml").read_text(encoding="utf-8")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        written = [replace_file(target, template.replace("@VERSION@", __version__).encode())]
        if not (folder / ".gitignore").exists():
            written.append(replace_file(folder / ".gitignore", IGNORED.encode()))
    except OSError as error:
        raise InvalidInput("cannot write the CI file", got=str(error), where=str(target)) from error
    return {
        "folder": str(folder),
        "kind": kind,
        "written": [str(path) for path in written],
        "next_step": "Read its first lines: it says which variables and runners it wants.",
    }
