"""A small project with a history, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recloser.ledger import Ledger, NoticeRecord
from recloser.testing import small_project


@pytest.fixture(scope="session")
def _history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project(tmp_path_factory.mktemp("app") / "grid")


@pytest.fixture
def project(_history: Path, tmp_path: Path) -> Path:
    """A project of one's own with 120 days of history and no model."""
    return Path(shutil.copytree(_history, tmp_path / "grid"))


@pytest.fixture
def noted(tmp_path: Path) -> Iterator[Callable[[NoticeRecord], Ledger]]:
    """A ledger of one's own that holds a notice of a recall and nothing else."""
    with Ledger.open(f"sqlite:///{tmp_path}/notices.db") as opened:

        def hold(notice: NoticeRecord) -> Ledger:
            with opened.change("rollout", notice.at) as change:
                change.add(notice)
                change.note("rollout.trip", notice.subject)
            return opened

        yield hold
