"""Owns the leak check: stored features against the same ones made anew from what each issue could know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from recloser.core import LOAD, format_utc
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

KEYS = ("area", "issued_at", "at")
Recompute = Callable[[datetime, Sequence[str]], pl.DataFrame]
"""(issue, areas) -> feature frame made from data that was available at the issue, and from nothing else."""
_SAME = 1e-6
_COPY_SHARE = 0.9
_LEAST_ROWS = 200


@dataclass(frozen=True, slots=True, eq=False)
class LeakProbe:
    """What the leak check looks at.

    Attributes:
        frame: rows as they were learned from (and held out): area, issued_at, at, load_mw, features.
        feature_names: columns the model reads.
        recompute: makes an issue's features anew.
        issues: how many issues are made anew, spread evenly over the frame.
    """

    frame: pl.DataFrame
    feature_names: tuple[str, ...]
    recompute: Recompute
    issues: int = 6


def check_leak(probe: LeakProbe) -> CheckResult:
    """Check that no feature knows more than its issue could: `leak`.

    Some issues, spread over the frame, are computed anew from a panel that ends at the issue; every stored number must
    be the same bits (null equals NaN). And no feature may be a copy of the target: nothing known a day ahead is.
    """
    name, thresholds = "leak", {"different_numbers": 0, "copy_share": _COPY_SHARE}
    if probe.frame.is_empty():
        return CheckResult(name, HOLD, "no stored features to look at", {}, thresholds)
    copies = _copies(probe)
    if copies:
        reason = f"leak: {', '.join(copies)} is the target itself"
        return CheckResult(name, REFUSE, reason, {"copies": copies}, thresholds)
    found: dict[str, dict[str, Any]] = {}
    rows, chosen = 0, _spread(probe.frame["issued_at"].unique().sort().to_list(), probe.issues)
    for issue in chosen:
        stored = probe.frame.filter(pl.col("issued_at") == issue)
        again = probe.recompute(issue, sorted(stored["area"].unique().to_list()))
        rows += stored.height
        for column, where in _differences(stored, again, probe.feature_names).items():
            entry = found.setdefault(column, {"rows": 0, "first": where["first"]})
            entry["rows"] += where["rows"]
    numbers: dict[str, Any] = {"issues": [format_utc(issue) for issue in chosen], "rows": rows, "different": found}
    if found:
        column = max(found, key=lambda key: (found[key]["rows"], key))
        first = found[column]["first"]
        more = f", and {len(found) - 1} more columns" if len(found) > 1 else ""
        reason = (
            f"leak: {column} differs from what its issue could know in {found[column]['rows']} of {rows} rows "
            f"(stored {first['stored']}, known {first['known']}, {first['area']} {first['at']}){more}"
        )
        return CheckResult(name, REFUSE, reason, numbers, thresholds)
    reason = f"{len(chosen)} issues made anew as of their time: {rows} rows of features are the same bits"
    return CheckResult(name, PASS, reason, numbers, thresholds)


def _spread(issues: Sequence[datetime], count: int) -> list[datetime]:
    picks = np.unique(np.linspace(0, len(issues) - 1, min(count, len(issues))).round().astype(int))
    return [issues[index] for index in picks.tolist()]


def _copies(probe: LeakProbe) -> list[str]:
    """Return features that equal the target in nearly all rows; a load that stands still proves nothing."""
    known = probe.frame.filter(pl.col(LOAD).is_finite())
    truth = known[LOAD].to_numpy()
    if known.height < _LEAST_ROWS or np.ptp(truth) == 0:
        return []
    size = np.maximum(np.abs(truth), 1e-9)
    copies = []
    for name in probe.feature_names:
        values = known[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        with np.errstate(invalid="ignore"):
            same = np.abs(values - truth) <= _SAME * size
        if same.mean() >= _COPY_SHARE:
            copies.append(name)
    return copies


def _differences(stored: pl.DataFrame, again: pl.DataFrame, names: Sequence[str]) -> Mapping[str, dict[str, Any]]:
    """Return column -> how many of the stored rows differ and the first one; a row that is absent differs."""
    both = stored.select(*KEYS, *names).join(again.select(*KEYS, *names), on=list(KEYS), how="left", suffix="_again")
    result: dict[str, dict[str, Any]] = {}
    for name in names:
        left, right = (both[c].cast(pl.Float64).fill_null(float("nan")).to_numpy() for c in (name, f"{name}_again"))
        differs = ~((left == right) | (np.isnan(left) & np.isnan(right)))
        if differs.any():
            row = int(differs.argmax())
            at = both["at"][row]
            first = {"area": both["area"][row], "at": format_utc(at), "stored": left[row], "known": right[row]}
            result[name] = {"rows": int(differs.sum()), "first": first}
    return result
