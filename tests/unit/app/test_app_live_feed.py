"""A replay's loads over a real socket: each once, as short floats, the rest untouched."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recloser.app.replay.live_feed import over_a_socket
from recloser.core import LOAD, VirtualClock
from recloser.testing import small_grid


def test_every_load_arrives_once_and_nothing_else_changes(tmp_path: Path) -> None:
    frame, said = small_grid(60, feeders=20).frame(), list[str]()
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    found = over_a_socket(frame, tmp_path / "spool", clock, said.append)
    assert said[0].startswith(f"{20 * 60 * 24} loads came over IEC 104")
    assert found.drop("value").equals(frame.drop("value"))
    others = pl.col("quantity") != LOAD
    assert found.filter(others).equals(frame.filter(others))
    wanted, came = frame.filter(~others)["value"], found.filter(~others)["value"]
    assert came.to_list() == pytest.approx(wanted.to_list(), rel=1e-6)
    assert came.to_list() == wanted.cast(pl.Float32).cast(pl.Float64).to_list()
