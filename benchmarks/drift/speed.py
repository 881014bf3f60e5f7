"""Owns the measure of rows a second and bytes a series, of our detector and of the data checks."""

from __future__ import annotations

import json
import time
import tracemalloc
from datetime import date, timedelta

import numpy as np

from recloser.core import FloatArray
from recloser.monitoring.detectors import ChannelDetector, EDetector, day_errors, seasonal_cusum


def speed(days: int = 2000) -> str:
    """Return a table: hourly rows a second of one core from errors to verdict, state in bytes."""
    rng = np.random.default_rng(1)
    first = date(2010, 1, 1)
    names = [first + timedelta(days=k) for k in range(days)]
    hours = 0.02 * _wander(rng, days)[:, None] + 0.01 * rng.standard_normal((days, 24))
    rows = ["| detector | rows/s | bytes a series (JSON) | kB in memory |", "|---|---|---|---|"]
    for detector in (ChannelDetector(), seasonal_cusum(), EDetector()):
        monitor = detector.fit(day_errors(names[:400], hours[:400], frozenset()))
        begun = time.process_time()
        for name, one in zip(names[400:], hours[400:], strict=True):
            monitor, _ = monitor.step(day_errors([name], one[None], frozenset())[0])
        spent = time.process_time() - begun
        size = len(json.dumps(monitor.to_dict()))
        tracemalloc.start()
        kept = [detector.load(monitor.to_dict()) for _ in range(50)]
        memory = tracemalloc.get_traced_memory()[0] / len(kept)
        tracemalloc.stop()
        rows.append(f"| {detector.name} | {24 * (days - 400) / spent:,.0f} | {size:,} | {memory / 1000:.0f} |")
    return "\n".join(rows)


def _wander(rng: np.random.Generator, days: int) -> FloatArray:
    result = rng.standard_normal(days)
    for k in range(1, days):
        result[k] = 0.6 * result[k - 1] + 0.8 * result[k]
    return result
