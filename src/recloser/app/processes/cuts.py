"""Owns who was cut off under a route, as files that outlive the worker that found it. Decides nothing.

One file a cut, written once: no worker overwrites what another found, and one that is started anew reads its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from recloser.core import RecloserError, format_utc, parse_utc
from recloser.serving import Cut

FOLDER = "cuts"


@dataclass(frozen=True, slots=True)
class FoundCut:
    """A cut, under which route's epoch, and which worker found it."""

    epoch: int
    worker: str
    cut: Cut

    @property
    def reason(self) -> str:
        """Return why, and who says so."""
        return f"gateway worker {self.worker} cut it off: {self.cut.reason}"


def cuts_folder(state: Path) -> Path:
    """Return the folder of the cuts; it may not be there yet."""
    return state / FOLDER


def write_cut(state: Path, found: FoundCut) -> None:
    """Write a cut so that it survives power loss; one that is there already is left as it is.

    Raises:
        OSError: the disk does not take it.
    """
    folder = cuts_folder(state)
    folder.mkdir(exist_ok=True)
    path = folder / f"{found.epoch}-{found.cut.release}.json"
    if path.exists():
        return
    cut = found.cut
    facts = {
        "epoch": found.epoch,
        "worker": found.worker,
        "release": cut.release,
        "reason": cut.reason,
        "at": format_utc(cut.at),
        "failures": list(cut.failures),
    }
    draft = folder / f".{path.name}.{os.getpid()}"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(facts, file)
        file.flush()
        draft.replace(path)  # the other workers need not wait for the disk
        os.fsync(file.fileno())
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_cuts(state: Path, epoch: int) -> list[FoundCut]:
    """Return who was cut off under this route, by release; what cannot be read is passed over."""
    found = []
    for path in sorted(cuts_folder(state).glob(f"{epoch}-*.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            at = parse_utc(facts["at"], str(path))
            cut = Cut(facts["release"], facts["reason"], at, tuple(facts["failures"]))
            found.append(FoundCut(int(facts["epoch"]), facts["worker"], cut))
        except (OSError, ValueError, KeyError, TypeError, RecloserError):
            continue
    return found


def forget_cuts(state: Path, before: int) -> None:
    """Delete the cuts under routes older than this epoch."""
    for path in _files(state):
        epoch = path.name.partition("-")[0]
        if epoch.isdigit() and int(epoch) < before:
            path.unlink(missing_ok=True)


def _files(state: Path) -> Iterable[Path]:
    return sorted(cuts_folder(state).glob("*.json"))
