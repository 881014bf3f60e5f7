"""Owns the scratch project of one policy: made afresh, or found as a killed replay of the same task left it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from recloser import __version__
from recloser.app.loop.book import issue_key
from recloser.app.platform import Platform
from recloser.app.project.files import replace_file
from recloser.app.project.layout import Layout
from recloser.app.project.settings import FILE_NAME
from recloser.core import InvalidInput, digest_of
from recloser.core.digests import digest_bytes
from recloser.ledger import ActRecord, Ledger, StateRecord

MARK = "replay.json"


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where a policy lives, and what it is made of.

    Attributes:
        folder: the scratch project.
        files: texts of recloser.toml and pipeline.py (or None).
        recorded: file of the recorded history.
        task: digest of all that decides what happens: window, scenario, files, history, version.
    """

    folder: Path
    files: tuple[str, str | None]
    recorded: Path
    task: str

    def ready(self) -> bool:
        """Return whether a replay of the same task was begun here and can be gone on with; else make it afresh."""
        if self._mark().get("task") == self.task:
            return True
        self.make()
        return False

    def make(self) -> None:
        """Make a fresh project that holds the recorded history; what another replay left is removed.

        Raises:
            InvalidInput: the folder holds something that no replay made.
        """
        self._clear()
        layout = Layout(self.folder)
        layout.make()
        text, code = self.files
        replace_file(self.folder / FILE_NAME, text.encode())
        if code is not None:
            replace_file(layout.pipeline_file, code.encode())
        with Platform.open(self.folder, isolated=True) as platform:
            platform.store.append(pl.read_parquet(self.recorded), source="replay")
        self._write({"task": self.task, "cpu_s": 0.0})  # last: without it the folder counts for nothing

    def _clear(self) -> None:
        """Leave the folder empty but for the mark, which says from the first moment on whose it is."""
        ours = (self.folder / MARK).is_file() and not self.folder.is_symlink()
        if not ours and self.folder.exists() and (not self.folder.is_dir() or self._others()):
            raise InvalidInput(
                "what lies here was not made by a replay, and is left as it is",
                got=str(self.folder),
                expected=f"no such folder, or one with the {MARK} of a replay",
                where="--out",
                next_step="Choose another --out, or move it away.",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write({"task": None, "cpu_s": 0.0})
        for found in self.folder.iterdir():
            if found.is_dir() and not found.is_symlink():
                shutil.rmtree(found)
            elif found.name != MARK:
                found.unlink()

    def _others(self) -> bool:
        """Return whether the folder holds more than the half-written mark of a replay that was killed."""
        return any(not found.match(f".{MARK}.*.tmp") for found in self.folder.iterdir())

    @property
    def cpu_s(self) -> float:
        """CPU time spent here by replays that were killed, as far as it was noted."""
        return float(self._mark().get("cpu_s", 0.0))

    def spent(self, cpu_s: float) -> None:
        """Note the CPU time of the policy so far."""
        self._write({"task": self.task, "cpu_s": round(cpu_s, 1)})

    def _mark(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / MARK).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return {}
        return found

    def _write(self, mark: dict[str, Any]) -> None:
        replace_file(self.folder / MARK, json.dumps(mark).encode())


def is_scratch(folder: Path) -> bool:
    """Return whether a folder is the scratch project of a replay: it uses nothing outside of itself."""
    return (folder / MARK).is_file()


def task_digest(parts: Sequence[Any], recorded: Path) -> str:
    """Return the digest of what decides a replay: its JSON-ready parts, the recorded history, and the version."""
    return digest_of([__version__, digest_bytes(recorded.read_bytes()), *parts])


def lived_until(ledger: Ledger, issues: Sequence[datetime]) -> int:
    """Return how many of the issues (ascending) were come to: the last of them was made but may lack its last steps.

    Before there is a champion none is made; what people said after one shows that it was come to.
    """
    acts = ledger.find(ActRecord, order_by="at", descending=True, limit=1)
    spoken = sum(issue < acts[0].at for issue in issues) if acts else 0
    for index in range(len(issues) - 1, spoken - 1, -1):
        if ledger.get(StateRecord, issue_key(issues[index])) is not None:
            return index + 1
    return spoken
