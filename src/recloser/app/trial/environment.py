"""Owns a fresh virtual environment made from a package's lock and a local wheelhouse. Uses no index."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from recloser.core import Unavailable
from recloser.registry import Package

REQUIREMENTS = "environment/requirements.txt"
"""File of a package that pins every distribution with its hashes, where a package has one."""
PATIENCE_S = 1800.0


def fresh_interpreter(package: Package, wheelhouse: Path, folder: Path) -> Path:
    """Make a virtual environment of exactly what the package was made with; return its interpreter.

    Args:
        package: whose lock it is: pinned with hashes where the package holds such a file, else the versions of its
            environment lock with what they need.
        wheelhouse: folder of wheels; nothing else is looked at.
        folder: where to make it.

    Raises:
        Unavailable: no wheelhouse, a wheel is not there or does not fit, or another interpreter is locked.
    """
    lock = package.facts.environment
    if not wheelhouse.is_dir():
        raise Unavailable(
            "no wheelhouse to make a fresh environment from",
            where=str(wheelhouse),
            next_step='Fill it (pip download -d FOLDER ...), or set [staging] environment = "installed".',
        )
    venv.EnvBuilder(with_pip=True).create(folder)
    python = folder / "bin" / "python"
    words = [str(python), "-m", "pip", "install", "--quiet", "--no-index", "-f", str(wheelhouse.resolve())]
    pinned = [f"{name}=={version}" for name, version in sorted(lock.libraries.items()) if version is not None]
    if any(entry.path == REQUIREMENTS for entry in package.files):
        listed = folder / "requirements.txt"
        listed.write_bytes(package.read_bytes(REQUIREMENTS))
        pinned = ["--require-hashes", "--no-deps", "-r", str(listed)]
    done = subprocess.run(  # noqa: S603 - pip of the environment just made
        [*words, "--disable-pip-version-check", *pinned], capture_output=True, timeout=PATIENCE_S, check=False
    )
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise Unavailable(
            "a fresh environment cannot be made from the wheelhouse",
            got=" / ".join(tail)[:400],
            expected=f"wheels of {lock.python} as run by {Path(sys.executable).name}",
            where=str(wheelhouse),
            next_step="Put the missing wheels into the wheelhouse.",
        )
    return python
