"""Owns the checks of training data, each refusing by the name of the fault. Repairs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from recloser.core import LOAD, STANDARD_CONTRACT, TEMPERATURE, DataContract, format_utc
from recloser.staging.data.contract import SeriesWindow, check_contract
from recloser.staging.data.faults import KnownFaults, check_known_faults
from recloser.staging.data.order import check_clock, check_order
from recloser.staging.data.series import Grid, resolution_of, to_grid
from recloser.staging.data.stuck import in_runs
from recloser.staging.data.units import check_temperature, check_units
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult, timed

TOLD = 3


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What a candidate was trained on.

    Attributes:
        frame: columns area, issued_at, at, load_mw (truth), scale_mw and the features; one row per target.
        feature_names: columns the model reads.
        zone: local zone of the areas.
        recent: columns area, at, load_mw: latest days that were verified independently of this frame (for example
            the raw store of the last four weeks); level and daily profile are compared with it. None: not compared.
        whole: columns area, at, load_mw: all load of the training window, where `frame` holds a sample of its days;
            profiles of neighbouring fortnights are compared on it. None: on `frame`.
        series: windows of the stored series that are read by the contract; none: not read.
        contract: what they promise.
        faults: what monitoring knows to be wrong with the load; None: nobody watched.
        late: area -> issue from which on it has rows (aware UTC), of areas whose history begins later than the rest's.
        left_out: area -> days it has to learn from, of areas with too few: they have no rows here. Both are told.
    """

    frame: pl.DataFrame
    feature_names: tuple[str, ...]
    zone: ZoneInfo
    recent: pl.DataFrame | None = None
    whole: pl.DataFrame | None = None
    series: tuple[SeriesWindow, ...] = ()
    contract: DataContract = STANDARD_CONTRACT
    faults: KnownFaults | None = None
    late: Mapping[str, datetime] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


def check_data(
    data: TrainingData,
    policy: GatePolicy,
    timer: Callable[[], float] | None = None,
    evidence: Mapping[str, str] | None = None,
) -> tuple[CheckResult, ...]:
    """Check completeness, duplicates, stuck values, range, units, temperature, order, clock, jumps and known faults.

    A frame without its columns, rows or target ends with that one refusal.

    Args:
        data: training rows and the series around them.
        policy: thresholds.
        timer: monotonic seconds, for the checks' durations; None for none.
        evidence: what it rests on, name -> SHA-256.
    """
    return tuple(timed(timer, evidence or {}, _each(data, policy)))


def _each(data: TrainingData, policy: GatePolicy) -> Iterator[CheckResult]:
    shape = check_shape(data, policy)
    if shape.verdict == REFUSE:
        yield shape
        return
    resolution = resolution_of(data.frame)
    if resolution is None:
        yield CheckResult("data.shape", HOLD, "no two neighbouring intervals in the training data")
        return
    grid = to_grid(data.frame, resolution, data.zone)
    recent = None
    if data.recent is not None and not data.recent.is_empty():
        known = data.recent.filter(pl.col("area").is_in(grid.areas))
        recent = None if known.is_empty() else to_grid(known, resolution, data.zone)
    yield shape
    yield check_completeness(data, policy)
    yield check_duplicates(data.frame)
    yield check_stuck(grid, policy)
    yield check_range(data.frame, policy)
    yield check_units(grid, recent, policy)
    yield check_temperature(data.frame, temperature_columns(data.feature_names), policy)
    yield check_order(grid, recent, policy)
    yield check_clock(grid, recent, policy, _whole(data, resolution))
    yield check_jumps(grid, data.frame, policy)
    if data.series:
        yield check_contract(data.series, data.contract, policy)
    if data.faults is not None:
        yield check_known_faults(data.frame, data.faults, policy)


def _whole(data: TrainingData, resolution: timedelta) -> Grid | None:
    if data.whole is None or data.whole.is_empty():
        return None
    return to_grid(data.whole, resolution, data.zone)


