"""Owns the join of a feature frame with what came true. The only place where later knowledge enters, by name."""

from __future__ import annotations

import polars as pl

from recloser.core import INCUMBENT, LOAD, Panel, Quality


def attach_truth(frame: pl.DataFrame, panel: Panel) -> pl.DataFrame:
    """Add load_mw (MW, latest usable revision, null where unknown) and, if the panel has it, incumbent_mw.

    Args:
        frame: columns area and at, e.g. from `FeatureSet.compute`.
        panel: as of now, not as of the issue: this is for training and scoring, never for features.

    Returns:
        The frame with its rows and order kept. A last revision flagged unusable hides the value.
    """
    wanted = [LOAD, *([INCUMBENT] if (panel.frame["quantity"] == INCUMBENT).any() else [])]
    rows = panel.frame.filter(
        pl.col("quantity").is_in(wanted)
        & pl.col("at").is_between(frame["at"].min(), frame["at"].max())
        & pl.col("area").is_in(frame["area"].unique().to_list())
    )
    latest = Panel(rows, panel.resolution, panel.as_of).latest()
    usable = (pl.col("quality").fill_null(0).cast(pl.Int64) & int(Quality.UNUSABLE)) == 0
    known = latest.filter(usable & pl.col("value").is_finite())
    for quantity in wanted:
        column = known.filter(pl.col("quantity") == quantity).select("area", "at", pl.col("value").alias(quantity))
        frame = frame.drop(quantity, strict=False).join(column, on=["area", "at"], how="left", maintain_order="left")
    return frame
