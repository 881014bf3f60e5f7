"""Owns the user's own features: a polars expression or function over what the issue could know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from recloser.core import Horizon, InvalidInput, Panel
from recloser.features.loads import shortest_lag

ExtraFunction = Callable[[pl.DataFrame], pl.Series]


@dataclass(frozen=True, slots=True)
class Extra:
    """A named column from the user's Python file.

    The expression (or function of the frame giving a series of equal length) sees columns area, at (UTC) and one
    column per quantity, sorted by area and at, unusable values null, from `memory` before the issue to the last
    target, exactly as known at the issue: nothing later exists in that frame, so it cannot look ahead. It must be
    deterministic; write `.over("area")` where it shifts or rolls. A row of a target takes the result at `at - lag`.

    Attributes:
        name: column name.
        build: polars expression or function.
        lag: how far before the target the result is taken; zero for series known ahead (weather, tariffs, plans).
        memory: how much past the expression needs.
        known_ahead: False if it reads measured series: then `lag` must respect the lead.
        version: change it when a function's code changes; part of the feature set's digest.
    """

    name: str
    build: pl.Expr | ExtraFunction
    lag: timedelta = timedelta(0)
    memory: timedelta = timedelta(days=8)
    known_ahead: bool = False
    version: str = "1"

    def check(self, horizon: Horizon) -> None:
        """Refuse a lag that the horizon's leads cannot respect.

        Raises:
            InvalidInput: it reads measured series and the lag is too short.
        """
        least = timedelta(days=shortest_lag(horizon))
        if not self.known_ahead and self.lag < least:
            raise InvalidInput(
                "look-ahead: a lag that the last target's lead cannot respect",
                got=str(self.lag),
                expected=f"at least {least}, or known_ahead=True for series known before the issue",
                where=f"feature {self.name}",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what identifies it; the code itself stays in the user's file."""
        text = (
            str(self.build) if isinstance(self.build, pl.Expr) else f"{self.build.__module__}:{self.build.__qualname__}"
        )
        return {
            "name": self.name,
            "build": text,
            "lag_s": int(self.lag.total_seconds()),
            "memory_s": int(self.memory.total_seconds()),
            "known_ahead": self.known_ahead,
            "version": self.version,
        }


def extra_columns(extras: tuple[Extra, ...], panel: Panel, issue: datetime, targets: pl.DataFrame) -> pl.DataFrame:
    """Return one Float32 column per extra for the rows of one issue.

    Args:
        extras: what to compute.
        panel: all revisions.
        issue: the issue instant.
        targets: columns area and at, the rows wanted.

    Raises:
        InvalidInput: a result is not numeric or has another length.
    """
    known = panel.at_time(issue)
    columns = []
    for extra in extras:
        reach = extra.memory + extra.lag
        wide = _window(known, issue - reach, targets)
        result = wide.select(extra.build)[:, 0] if isinstance(extra.build, pl.Expr) else extra.build(wide)
        if len(result) != wide.height or not (result.dtype.is_numeric() or result.dtype == pl.Boolean):
            raise InvalidInput(
                "an extra feature gave something else than one number per row",
                got=f"{len(result)} rows of {result.dtype}",
                expected=f"{wide.height} numeric rows",
                where=f"feature {extra.name}",
            )
        found = wide.select("area", "at").with_columns(result.cast(pl.Float32).alias(extra.name))
        wanted = targets.with_columns(pl.col("at") - extra.lag)
        joined = wanted.join(found, on=["area", "at"], how="left", maintain_order="left")
        columns.append(joined[extra.name])
    return pl.DataFrame(columns)


def _window(known: Panel, start: datetime, targets: pl.DataFrame) -> pl.DataFrame:
    """Return the wide frame from `start` to the last target, with every quantity of the panel as a column."""
    last = targets["at"].max()
    rows = known.frame.filter(pl.col("at").is_between(start, last) & pl.col("area").is_in(targets["area"].unique()))
    wide = Panel(rows, known.resolution, known.as_of).wide()
    absent = sorted(set(known.frame["quantity"].unique()) - set(wide.columns))
    return wide.with_columns(pl.lit(None, pl.Float64).alias(name) for name in absent)
