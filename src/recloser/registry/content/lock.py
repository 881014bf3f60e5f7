"""Owns the locked environment: which distributions with which hashes a release needs on this kind of machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.markers import InvalidMarker, Marker
from packaging.utils import canonicalize_name

from recloser.core import InvalidInput, Unavailable

LOCK_NAME = "requirements.lock"

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """One locked distribution.

    Attributes:
        name: normalised name.
        version: the version.
        hashes: SHA-256 of every archive of it that may be installed, sorted.
        marker: for which environments; empty for all.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    marker: str = ""


def parse_lock(text: str, where: str = LOCK_NAME) -> tuple[Pin, ...]:
    """Return the pins of a lock in pip's hash-checking form, sorted by name.

    Raises:
        InvalidInput: a line that is no pin, or a pin without a hash.
    """
    joined = re.sub(r"\\\n", " ", text)
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return tuple(sorted((_pin(line, where) for line in lines), key=lambda pin: (pin.name, pin.version)))


def _pin(line: str, where: str) -> Pin:
    found, hashes = _PIN.match(line), _HASH.findall(line)
    if found is None or not hashes:
        raise InvalidInput(
            "a line of the lock that is no pin with hashes",
            got=line[:100],
            expected="NAME==VERSION --hash=sha256:...",
            where=where,
            next_step="Make the lock with hashes: make lock",
        )
    marker = (found["marker"] or "").split("--hash", maxsplit=1)[0].strip()
    return Pin(canonicalize_name(found["name"]), found["version"], tuple(sorted(set(hashes))), marker)


def applicable(pins: Sequence[Pin]) -> tuple[Pin, ...]:
    """Return the pins whose marker holds for the running interpreter.

    Raises:
        InvalidInput: an unreadable marker.
    """
    try:
        return tuple(pin for pin in pins if not pin.marker or Marker(pin.marker).evaluate())
    except InvalidMarker as error:
        raise InvalidInput("an unreadable marker in the lock", got=str(error)[:200]) from error


def write_lock(pins: Sequence[Pin]) -> bytes:
    """Return the pins as a lock for `pip install --require-hashes`, one canonical text."""
    lines = []
    for pin in sorted(pins, key=lambda known: (known.name, known.version)):
        marker = f" ; {pin.marker}" if pin.marker else ""
        lines.append(
            " \\\n    ".join([f"{pin.name}=={pin.version}{marker}", *(f"--hash=sha256:{h}" for h in pin.hashes)])
        )
    return ("\n".join(lines) + "\n").encode()


def installed_differences(pins: Sequence[Pin]) -> Mapping[str, tuple[str, str | None]]:
    """Return what is installed otherwise than locked: name -> (locked version, installed version or None)."""
    result = {}
    for pin in pins:
        here = installed_version(pin.name)
        if here != pin.version:
            result[pin.name] = (pin.version, here)
    return result


def installed_version(name: str) -> str | None:
    """Return the version of an installed distribution, None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def shipped_lock() -> Path | None:
    """Return the lock that came with this installation of Recloser, or lies beside its source; None without one."""
    room = Path(__file__).parents[2]
    places = (room / LOCK_NAME, room.parents[1] / LOCK_NAME)
    return next((place for place in places if place.is_file()), None)


def load_lock(path: Path) -> tuple[Pin, ...]:
    """Return the pins of a lock file that hold for the running interpreter.

    Raises:
        InvalidInput: it is no lock with hashes.
        Unavailable: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable("the lock cannot be read", got=str(error), where=str(path)) from error
    return applicable(parse_lock(text, str(path)))
