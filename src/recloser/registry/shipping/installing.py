"""Owns installing an unpacked bundle: a virtual environment from its wheels alone. Uses no network, wants none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recloser.core import Refused, Unavailable
from recloser.registry.shipping.wheelhouse import TIMEOUT_S, find_own, run_pip

VENV = "venv"
WHEELS = "wheels"


def python_tag() -> str:
    """Return the version that wheels are made for, such as '3.11'."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def install_environment(folder: Path, facts: Mapping[str, Any], timeout_s: float = TIMEOUT_S) -> Path:
    """Make `<folder>/venv` from `<folder>/wheels` and the bundle's lock; return its folder of programs.

    Args:
        folder: the unpacked bundle.
        facts: of its card: 'python' must be this interpreter's.
        timeout_s: for each run of pip.

    Raises:
        Refused: the wheels are for another Python.
        Unavailable: pip fails.
    """
    if facts.get("python") != python_tag():
        raise Refused(
            "the bundle is for another Python",
            got=python_tag(),
            expected=str(facts.get("python")),
            next_step=f"Run this with python{facts.get('python')}.",
        )
    target = folder / VENV
    try:
        venv.EnvBuilder(with_pip=True, clear=True, symlinks=True).create(target)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable("no virtual environment can be made", got=str(error)[:200], where=str(target)) from error
    programs = target / "bin"
    # Only the wheels of the bundle exist for pip: no index, no configuration of this machine.
    alone = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str((folder / WHEELS).resolve()), "PIP_CONFIG_FILE": os.devnull}
    around = {name: text for name, text in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    python, environment = str(programs / "python"), {**around, **alone}
    words = ["install", "--quiet", "--no-deps"]
    lock = folder / "requirements.lock"
    if lock.stat().st_size > 1:
        run_pip([*words, "--require-hashes", "-r", str(lock)], timeout_s, python=python, environment=environment)
    run_pip([*words, str(find_own(folder / WHEELS))], timeout_s, python=python, environment=environment)
    return programs


def ask_installed(programs: Path, words: list[str], timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Run a verb of the installed Recloser and return its JSON document, the error's facts after a failure.

    Raises:
        Unavailable: it cannot be run, or prints no document.
    """
    around = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(  # noqa: S603 - the program that was just installed, no shell
            [str(programs / "recloser"), *words, "--json"],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=around,
        )
        document: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Unavailable("the installed program does not answer", got=str(error)[:200], where=words[0]) from error
    return document
