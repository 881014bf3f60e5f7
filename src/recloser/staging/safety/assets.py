"""Owns whether ordinary answers keep to what each asset can physically do. Learns no limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from recloser.core import FloatArray
from recloser.staging.policy import GatePolicy
from recloser.staging.safety.answers import SafetyProbe
from recloser.staging.verdict import PASS, REFUSE, CheckResult


def check_assets(answers: FloatArray, probe: SafetyProbe, policy: GatePolicy) -> CheckResult:
    """Check the share of ordinary answers that the gateway's guard would turn away, area by area.

    Args:
        answers: to the probe's rows, MW, shape (n_rows, n_quantiles).
        probe: rows and bounds; areas without bounds are left out.
        policy: thresholds.
    """
    name, thresholds = "safety.limits", {"max_beyond_share": policy.max_beyond_share}
    middle = answers[:, probe.quantiles.index(0.5)]
    table = probe.rows.select("area", "issued_at", "at").with_columns(
        low=pl.Series(answers.min(axis=1)), high=pl.Series(answers.max(axis=1)), middle=pl.Series(middle)
    )
    ramps = pl.col("middle").diff().abs().over("area", "issued_at")
    table = table.sort("area", "issued_at", "at").with_columns(ramp=ramps.fill_null(0.0))
    shares: dict[str, float] = {}
    for (area,), rows in table.group_by(["area"], maintain_order=True):
        bounds = probe.assets.get(str(area))
        if bounds is not None:
            beyond = (rows["low"] < bounds.lowest_mw) | (rows["high"] > bounds.highest_mw)
            shares[str(area)] = float(np.mean((beyond | (rows["ramp"] > bounds.ramp_mw)).to_numpy()))
    if not shares:
        return CheckResult(name, PASS, "no asset's limits are known", {}, thresholds)
    worst = max(shares, key=lambda area: (shares[area], area))
    numbers: dict[str, Any] = {"areas": len(shares), "worst_area": worst, "worst_share": shares[worst]}
    told = f"at most {shares[worst]:.1%} of the answers lie beyond what the asset can do ({worst})"
    verdict = PASS if shares[worst] <= policy.max_beyond_share else REFUSE
    return CheckResult(name, verdict, told, numbers, thresholds)