def temperature_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return the features that are plain temperatures in degC: not changes, degree hours or counts."""
    return tuple(name for name in names if name.startswith(TEMPERATURE) and "change" not in name)


def check_shape(data: TrainingData, policy: GatePolicy) -> CheckResult:
    """Check that there are rows, columns, a target and enough days."""
    frame, name = data.frame, "data.shape"
    needed = ("area", "issued_at", "at", LOAD, "scale_mw", *data.feature_names)
    missing = [column for column in needed if column not in frame.columns]
    if LOAD in missing:
        return CheckResult(name, REFUSE, f"the target {LOAD} is missing from the training data")
    if missing:
        return CheckResult(name, REFUSE, f"columns are missing: {', '.join(missing)}", {"missing": missing})
    if frame.is_empty():
        return CheckResult(name, REFUSE, "the training data has no rows")
    target = frame[LOAD].cast(pl.Float64, strict=False)
    if not target.is_finite().any():
        return CheckResult(name, REFUSE, f"the target {LOAD} has no value at all")
    texts = [column for column in (LOAD, *data.feature_names) if not _numeric(frame.schema[column])]
    if texts:
        return CheckResult(name, REFUSE, f"columns that are not numbers: {', '.join(texts)}", {"columns": texts})
    known = frame.filter(target.is_finite())
    days = known["at"].dt.convert_time_zone(str(data.zone)).dt.date().n_unique()
    numbers = {"rows": frame.height, "days": days, "areas": frame["area"].n_unique()}
    if days < policy.training_days:
        reason = f"only {days} days with a target"
        return CheckResult(name, HOLD, reason, numbers, {"training_days": policy.training_days})
    reason = f"{frame.height} rows, {days} days, {numbers['areas']} areas"
    return CheckResult(name, PASS, reason, numbers, {"training_days": policy.training_days})


def check_completeness(data: TrainingData, policy: GatePolicy) -> CheckResult:
    """Check the missing share per area and column, so that one dead column cannot hide in an average.

    An area has no rows before its history begins; a gap after that is missing. Who begins late or is left out is told.
    """
    columns = [LOAD, *data.feature_names]
    missing = (~pl.col(columns).cast(pl.Float64).is_finite().fill_null(value=False)).mean()
    shares = data.frame.group_by("area").agg(missing).sort("area")
    long = shares.unpivot(index="area", variable_name="column", value_name="share")
    bad = long.filter(pl.col("share") > policy.max_missing_share).sort(
        "share", "area", "column", descending=[True, False, False]
    )
    worst = long.sort("share", "area", "column", descending=[True, False, False]).row(0, named=True)
    numbers = {"worst": worst, "dead": bad.head(20).to_dicts()}
    if data.late or data.left_out:
        late = {area: format_utc(issue) for area, issue in sorted(data.late.items())}
        numbers |= {"late": late, "left_out": dict(sorted(data.left_out.items()))}
    thresholds = {"max_missing_share": policy.max_missing_share}
    if bad.is_empty():
        reason = f"at most {worst['share']:.1%} missing ({worst['column']} of {worst['area']}){_begun(data, policy)}"
        return CheckResult("data.completeness", PASS, reason, numbers, thresholds)
    kind = "is dead" if worst["share"] >= 0.999 else f"is {worst['share']:.0%} missing"
    more = f", and {bad.height - 1} more" if bad.height > 1 else ""
    reason = f"{worst['column']} of {worst['area']} {kind}{more}{_begun(data, policy)}"
    return CheckResult("data.completeness", REFUSE, reason, numbers, thresholds)


def _begun(data: TrainingData, policy: GatePolicy) -> str:
    """Return in words which areas begin late and which are left out; empty where all begin together."""
    late = [f"{area} counts from {issue:%Y-%m-%d} on" for area, issue in sorted(data.late.items())]
    few = [
        f"{area} is left out with {days} of {policy.training_days} days to learn from"
        for area, days in sorted(data.left_out.items())
    ]
    told = [*late[:TOLD], *([f"{len(late) - TOLD} more begin late"] if late[TOLD:] else [])]
    told += [*few[:TOLD], *([f"{len(few) - TOLD} more are left out"] if few[TOLD:] else [])]
    return "".join(f"; {one}" for one in told)


def check_duplicates(frame: pl.DataFrame) -> CheckResult:
    """Check that no area's target stands twice under one issue."""
    keys = ["area", "issued_at", "at"]
    twice = frame.height - frame.select(keys).n_unique()
    if not twice:
        return CheckResult("data.duplicates", PASS, "every row stands once", {"duplicates": 0})
    row = frame.filter(pl.struct(keys).is_duplicated()).row(0, named=True)
    reason = f"{twice} duplicate rows, e.g. {row['area']} at {row['at']:%Y-%m-%dT%H:%MZ}"
    return CheckResult("data.duplicates", REFUSE, reason, {"duplicates": twice})


