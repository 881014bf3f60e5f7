"""Owns a project of many assets whose forecasts and loads are written into ledger and store. Measures nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recloser.app import Platform
from recloser.core import LOAD, SAMPLE_SCHEMA, VirtualClock, forecast_id, format_utc
from recloser.ledger import ForecastRecord, RouteRecord
from recloser.testing import empty_project

NOW = datetime(2024, 3, 5, 11, tzinfo=UTC)
STEP = timedelta(hours=1)
RELEASE = "rel-0123456789ab"
AHEAD, BACK = 38, 48
"""Hours forecast from the issue on, and known before it."""


def world(folder: Path, assets: int) -> tuple[Path, datetime]:
    """Make the project; return its folder and the instant it stands at (aware UTC).

    Args:
        folder: where to make it.
        assets: how many areas it has; each with two days of load and the forecast of this morning.
    """
    areas = [f"A{number:04d}" for number in range(assets)]
    empty_project(folder, areas)
    issued = NOW - timedelta(hours=3)
    with Platform.open(folder, clock=VirtualClock(NOW)) as platform:
        platform.store.append(_loads(areas), "benchmark")
        with platform.ledger.change("benchmark", issued) as change:
            for number, area in enumerate(areas):
                change.put(_forecast(area, number, issued))
            change.put(RouteRecord("route", 1, RELEASE, None, 0.0, [], None, ["persistence"], None, "", issued))
            change.note("forecast.issue", format_utc(issued), {"areas": assets})
    return folder, NOW


def _level(number: int) -> float:
    return 5.0 + number % 90


def _shape(times: np.ndarray) -> np.ndarray:
    return 1.0 + 0.3 * np.sin(2 * np.pi * (times / 24.0 - 0.3))


def _loads(areas: list[str]) -> pl.DataFrame:
    steps = np.arange(-BACK, -1)
    at = [NOW + STEP * int(step) for step in steps]
    noise = np.random.default_rng(1)
    parts = [
        pl.DataFrame(
            {
                "area": [area] * len(at),
                "quantity": [LOAD] * len(at),
                "at": at,
                "available_at": [moment + STEP for moment in at],
                "value": _level(number) * _shape(steps) * noise.normal(1.0, 0.02, len(at)),
                "quality": [0] * len(at),
                "source": ["benchmark"] * len(at),
            }
        )
        for number, area in enumerate(areas)
    ]
    return pl.concat(parts).select(pl.col(name).cast(kind) for name, kind in SAMPLE_SCHEMA.items())


def _forecast(area: str, number: int, issued: datetime) -> ForecastRecord:
    steps = np.arange(AHEAD)
    middle = _level(number) * _shape(steps - 3)
    targets = [issued + STEP * int(step) for step in steps]
    answers = np.stack([0.9 * middle, middle, 1.1 * middle], axis=1).round(3).tolist()
    return ForecastRecord(
        key=forecast_id(area, issued, issued + timedelta(seconds=20), RELEASE),
        area=area,
        issued_at=issued,
        made_at=issued + timedelta(seconds=20),
        first_target=targets[0],
        last_target=targets[-1],
        release=RELEASE,
        served_by="champion",
        reason="",
        targets=[format_utc(target) for target in targets],
        quantiles=[0.1, 0.5, 0.9],
        answers={RELEASE: answers},
        void=False,
        void_at=None,
        void_reason=None,
        replaced_by=None,
    )
