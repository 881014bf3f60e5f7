"""Owns what every connector gives: samples ready to be stored, and what was noticed on the way."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Reading:
    """Samples read from one source.

    Attributes:
        frame: core.SAMPLE_SCHEMA; canonical units, aware UTC, on the grid; exact repetitions may remain.
        flagged: rows with any quality bit (absent values count).
        notes: sentences for the person who ingests: what was detected, dropped or assumed.
        source: name for `Store.append`, such as 'file:load.csv'.
    """

    frame: pl.DataFrame
    flagged: int
    notes: list[str]
    source: str
