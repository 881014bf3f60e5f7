"""Owns one measured or forecast sample and the frames made of many. Does not read or write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from recloser.core.errors import InvalidInput
from recloser.core.quality import Quality
from recloser.core.time import format_utc

TIME = pl.Datetime("us", "UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

SAMPLE_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "area": pl.String,
    "quantity": pl.String,
    "at": TIME,
    "available_at": TIME,
    "value": pl.Float64,
    "quality": pl.Int32,
    "source": pl.String,
}


def instant(at: datetime) -> pl.Expr:
    """Return an aware instant as an expression of type TIME.

    The same as `pl.lit(at)`, which spends a fifth of a millisecond on looking up the time zone each time.
    """
    return pl.lit((at - _EPOCH) // _MICROSECOND, dtype=pl.Int64).cast(TIME)


def instants(name: str, ats: Sequence[datetime]) -> pl.Series:
    """Return aware instants as a series of type TIME, quickly."""
    return pl.Series(name, [(at - _EPOCH) // _MICROSECOND for at in ats], dtype=pl.Int64).cast(TIME)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one quantity of one area.

    Attributes:
        area: feeder, substation, zone or balancing area.
        quantity: name that ends in its unit, e.g. 'load_mw'.
        at: start of the interval it is about (aware UTC).
        available_at: when it could first be known (aware UTC); a correction is a later sample of the same `at`.
        value: in the quantity's canonical unit; NaN is written as absent with Quality.MISSING.
        quality: bits of `Quality`.
        source: connector, file or check that wrote it.
    """

    area: str
    quantity: str
    at: datetime
    available_at: datetime
    value: float | None
    quality: Quality = Quality.GOOD
    source: str = ""


def sample_frame(samples: list[Sample]) -> pl.DataFrame:
    """Return the samples as one frame in SAMPLE_SCHEMA, order kept."""
    rows = [(s.area, s.quantity, s.at, s.available_at, s.value, int(s.quality), s.source) for s in samples]
    return pl.DataFrame(rows, schema=SAMPLE_SCHEMA, orient="row")


@dataclass(frozen=True, slots=True)
class Panel:
    """All revisions of some areas' series that could be known at `as_of`: what a forecaster may look at.

    Attributes:
        frame: columns of SAMPLE_SCHEMA, sorted by area, quantity, at, available_at; several rows with the
            same (area, quantity, at) are revisions, the last one is the valid one as of `as_of`.
        resolution: interval length; every `at` lies on this grid.
        as_of: no row has a later `available_at`.

    Raises:
        InvalidInput: a column is missing, or a row lies in the future of `as_of` (look-ahead).
    """

    frame: pl.DataFrame
    resolution: timedelta
    as_of: datetime

    def __post_init__(self) -> None:
        missing = [name for name in SAMPLE_SCHEMA if name not in self.frame.columns]
        if missing:
            raise InvalidInput("a panel lacks columns", got=self.frame.columns, expected=", ".join(SAMPLE_SCHEMA))
        latest = self.frame["available_at"].max()
        if isinstance(latest, datetime) and latest > self.as_of:
            raise InvalidInput(
                "look-ahead: a sample that was not yet available",
                got=format_utc(latest),
                expected=f"available_at <= {format_utc(self.as_of)}",
                where="Panel",
                next_step="Read the store as of the issue time.",
            )

    def at_time(self, as_of: datetime) -> Panel:
        """Return the panel as it looked at an earlier instant.

        Raises:
            InvalidInput: `as_of` lies after this panel's own.
        """
        if as_of > self.as_of:
            raise InvalidInput(
                "a panel cannot show its future", got=format_utc(as_of), expected=f"<= {format_utc(self.as_of)}"
            )
        return Panel(self.frame.filter(pl.col("available_at") <= instant(as_of)), self.resolution, as_of)

    def latest(self) -> pl.DataFrame:
        """Return the valid revision of every (area, quantity, at): SAMPLE_SCHEMA, sorted."""
        return self.frame.unique(["area", "quantity", "at"], keep="last", maintain_order=True)

    def wide(self, *, usable_only: bool = True) -> pl.DataFrame:
        """Return columns area, at and one Float64 column per quantity (MW, degC, ...), sorted by area and at.

        With `usable_only`, values whose quality has a bit of Quality.UNUSABLE are null.
        """
        latest = self.latest()
        if usable_only:
            bad = (pl.col("quality").cast(pl.Int64) & int(Quality.UNUSABLE)) != 0
            latest = latest.with_columns(pl.when(bad).then(None).otherwise(pl.col("value")).alias("value"))
        if latest.is_empty():
            return pl.DataFrame(schema={"area": pl.String, "at": TIME})
        quantities = sorted(latest["quantity"].unique().to_list())
        wide = latest.pivot(
            on="quantity", on_columns=quantities, index=["area", "at"], values="value", aggregate_function="first"
        )
        return wide.sort("area", "at")
