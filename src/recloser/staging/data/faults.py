"""Owns the check of a training window against data faults that are already known. Finds no fault itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recloser.core import LOAD, format_utc, instant
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import PASS, REFUSE, CheckResult


@dataclass(frozen=True, slots=True)
class KnownFault:
    """A data fault that monitoring has told.

    Attributes:
        kind: what it is, e.g. 'stuck'.
        areas: whose load.
        start, end: aware UTC, `end` not included; None: it has not ended.
    """

    kind: str
    areas: tuple[str, ...]
    start: datetime
    end: datetime | None

    def told(self) -> str:
        """Return the fault in words."""
        until = "now" if self.end is None else format_utc(self.end)
        some = ", ".join(self.areas[:3]) + (f" and {len(self.areas) - 3} more" if len(self.areas) > 3 else "")
        return f"{self.kind} of {some} from {format_utc(self.start)} to {until}"


@dataclass(frozen=True, slots=True, eq=False)
class KnownFaults:
    """What is known to be wrong with the load of the training window.

    Attributes:
        flagged: columns area, at: samples that the store holds as unusable.
        open: faults that last and whose samples no flag marks.
    """

    flagged: pl.DataFrame
    open: tuple[KnownFault, ...] = ()


def check_known_faults(frame: pl.DataFrame, faults: KnownFaults, policy: GatePolicy) -> CheckResult:
    """Check that nothing was learned from load that is known to be faulty.

    Rows of flagged samples whose target was taken out are repaired, and that is said. Rows that still have one, or that
    lie in an open fault, refuse the window when they are more than `max_faulty_share` of their area.
    """
    name, thresholds = "data.faults", {"max_faulty_share": policy.max_faulty_share}
    rows = frame.select("area", "at", pl.col(LOAD).is_not_null().alias("known"))
    flagged = rows.join(faults.flagged.select("area", "at").unique(), on=["area", "at"], how="semi")
    left_out = int((~flagged["known"]).sum())
    counts = dict(rows.group_by("area").len().iter_rows())
    learned: list[tuple[float, str, int]] = []
    for area, used in flagged.filter("known").group_by("area").len().sort("area").iter_rows():
        learned.append((used / counts[area], f"flagged samples of {area}", used))
    for fault in faults.open:
        inside = pl.col("area").is_in(list(fault.areas)) & (pl.col("at") >= instant(fault.start))
        if fault.end is not None:
            inside &= pl.col("at") < instant(fault.end)
        for area, used in rows.filter(inside & pl.col("known")).group_by("area").len().sort("area").iter_rows():
            learned.append((used / counts[area], fault.told(), used))
    share, told, _ = max(learned, default=(0.0, "", 0))
    numbers = {
        "rows_left_out": left_out,
        "rows_learned": {text: used for _, text, used in learned[:20]},
        "open_faults": [fault.told() for fault in faults.open[:20]],
        "worst_share": share,
    }
    if share > policy.max_faulty_share:
        reason = f"learned from a known data fault: {told} ({share:.1%} of the area's rows)"
        return CheckResult(name, REFUSE, reason, numbers, thresholds)
    if not left_out and not learned:
        return CheckResult(name, PASS, "no known data fault in the training window", numbers, thresholds)
    kept = sum(used for _, _, used in learned)
    reason = f"repaired: {left_out} rows of flagged load were left out" + (f", {kept} kept" if kept else "")
    return CheckResult(name, PASS, reason, numbers, thresholds)
