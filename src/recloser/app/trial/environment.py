"""Owns a fresh virtual environment made from a package's lock and a local wheelhouse. Uses no index."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

from recloser.core import Unavailable
from recloser.registry import Package

LOCK = "environment/requirements.lock"
"""File of a package that pins every distribution but Recloser itself with its hashes, where a package has one."""
PATIENCE_S = 1800.0


def fresh_interpreter(package: Package, wheelhouse: Path, folder: Path) -> Path:
    """Make a virtual environment of exactly what the package was made with; return its interpreter.

    Args:
        package: whose lock it is: with hashes where the package holds such a file, else the versions of its
            environment lock with what they need.
        wheelhouse: folder of wheels, Recloser's own among them; nothing else is looked at.
        folder: where to make it.

    Raises:
        Unavailable: no wheelhouse, or a wheel is not there, does not fit or has another hash.
    """
    if not wheelhouse.is_dir():
        raise Unavailable(
            "no wheelhouse to make a fresh environment from",
            where=str(wheelhouse),
            next_step='Fill it (pip download -d FOLDER ...), or set [staging] environment = "installed".',
        )
    venv.EnvBuilder(with_pip=True).create(folder)
    python = folder / "bin" / "python"
    libraries = package.facts.environment.libraries
    if any(entry.path == LOCK for entry in package.files):
        listed = folder / "requirements.lock"
        listed.write_bytes(package.read_bytes(LOCK))
        _install(python, wheelhouse, ["--require-hashes", "--no-deps", "-r", str(listed)])
        _install(python, wheelhouse, ["--no-deps", f"recloser=={libraries['recloser']}"])
    else:
        pinned = [f"{name}=={version}" for name, version in sorted(libraries.items()) if version is not None]
        _install(python, wheelhouse, pinned)
    return python


def _install(python: Path, wheelhouse: Path, wanted: list[str]) -> None:
    quiet = ["install", "--quiet", "--disable-pip-version-check", "--no-index", "-f", str(wheelhouse.resolve())]
    done = subprocess.run(  # noqa: S603 - pip of the environment just made
        [str(python), "-m", "pip", *quiet, *wanted], capture_output=True, timeout=PATIENCE_S, check=False
    )
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise Unavailable(
            "a fresh environment cannot be made from the wheelhouse",
            got=" / ".join(tail)[:400],
            where=str(wheelhouse),
            next_step="Put the missing wheels into the wheelhouse.",
        )
