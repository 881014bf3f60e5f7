"""Owns reading series by the declared data contract: there, complete, in range, alive, regular. Repairs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from recloser.core import DataContract, SeriesContract, format_utc, instants, local_midnight
from recloser.staging.data.stuck import in_runs
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

TOLD = 20


@dataclass(frozen=True, slots=True, eq=False)
class SeriesWindow:
    """Series of one window, as stored.

    Attributes:
        name: what it is, e.g. 'training snapshot' or 'live'.
        frame: columns area, at (UTC) and one per quantity in canonical units; unusable values null.
        resolution: length of an interval.
        zone: local zone of the areas.
        live: whether monitoring watches it too.
    """

    name: str
    frame: pl.DataFrame
    resolution: timedelta
    zone: ZoneInfo
    live: bool = False


def check_contract(windows: tuple[SeriesWindow, ...], contract: DataContract, policy: GatePolicy) -> CheckResult:
    """Check that the training snapshot and the live data keep the same declared contract, per area and column.

    A fault of a training window refuses. In a live one a few odd feeders (`max_affected_areas`) do not stop the fleet:
    they are told, and monitoring alarms.
    """
    name = "data.contract"
    thresholds = {"contract": contract.to_dict(), "max_affected_areas": policy.max_affected_areas}
    windows = tuple(window for window in windows if not window.frame.is_empty())
    if not windows:
        return CheckResult(name, HOLD, "no series to read by the contract", {}, thresholds)
    faults = {window.name: list(_faults(window, contract)) for window in windows}
    deciding = [f"{window.name}: {fault}" for window in windows for fault in _deciding(window, faults, policy)]
    told = [f"{where}: {text}" for where, found in faults.items() for _, text in found]
    shapes = {w.name: {"rows": w.frame.height, "areas": w.frame["area"].n_unique()} for w in windows}
    numbers = {"windows": shapes, "faults": told[:TOLD], "fault_count": len(told)}
    if deciding:
        more = f", and {len(deciding) - 1} more" if len(deciding) > 1 else ""
        return CheckResult(name, REFUSE, f"{deciding[0]}{more}", numbers, thresholds)
    kept = ", ".join(f"{window.name} ({window.frame.height} rows)" for window in windows)
    odd = f"; {len(told)} faults of single live feeds are left to monitoring, first {told[0]}" if told else ""
    return CheckResult(name, PASS, f"kept by {kept}{odd}", numbers, thresholds)


def _deciding(window: SeriesWindow, faults: Mapping[str, list[tuple[str, str]]], policy: GatePolicy) -> list[str]:
    found = faults[window.name]
    areas = {area for area, _ in found}
    few = "" not in areas and len(areas) <= policy.max_affected_areas * window.frame["area"].n_unique()
    return [] if window.live and few else [text for _, text in found]


def _faults(window: SeriesWindow, contract: DataContract) -> Iterator[tuple[str, str]]:
    """Yield (area, or empty for all of them; what is wrong)."""
    frame = window.frame
    quantities = [column for column in frame.columns if column not in {"area", "at"}]
    for promised in contract.series:
        if promised.required and promised.quantity not in quantities:
            yield "", f"{promised.quantity} is missing"
    twice = frame.height - frame.select("area", "at").n_unique()
    if twice:
        yield "", f"{twice} duplicate rows of one area and time"
        frame = frame.unique(["area", "at"], keep="first", maintain_order=True)
    step = window.resolution // timedelta(microseconds=1)
    instants = frame["at"].dt.epoch("us")
    off = int((instants % step != instants[0] % step).sum())
    if off:
        yield "", f"{off} rows do not lie on the grid of {window.resolution}"
        return
    for quantity in quantities:
        promised = contract.of(quantity)
        known = frame.filter(pl.col(quantity).cast(pl.Float64).is_finite())
        end = known["at"].dt.epoch("us").max()
        for (area,), rows in known.group_by(["area"], maintain_order=True):
            yield from ((str(area), text) for text in _series_faults(str(area), rows, window, promised, end))
        silent = sorted(set(frame["area"]) - set(known["area"]))
        if promised.missing_share < 1:
            yield from ((area, f"{quantity} of {area} is dead") for area in silent)
    yield from (("", text) for text in _clock_faults(frame, window, contract))


def _series_faults(
    area: str, rows: pl.DataFrame, window: SeriesWindow, promised: SeriesContract, end: Any
) -> Iterator[str]:
    """Yield the faults of one area's series, from its first value to `end` (microseconds), the others' last."""
    name, step = promised.quantity, window.resolution // timedelta(microseconds=1)
    at = rows["at"].dt.epoch("us").to_numpy()
    line = np.full((1, (int(end) - int(at.min())) // step + 1), np.nan)
    line[0, (at - at.min()) // step] = rows[name].cast(pl.Float64).to_numpy()
    missing = float(np.isnan(line).mean())
    if missing > promised.missing_share:
        yield f"{name} of {area} is {missing:.0%} missing"
    known = line[np.isfinite(line)]
    low = -np.inf if promised.lowest is None else promised.lowest
    high = np.inf if promised.highest is None else promised.highest
    outside = float(((known < low) | (known > high)).mean())
    if outside > promised.outside_share:
        yield f"{name} of {area}: {outside:.1%} lies outside {low:.4g} .. {high:.4g} (up to {known.max():.4g})"
    standing = in_runs(line, max(2, round(promised.stuck / window.resolution)))
    share = float(standing.sum() / known.size)
    if share > promised.stuck_share:
        yield f"stuck: {name} of {area} stands still for {share:.1%} of the time"


def _clock_faults(frame: pl.DataFrame, window: SeriesWindow, contract: DataContract) -> Iterator[str]:
    """Yield local time that was read as UTC: the hour that the clock skips in spring is missing from 'UTC'."""
    needed = [item.quantity for item in contract.series if item.required and item.quantity in frame.columns]
    if not needed:
        return
    skipped = list(skipped_hours(window, frame))
    hour = timedelta(hours=1)
    asked = [at + shift for at in skipped for shift in (-hour, timedelta(0), hour)]
    near = frame.filter(pl.col("at").is_in(instants("at", asked).implode()) & pl.col(needed[0]).is_not_null())
    known = set(near["at"].unique().to_list())
    gaps = [at for at in skipped if at not in known and {at - hour, at + hour} <= known]
    if gaps and len(gaps) == len(skipped):
        yield (
            f"local time read as UTC: the hour that the clock skips is missing ({format_utc(gaps[0])}"
            + (f", and {len(gaps) - 1} more)" if gaps[1:] else ")")
        )


def skipped_hours(window: SeriesWindow, frame: pl.DataFrame) -> Iterator[datetime]:
    """Yield, read as if it were UTC, the local time that each spring change in the window skips."""
    first, last = frame["at"].min(), frame["at"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    day = first.date() + timedelta(days=1)
    while day < last.date():
        begin, after = local_midnight(day, window.zone), local_midnight(day + timedelta(days=1), window.zone)
        if after - begin < timedelta(hours=24):
            yield _skipped(begin, window.zone)
        day += timedelta(days=1)


def _skipped(begin: datetime, zone: ZoneInfo) -> datetime:
    """Return the wall time that is skipped on the day that begins at `begin`, as if it were UTC."""
    before, at = begin.astimezone(zone).utcoffset(), begin
    while at.astimezone(zone).utcoffset() == before:
        at += timedelta(minutes=30)
    assert before is not None
    return (at + before).astimezone(UTC)
