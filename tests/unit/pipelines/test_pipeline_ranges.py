"""What a package tells of the numbers it was trained on."""

from __future__ import annotations

import polars as pl

from recloser.pipelines.evaluation import feature_ranges


def test_ranges_are_of_finite_numbers_only() -> None:
    rows = pl.DataFrame(
        {
            "a": [1.0, None, float("nan"), 3.0],
            "b": [True, False, True, None],
            "c": [None, None, None, None],
            "d": [1, 2, 3, 4],
            "e": [float("inf"), 1.0, 2.0, 0.0],
        }
    )
    assert feature_ranges(rows, "abcde") == {"a": [1.0, 3.0], "b": [0.0, 1.0], "d": [1.0, 4.0], "e": [0.0, 2.0]}
