"""A log that is written, for a mover that may be killed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from recloser.core import VirtualClock, parse_utc
from recloser.serving import AssetLimits, Gateway, GuardPolicy, Route
from recloser.serving.batch import batch_from_arrays
from recloser.serving.log import Decided, LogPolicy, PredictionLog

NOW = parse_utc("2020-03-01T22:00:05Z")


class Level:
    """Answers the recent level; the shadow answers no number on every fifth request."""

    def __init__(self, release: str) -> None:
        self.release = release

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        level = rows["scale_mw"].to_numpy()
        if self.release == "rel-2":
            level = np.where(level % 5 == 0, np.nan, level)
        return np.stack([level - 1.0, level, level + 1.0], axis=1)


def gateway() -> Gateway:
    limits = {"a": AssetLimits(-500.0, 3000.0, 400.0, timedelta(hours=1))}
    policy = GuardPolicy(trip_after=10**6)
    models = {name: Level(name) for name in ("rel-1", "rel-2")}
    return Gateway(models, Route(1, "rel-1", shadow="rel-2", fallback=()), limits, policy)


def decided(gate: Gateway, number: int) -> Decided:
    """Return the real answer to a request about a known and an unknown area."""
    numbers = {"scale_mw": np.array([100.0 + number % 7, 100.0])}
    batch, _ = batch_from_arrays(["a", "x"], numbers, np.array([3_600_000_000] * 2, dtype=np.int64))
    return Decided(f"r{number}", "forecast", 1, NOW, 0.001, (0.1, 0.5, 0.9), batch, gate.score(batch, NOW))


def write(folder: Path, numbers: range, segment_bytes: int = 2500) -> None:
    """Log these answers and close the log."""
    gate = gateway()
    policy = LogPolicy(inputs="full", segment_bytes=segment_bytes, pause_s=0.0)
    log = PredictionLog(folder, policy, VirtualClock(NOW))
    for number in numbers:
        log.wait(log.append(decided(gate, number)) or 0, 10.0)
    assert log.close()


@pytest.fixture(scope="session")
def logged() -> SimpleNamespace:
    return SimpleNamespace(write=write, NOW=NOW)
