"""Owns the choice of what a lock pins for some extras: `pinned.py PLAN LOCK` prints their lines with hashes.

PLAN is what `pip install --dry-run --report` would install; a package of it that the lock does not pin in that very
version ends the build. Installs nothing. Needs nothing but Python, for it runs while the image is built.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")


def named(name: str) -> str:
    """Return the one spelling of a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned_in(lock: str) -> dict[tuple[str, str], str]:
    """Return of each package and version that a lock pins its whole entry, hashes included."""
    found: dict[tuple[str, str], str] = {}
    for entry in re.split(r"\n(?=\S)", lock):
        match = _PINNED.match(entry)
        if match and "--hash=sha256:" in entry:
            found[named(match.group(1)), match.group(2)] = entry
    return found


def chosen(plan: dict[str, Any], lock: str, own: str = "recloser") -> list[str]:
    """Return the entries of a lock for what a plan installs.

    Raises:
        LookupError: the lock does not pin one of them.
    """
    pinned, wanted = pinned_in(lock), []
    for item in plan["install"]:
        key = named(item["metadata"]["name"]), item["metadata"]["version"]
        if key[0] == own:
            continue
        if key not in pinned:
            raise LookupError(f"{key[0]} {key[1]} is not pinned by the lock: run `make lock`, or leave its extra out")
        wanted.append(pinned[key])
    return wanted


if __name__ == "__main__":
    try:
        entries = chosen(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]).read_text("utf-8"))
    except LookupError as error:
        sys.exit(str(error))
    sys.stdout.write("\n".join(entries) + "\n")
