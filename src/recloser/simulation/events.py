"""Owns events put into a feed on demand, with the truth about them. A drift is real load; a fault is telemetry only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from recloser.core import LOAD, SAMPLE_SCHEMA
from recloser.simulation.grid import LOSSES, SUBSTATION


@dataclass(frozen=True, slots=True)
class Label:
    """The truth about one event, to score detectors with.

    Attributes:
        kind: e.g. 'lockdown', 'stuck', 'unit'.
        signal_class: 'concept_drift' or 'data_fault'.
        quantity: what it shows in.
        areas: where; empty means everywhere.
        start, end: interval starts (aware UTC) from the first touched to the first untouched.
    """

    kind: str
    signal_class: str
    quantity: str
    areas: tuple[str, ...]
    start: datetime
    end: datetime


class Event(Protocol):
    """Something that happens to a feed. Pure and deterministic: equal frames give equal frames."""

    @property
    def label(self) -> Label:
        """Return the truth about it."""
        ...

    def change(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with the event in it; rows outside the label keep their values."""
        ...


def apply(frame: pl.DataFrame, events: Iterable[Event]) -> pl.DataFrame:
    """Return the samples with the events in them, in SAMPLE_SCHEMA and in the same order.

    Real changes of load (drifts) show in the substation meters too, faults of telemetry do not: the drifts are
    put in first, then the meters follow, then the faults, each group in the order given.
    """
    chosen = list(events)
    drifts = [event for event in chosen if event.label.signal_class == "concept_drift"]
    faults = [event for event in chosen if event.label.signal_class != "concept_drift"]
    changed = frame
    for event in drifts:
        changed = event.change(changed)
    if drifts:
        changed = _follow(frame, changed)
    for event in faults:
        changed = event.change(changed)
    return changed.select(list(SAMPLE_SCHEMA))


def _follow(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Add what the feeders of a substation gained to its meter; 'rtu:S1' and 'meter:S1' say who belongs together."""
    difference = (
        after.select("at", "source", new=pl.col("value"), quantity="quantity")
        .with_columns(old=before["value"])
        .filter(
            (pl.col("quantity") == LOAD) & pl.col("source").str.starts_with("rtu:") & (pl.col("new") != pl.col("old"))
        )
        .group_by(pl.col("source").str.strip_prefix("rtu:").alias("area"), "at")
        .agg(gained=(pl.col("new") - pl.col("old")).sum() * (1.0 + LOSSES))
        .with_columns(quantity=pl.lit(SUBSTATION))
    )
    if difference.is_empty():
        return after
    joined = after.join(difference, on=["area", "quantity", "at"], how="left", maintain_order="left")
    return joined.with_columns(value=pl.col("value") + pl.col("gained").fill_null(0.0)).drop("gained")


def touched(label: Label) -> pl.Expr:
    """Return which rows an event touches: its quantity, areas and span."""
    rows = (pl.col("quantity") == label.quantity) & pl.col("at").is_between(label.start, label.end, closed="left")
    return rows & pl.col("area").is_in(label.areas) if label.areas else rows
