"""Owns comparing the decisions that forecasts imply with those that the truth would have. Computes no power flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import polars as pl

from recloser.core import format_utc
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

PEAKS, TROUGHS, DEEP = 12, 4, 3
"""Days whose peak and whose trough is looked at; peaks for which the loss of an element is, too."""
WHO = ("truth", "candidate", "reference")


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the network does at given loads.

    Attributes:
        secure: the flow converges and stays within limits, with each element lost if that was asked.
        reason: what is violated first, empty if nothing is.
    """

    secure: bool
    reason: str = ""


class GridModel(Protocol):
    """A network with loads that stand for areas. Answers are equal for equal loads; not thread safe."""

    def areas(self) -> Sequence[str]:
        """Return the areas that have loads in the network, sorted."""
        ...

    def assess(self, load_mw: Mapping[str, float], *, lost_elements: bool) -> Assessment:
        """Return whether the network is secure at these loads in MW by area; others keep what the model says."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class NetworkProbe:
    """What the check looks at.

    Attributes:
        frame: one row per area and interval: area, at (UTC), truth (MW), candidate_low, candidate_high, reference_low,
            reference_high: the 0.1 and 0.9 quantiles (MW).
        against: who the reference is.
    """

    frame: pl.DataFrame
    against: str


def check_network(grid: GridModel, probe: NetworkProbe, policy: GatePolicy) -> CheckResult:
    """Check the decisions that the forecast implies: is the network left as it is, or must somebody act?

    An operator who plans by the forecast leaves it alone when it is secure at the low and at the high quantile of all
    areas. Against the truth of the hold-out's peaks and troughs that decision can miss a violation, or call for action
    without need. A candidate refuses that misses more, or calls more in vain, than the reference by the margin.
    """
    name = "safety.network"
    limits = {"missed": policy.network_missed_margin, "vain": policy.network_vain_margin}
    thresholds = {f"network_{what}_margin": margin for what, margin in limits.items()}
    chosen = _chosen(probe, grid.areas())
    if not chosen:
        return CheckResult(name, HOLD, "no interval has truth for every area of the network", {}, thresholds)
    rows = [_decided(grid, probe.frame, at, lost_elements=deep) for at, deep in chosen]
    insecure = sum(not row["truth"].secure for row in rows)
    counts = {who: _counts(rows, who) for who in ("candidate", "reference")}
    numbers: dict[str, Any] = {
        "intervals": len(rows),
        "with_lost_elements": sum(deep for _, deep in chosen),
        "insecure_in_truth": insecure,
        "against": probe.against,
        **{f"{who}_{what}": count for who, found in counts.items() for what, count in found.items()},
        "first": _first(chosen, rows),
    }
    told = (
        f"{len(rows)} intervals, {insecure} insecure in truth: missed {counts['candidate']['missed']} "
        f"({probe.against} {counts['reference']['missed']}), called in vain {counts['candidate']['vain']} "
        f"({counts['reference']['vain']})"
    )
    worse = [what for what, margin in limits.items() if _excess(counts, what) > margin * len(rows)]
    if worse:
        return CheckResult(name, REFUSE, f"unsafe network decisions ({', '.join(worse)}): {told}", numbers, thresholds)
    return CheckResult(name, PASS, told, numbers, thresholds)


def _chosen(probe: NetworkProbe, areas: Sequence[str]) -> list[tuple[datetime, bool]]:
    """Return peaks (the highest of them with lost elements) and troughs by the truth of all areas, one a day."""
    known = probe.frame.filter(pl.col("area").is_in(list(areas)) & pl.col("truth").is_finite())
    totals = known.group_by("at").agg(pl.col("truth").sum().alias("total"), pl.len())
    whole = totals.filter(pl.col("len") == len(areas)).with_columns(day=pl.col("at").dt.date())
    peaks = whole.sort("total", "at", descending=[True, False]).unique("day", keep="first", maintain_order=True)
    troughs = whole.sort("total", "at").unique("day", keep="first", maintain_order=True)
    high = peaks.head(PEAKS)["at"].to_list()
    low = [at for at in troughs.head(TROUGHS)["at"].to_list() if at not in high]
    return [(at, index < DEEP) for index, at in enumerate(high)] + [(at, False) for at in low]


def _decided(grid: GridModel, frame: pl.DataFrame, at: datetime, *, lost_elements: bool) -> dict[str, Assessment]:
    """Return who -> what the network does at their loads; of two quantiles the insecure one counts."""
    rows = frame.filter((pl.col("at") == at) & pl.col("area").is_in(list(grid.areas())))
    result = {}
    for who in WHO:
        columns = ["truth"] if who == "truth" else [f"{who}_high", f"{who}_low"]
        found = Assessment(secure=True)
        for column in columns:
            load = dict(zip(rows["area"].to_list(), rows[column].to_list(), strict=True))
            found = grid.assess(load, lost_elements=lost_elements)
            if not found.secure:
                break
        result[who] = found
    return result


def _counts(rows: Sequence[Mapping[str, Assessment]], who: str) -> dict[str, int]:
    missed = sum(not row["truth"].secure and row[who].secure for row in rows)
    vain = sum(row["truth"].secure and not row[who].secure for row in rows)
    return {"missed": missed, "vain": vain}


def _excess(counts: Mapping[str, Mapping[str, int]], what: str) -> int:
    return counts["candidate"][what] - counts["reference"][what]


def _first(chosen: Sequence[tuple[datetime, bool]], rows: Sequence[Mapping[str, Assessment]]) -> str:
    """Return the first decision of the candidate that the truth does not bear out."""
    for (at, _), row in zip(chosen, rows, strict=True):
        if row["truth"].secure != row["candidate"].secure:
            return f"{format_utc(at)}: {row['truth'].reason or row['candidate'].reason}"
    return ""
