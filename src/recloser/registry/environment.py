"""Owns the environment lock: interpreter, platform and library versions a model was made with."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from recloser.core import digest_of

LIBRARIES = ("lightgbm", "numpy", "polars", "scipy", "holidays", "tzdata", "deltalake", "cryptography", "recloser")


@dataclass(frozen=True, slots=True)
class EnvironmentLock:
    """What can change a model's numbers; no host name, no kernel build, no time.

    Attributes:
        python: e.g. 'CPython 3.11.7'.
        platform: e.g. 'Linux x86_64 glibc 2.36'.
        libraries: distribution -> version, None where it is not installed.
    """

    python: str
    platform: str
    libraries: Mapping[str, str | None]

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the lock's canonical JSON."""
        return digest_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return {"python": self.python, "platform": self.platform, "libraries": dict(self.libraries)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EnvironmentLock:
        """Read what `to_dict` wrote; a missing key raises KeyError."""
        return cls(str(data["python"]), str(data["platform"]), dict(data["libraries"]))

    def differences(self, other: EnvironmentLock) -> dict[str, tuple[str | None, str | None]]:
        """Return what differs, name -> (here, there); empty when equal."""
        mine = {"python": self.python, "platform": self.platform, **self.libraries}
        theirs = {"python": other.python, "platform": other.platform, **other.libraries}
        names = sorted(set(mine) | set(theirs))
        return {name: (mine.get(name), theirs.get(name)) for name in names if mine.get(name) != theirs.get(name)}


def read_environment(libraries: Sequence[str] = LIBRARIES) -> EnvironmentLock:
    """Return the lock of the running interpreter."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    libc, version = platform.libc_ver(sys.executable)
    where = " ".join(part for part in (platform.system(), platform.machine(), libc, version) if part)
    return EnvironmentLock(python, where, {name: _version(name) for name in sorted(libraries)})


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
