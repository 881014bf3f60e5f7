"""A small project made once: with data only, and with a serving champion; each test works on a copy of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from recloser.cli import main
from recloser.testing import small_project


@dataclass(frozen=True, slots=True)
class Told:
    """What a verb said: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout; more than one, or anything beside it, does not parse."""
        return json.loads(self.out)


Call = Callable[..., Told]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a verb as the program does."""

    def run(*words: object) -> Told:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Told(code, out, err)

    return run


@pytest.fixture(scope="session")
def _ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project(tmp_path_factory.mktemp("cli") / "ingested")


@pytest.fixture(scope="session")
def _served(_ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    folder = tmp_path_factory.mktemp("cli") / "served"
    shutil.copytree(_ingested, folder)
    return folder, main(["run", "--project", str(folder), "--json"])


@pytest.fixture
def ingested(_ingested: Path, tmp_path: Path) -> Path:
    """A project with data and no model."""
    return Path(shutil.copytree(_ingested, tmp_path / "ingested"))


@pytest.fixture
def served(_served: tuple[Path, int], tmp_path: Path) -> Path:
    """A project whose first model passed and serves."""
    assert _served[1] == 0
    return Path(shutil.copytree(_served[0], tmp_path / "served"))
