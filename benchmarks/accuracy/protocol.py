"""Owns the schedule and the scoring that all rows of the accuracy benchmark share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from recloser.core import LOAD, QUANTILES, FloatArray, Horizon
from recloser.core.scores import score_table

Q = ["q10", "q50", "q90"]


@dataclass
class Costs:
    """CPU seconds of this process by kind of work."""

    fit: float = 0.0
    fits: int = 0
    predict: float = 0.0
    days: int = 0
    other: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        """Add the CPU seconds of the block to a kind."""
        start = time.process_time()
        yield
        spent = time.process_time() - start
        if kind in {"fit", "predict"}:
            setattr(self, kind, getattr(self, kind) + spent)
        else:
            self.other[kind] = self.other.get(kind, 0.0) + spent


@dataclass(frozen=True)
class Schedule:
    """Quarterly refits over a year; a forecast for every local day, of which every `every`-th is scored.

    A fit at the quarter's first issue uses rows of the `history` days before whose targets had come true by then.
    """

    horizon: Horizon
    starts: tuple[datetime, ...]  # first issue of each quarter, and the end
    history: timedelta
    every: int = 1

    def quarters(self) -> list[tuple[datetime, datetime]]:
        """Return (first issue, first issue of the next quarter)."""
        return list(zip(self.starts, self.starts[1:], strict=False))

    def training(self, rows: pl.DataFrame, start: datetime) -> pl.DataFrame:
        """Return the rows that a fit at `start` may see."""
        known = pl.col("at") + self.horizon.resolution <= start
        return rows.filter(known & (pl.col("issued_at") >= start - self.history))

    def issues(self, start: datetime, end: datetime) -> list[datetime]:
        """Return the issues in [start, end)."""
        return list(self.horizon.issues(start, end))


def table_row(name: str, scored: pl.DataFrame, costs: Costs | None = None) -> dict[str, object]:
    """Score columns load_mw and q10, q50, q90."""
    scores = score_table(scored[LOAD].to_numpy(), scored.select(Q).to_numpy(), QUANTILES)
    row: dict[str, object] = {"row": name, **{k: scores[k] for k in ("mape", "rmae", "rcrps", "coverage80", "n")}}
    if costs is not None:
        row["fit_cpu_s"] = costs.fit
        row["fits"] = costs.fits
        row["predict_cpu_ms_per_day"] = 1000.0 * costs.predict / max(costs.days, 1)
    return row


def answered(rows: pl.DataFrame, forecast: FloatArray) -> pl.DataFrame:
    kept = [c for c in ("area", "issued_at", "at", "scale_mw", "hour", LOAD, "incumbent_mw") if c in rows.columns]
    return rows.select(kept).with_columns(pl.Series(name, forecast[:, k]) for k, name in enumerate(Q))


def show(title: str, rows: list[dict[str, object]], notes: list[str]) -> None:
    print(f"\n## {title}")
    names = list(dict.fromkeys(key for row in rows for key in row))
    print("| " + " | ".join(names) + " |")
    print("|" + "---|" * len(names))
    shapes: dict[str, Callable[[float], str]] = {"rmae": "{:.4f}".format, "rcrps": "{:.4f}".format}
    for row in rows:
        cells = []
        for name in names:
            item = row.get(name)
            if isinstance(item, float) and np.isfinite(item):
                cells.append(shapes.get(name, "{:.2f}".format)(item))
            else:
                cells.append("-" if item is None else str(item))
        print("| " + " | ".join(cells) + " |")
    for note in notes:
        print(f"- {note}")