def check_stuck(grid: Grid, policy: GatePolicy) -> CheckResult:
    """Check the share of load values that stand still for `stuck_hours` or longer, per area and in all."""
    length = max(2, round(policy.stuck_hours / grid.hours_per_step))
    stuck = in_runs(grid.load, length)
    known = np.isfinite(grid.load)
    shares = stuck.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    worst = int(shares.argmax())
    overall = float(stuck.sum() / max(1, known.sum()))
    numbers = {"share": overall, "worst_area": grid.areas[worst], "worst_share": float(shares[worst])}
    thresholds = {"max_stuck_share": policy.max_stuck_share, "stuck_hours": policy.stuck_hours}
    # One of many areas may stand still longer before it hurts the others.
    if overall > policy.max_stuck_share or shares[worst] > 5 * policy.max_stuck_share:
        reason = f"stuck load: {grid.areas[worst]} stands still for {shares[worst]:.1%} of the time"
        return CheckResult("data.stuck", REFUSE, reason, numbers, thresholds)
    return CheckResult("data.stuck", PASS, f"{overall:.2%} of the load stands still", numbers, thresholds)


def check_range(frame: pl.DataFrame, policy: GatePolicy) -> CheckResult:
    """Check |load| against the recent level of its area as known at issue."""
    ratio = pl.col(LOAD).abs() / pl.col("scale_mw")
    rows = frame.filter(pl.col(LOAD).is_finite() & (pl.col("scale_mw") > 0)).select(
        "area", (ratio > policy.max_scale_ratio).alias("beyond"), ratio.alias("ratio")
    )
    thresholds = {"max_scale_ratio": policy.max_scale_ratio, "max_out_of_range_share": policy.max_out_of_range_share}
    if rows.is_empty():
        return CheckResult("data.range", HOLD, "no row has both a load and a recent level", {}, thresholds)
    share, top = float(rows["beyond"].mean() or 0.0), float(rows["ratio"].max() or 0.0)  # type: ignore[arg-type]
    area = str(rows.filter(pl.col("ratio") == top)["area"].min())
    numbers = {"share": share, "largest_ratio": top, "area": area}
    told = f"load reaches {top:.3g} times the recent level ({area})"
    verdict = REFUSE if share > policy.max_out_of_range_share else PASS
    return CheckResult("data.range", verdict, told, numbers, thresholds)


def check_jumps(grid: Grid, frame: pl.DataFrame, policy: GatePolicy) -> CheckResult:
    """Check steps between neighbouring intervals against each area's level."""
    level = frame.group_by("area").agg(pl.col("scale_mw").median()).sort("area")["scale_mw"].to_numpy()
    steps = np.abs(np.diff(grid.load, axis=1))
    known = np.isfinite(steps)
    limit = policy.max_jump_ratio * np.where(np.isfinite(level), level, np.inf)[:, None]
    shares = (known & (np.where(known, steps, 0.0) > limit)).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    worst = int(shares.argmax())
    numbers = {"worst_area": grid.areas[worst], "worst_share": float(shares[worst])}
    thresholds = {"max_jump_ratio": policy.max_jump_ratio, "max_jump_share": policy.max_jump_share}
    reason = f"{shares[worst]:.2%} of the steps of {grid.areas[worst]} are jumps"
    verdict = REFUSE if shares[worst] > policy.max_jump_share else PASS
    return CheckResult("data.jumps", verdict, reason, numbers, thresholds)


def _numeric(kind: pl.DataType) -> bool:
    return kind.is_numeric() or kind == pl.Boolean
