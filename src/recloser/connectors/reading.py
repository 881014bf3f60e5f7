"""Owns what every connector gives: samples ready to be stored, and what was noticed on the way."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Reading:
    """Samples read from one source.

    Attributes:
        frame: core.SAMPLE_SCHEMA; canonical units, aware UTC, on the grid; exact repetitions may remain.
        rows: of each sample the row of the source it stands in, as a person counts; one row may give several samples.
        notes: sentences for the person who ingests: what was detected, dropped or assumed.
        source: name for `Store.append`, such as 'file:load.csv'.
    """

    frame: pl.DataFrame
    rows: pl.Series
    notes: list[str]
    source: str

    @property
    def flagged(self) -> int:
        """Return the number of rows with any quality bit (absent values count)."""
        return int(self.rows.filter(self.frame["quality"] != 0).n_unique())
