"""Owns wheels: fetching what a lock names, proving each by its hash, making Recloser's own. Installs nothing."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from recloser.core import InvalidInput, Refused, Unavailable
from recloser.registry.content.lock import LOCK_NAME, Pin, write_lock

TIMEOUT_S = 1800.0


def fetch_wheels(pins: Sequence[Pin], folder: Path, timeout_s: float = TIMEOUT_S) -> None:
    """Let pip download a wheel for every pin, from where pip is configured to look; hashes are enforced.

    Raises:
        Unavailable: pip fails; its last line says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK_NAME
    lock.write_bytes(write_lock(pins))
    words = ["download", "--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
    run_pip([*words, "--dest", str(folder), "-r", str(lock)], timeout_s)
    lock.unlink()


def own_wheel(folder: Path, timeout_s: float = TIMEOUT_S) -> Path:
    """Make Recloser's own wheel from the source that it runs from; return the file.

    Raises:
        InvalidInput: it does not run from its source tree.
        Unavailable: the wheel cannot be built.
    """
    source = Path(__file__).parents[4]
    if not (source / "pyproject.toml").is_file():
        raise InvalidInput(
            "Recloser's own wheel is not at hand",
            where=str(folder),
            expected="a file recloser-*.whl among the wheels",
            next_step="Put the wheel that Recloser was installed from into the folder of wheels.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    words = ["wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    run_pip([*words, "--wheel-dir", str(folder), str(source)], timeout_s)
    return find_own(folder)


def find_own(folder: Path) -> Path:
    """Return Recloser's own wheel in a folder.

    Raises:
        InvalidInput: there is none, or more than one.
    """
    found = sorted(folder.glob("recloser-*.whl"))
    if len(found) != 1:
        raise InvalidInput("not exactly one wheel of Recloser", got=[path.name for path in found], where=str(folder))
    return found[0]


def chosen_wheels(pins: Sequence[Pin], folder: Path) -> dict[str, Path]:
    """Return one wheel per pin by file name, each proven by the lock's hash; other files are left aside.

    Raises:
        InvalidInput: a wheel is missing.
        Refused: a wheel is not the one that the lock names.
    """
    by_pin: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.glob("*.whl")):
        try:
            name, version, _, _ = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        by_pin.setdefault((canonicalize_name(name), str(version)), []).append(path)
    chosen, missing = {}, []
    for pin in pins:
        there = by_pin.get((pin.name, pin.version), [])
        good = [path for path in there if _sha256(path) in pin.hashes]
        if there and not good:
            raise Refused(
                "a wheel that is not the one in the lock",
                got=there[0].name,
                expected="one of the hashes of " + pin.name,
                where=str(folder),
                next_step="Delete it and fetch it again; find out where it came from.",
            )
        if good:
            chosen[good[0].name] = good[0]
        else:
            missing.append(f"{pin.name}=={pin.version}")
    if missing:
        raise InvalidInput(
            "wheels are missing",
            got=", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else ""),
            where=str(folder),
            next_step="Leave --wheels out to let pip fetch them, or add these.",
        )
    return chosen


def run_pip(
    words: Sequence[str],
    timeout_s: float,
    *,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run pip of an interpreter to its end.

    Raises:
        Unavailable: it cannot be run, takes too long, or fails; its last line is told.
    """
    command = [python, "-m", "pip", *words[:1], "--disable-pip-version-check", "--no-input", *words[1:]]
    try:
        done = subprocess.run(  # noqa: S603 - fixed program, no shell
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable("pip did not finish", got=str(error)[:200], where=words[0]) from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise Unavailable("pip failed", got="; ".join(lines[:3])[:600] or None, where=f"pip {words[0]}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
