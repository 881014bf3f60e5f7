"""Owns what a replay is scored against: true load, the same rows for all, what the checks left out. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from recloser.app.replay.outcome import DOUBTED
from recloser.core import INCUMBENT, LOAD, TIME, Panel, Quality
from recloser.core.quality import describe
from recloser.store import Store

AHEAD = timedelta(days=35)
KEY = ["area", "at"]
Window = tuple[datetime, datetime]
Joined = Callable[[pl.DataFrame], pl.DataFrame]


def truth_frame(panel: Panel, window: Window) -> pl.DataFrame:
    """Return area, at, load_mw: the latest usable load of the window and of the days its last forecasts reach into."""
    wide = panel.wide()
    if LOAD not in wide.columns:
        return pl.DataFrame(schema={"area": pl.String, "at": TIME, LOAD: pl.Float64})
    return wide.select("area", "at", LOAD).filter(_within(window))


def incumbent_frame(panel: Panel, window: Window) -> pl.DataFrame | None:
    """Return the operator's own forecast as q10 = q50 = q90, None where there is none."""
    wide = panel.wide()
    if INCUMBENT not in wide.columns:
        return None
    point = pl.col(INCUMBENT)
    known = wide.filter(point.is_not_null() & _within(window))
    return known.select("area", "at", q10=point, q50=point, q90=point)


def _within(window: Window) -> pl.Expr:
    return pl.col("at").is_between(window[0], window[1] + AHEAD)


def doubted_loads(store: Store, areas: Sequence[str], window: Window) -> pl.DataFrame:
    """Return the loads that a store holds as not usable at the end of a replay, as `DOUBTED`, sorted."""
    end = window[1] + AHEAD
    latest = store.read(list(areas), [LOAD], start=window[0], end=end, as_of=end).latest()
    bits = pl.col("quality").cast(pl.Int64) & int(Quality.UNUSABLE)
    return latest.select("area", "at", quality=bits).filter(pl.col("quality") != 0).sort(KEY)


def faults_of_its_own(doubted: Sequence[pl.DataFrame], real: Panel, lived: Panel) -> pl.DataFrame:
    """Return which of the doubted loads are faults of the history itself: what the scenario spoilt is known in truth.

    Args:
        doubted: of each policy, as `DOUBTED`. What any of them called a fault is one for all, so that all are scored
            on the same rows.
        real: the history that is scored against.
        lived: the same history with the scenario's faults in it, which the policies lived through.

    Returns:
        As `DOUBTED`, sorted, each sample once with the bits of all.
    """
    every = pl.concat([pl.DataFrame(schema=DOUBTED), *doubted])
    merged = every.group_by(KEY).agg(pl.col("quality").bitwise_or()).sort(KEY)
    if real.frame is lived.frame or merged.is_empty():
        return merged
    told, true = (_loads(panel) for panel in (lived, real))
    both = told.join(true, on=KEY, how="full", suffix="_true", coalesce=True)
    spoilt = both.filter(pl.col("value").ne_missing(pl.col("value_true"))).select(KEY)
    step = real.resolution  # a value that sticks is a true one at first, and is flagged with the others
    beside = pl.concat([spoilt.with_columns(pl.col("at") + offset) for offset in (-step, 0 * step, step)])
    return merged.join(beside, on=KEY, how="anti").sort(KEY)


def _loads(panel: Panel) -> pl.DataFrame:
    return panel.latest().filter(pl.col("quantity") == LOAD).select("area", "at", "value")


def common_rows(forecasts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return area, at of the rows that all of these that answered did answer.

    Args:
        forecasts: area, at, q10, q50, q90.
    """
    keys = pl.DataFrame(schema={name: DOUBTED[name] for name in KEY})
    answered = [frame.filter(pl.col("q50").is_finite()).select(KEY).unique() for frame in forecasts]
    for index, mine in enumerate(frame for frame in answered if not frame.is_empty()):
        keys = keys.join(mine, on=KEY, how="semi") if index else mine
    return keys


def on_rows(keys: pl.DataFrame, truth: pl.DataFrame, faults: pl.DataFrame) -> Joined:
    """Return a function that joins forecasts with the truth on some rows.

    Args:
        keys: area, at of the rows.
        truth: area, at, load_mw.
        faults: loads that are not the truth, as `DOUBTED`; null in the result.
    """
    known = truth.join(faults, on=KEY, how="anti")

    def joined(frame: pl.DataFrame) -> pl.DataFrame:
        return (
            frame.join(keys, on=KEY, how="semi")
            .join(known, on=KEY, how="left")
            .select("area", "at", LOAD, "q10", "q50", "q90")
            .sort(KEY)
        )

    return joined


def left_out_section(faults: pl.DataFrame, keys: pl.DataFrame, truth: pl.DataFrame) -> dict[str, Any]:
    """Return how many loads stay out of every score that would else be in one, by area and by what is wrong with them.

    Args:
        faults: as `DOUBTED`.
        keys: area, at of the rows that are scored.
        truth: area, at, load_mw, faults and all.

    Returns:
        {"samples", "by_area", "by_reason"}; reasons are names of `Quality`, joined by '+'.
    """
    scored = truth.filter(pl.col(LOAD).is_not_null()).join(keys, on=KEY, how="semi")
    counted = faults.join(scored, on=KEY, how="semi").sort(KEY)
    reasons = [describe(bits) for bits in counted["quality"]]
    by_reason = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    by_area = {str(area): len(rows) for (area,), rows in counted.group_by("area", maintain_order=True)}
    return {"samples": len(counted), "by_area": by_area, "by_reason": by_reason}


def left_out_sentence(document: Mapping[str, Any]) -> str:
    """Return what a report says of the loads that are in no score; empty where none is left out."""
    found = document.get("left_out") or {"samples": 0}
    if not found["samples"]:
        return ""
    why = ", ".join(f"{count} {reason.lower().replace('_', ' ')}" for reason, count in found["by_reason"].items())
    what = "1 sample of load is" if found["samples"] == 1 else f"{found['samples']} samples of load are"
    where = ", ".join(found["by_area"]) if len(found["by_area"]) <= 5 else f"{len(found['by_area'])} areas"
    return f"{what} left out of every score, as the replay's own checks called them faulty ({why}; {where})."
