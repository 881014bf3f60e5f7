"""A release with code of its own is served from its own process, and answers the same bytes as in ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recloser.app.foreign import open_foreign
from recloser.core import Refused
from recloser.models import Persistence, code_kind, load_model
from recloser.simulation.saboteur import CreepingModel


def test_the_process_answers_the_same_bytes(tmp_path: Path) -> None:
    start = datetime(2024, 5, 1, 9, tzinfo=UTC)
    honest = Persistence.of(("load_newest_4d", "load_level_24h"))
    CreepingModel(honest, start - timedelta(days=3), 10.0).save(tmp_path)
    rows = pl.DataFrame(
        {
            "area": ["a"] * 24,
            "issued_at": [start] * 24,
            "at": [start + timedelta(hours=k) for k in range(24)],
            "scale_mw": [700.0] * 24,
            "load_newest_4d": [1.0 + k / 100 for k in range(24)],
            "load_level_24h": [1.0] * 24,
        }
    )
    ours = load_model(tmp_path, allow_code=True)
    theirs = open_foreign(tmp_path)
    assert code_kind(tmp_path) == "python"
    assert theirs.quantiles == ours.quantiles
    assert theirs.predict(rows).tobytes() == ours.predict(rows).tobytes()
    with pytest.raises(Refused):
        theirs.save(tmp_path)
    Persistence.of(("load_newest_4d",)).save(tmp_path / "data")
    assert code_kind(tmp_path / "data") is None
