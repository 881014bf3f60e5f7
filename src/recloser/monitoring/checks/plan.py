"""Owns what the data checks are told (`CheckPlan`) and their run over a Panel as of now. Repairs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from recloser.core import (
    LOAD,
    STANDARD_CONTRACT,
    TEMPERATURE,
    DataContract,
    FloatArray,
    InvalidInput,
    Panel,
    Quality,
    parse_zone,
    require_utc,
)
from recloser.monitoring.checks.exact import (
    Expectation,
    explained,
    find_dead,
    find_missing,
    find_out_of_range,
    find_spikes,
    find_stuck,
    find_temperature_unit,
    find_unit,
    runs_of,
)
from recloser.monitoring.checks.level import LevelLimits, find_alone, find_unbalanced
from recloser.monitoring.checks.shift import ShiftLimits, find_shift
from recloser.monitoring.finding import Finding, group
from recloser.monitoring.window import Blocks, BoolArray, Days, Window, blocks_of, calendar_of, fold, median, window_of

_BY_VALUE = int(Quality.MISSING | Quality.STUCK | Quality.SPIKE | Quality.UNIT_SUSPECT)


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What is checked and how much history is looked at.

    Attributes:
        zone: IANA zone of the areas.
        areas: feeders that must be there; an area without a single sample is found missing.
        groups: substation -> the feeders whose sum it measures; the redundancy that tells fault from change.
        meter: quantity of the substation meters.
        lookback: history that baselines are learnt from; the panel should reach back that far.
        report: faults that ended longer ago than this are not told again.
        patience: how long a gap, a stuck value or a wrong unit must last.
        dead_days, dead_share: a channel is dead if one value rules that share of so many newest days.
        limits: physical limits, (area, quantity) -> (low, high); learnt from history where absent.
        shift, level: thresholds of those checks.
        contract: what series promise; the staging gate reads training data by the same one.
    """

    zone: str
    areas: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    meter: str = "substation_mw"
    lookback: timedelta = timedelta(days=35)
    report: timedelta = timedelta(days=2)
    patience: timedelta = timedelta(hours=2)
    dead_days: int = 3
    dead_share: float = 0.9
    limits: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    shift: ShiftLimits = field(default_factory=ShiftLimits)
    level: LevelLimits = field(default_factory=LevelLimits)
    contract: DataContract = STANDARD_CONTRACT

    def __post_init__(self) -> None:
        parse_zone(self.zone, "CheckPlan.zone")
        if self.lookback < timedelta(days=10) or self.patience <= timedelta(0):
            raise InvalidInput(
                "checks need history and patience",
                got=(str(self.lookback), str(self.patience)),
                expected="lookback >= 10 days, patience > 0",
            )


def check_data(panel: Panel, now: datetime, plan: CheckPlan) -> list[Finding]:
    """Return the faults of load, temperature and substation meters that show as of `now`.

    Causal: looks only at what the panel (as of `now`) holds. Samples that a former check has flagged are judged
    again by their value while their fault may last, but no baseline is learnt from them; once it is over and no longer
    told, nothing looks at them.

    Args:
        panel: read as of `now`, from `now - plan.lookback` on; temperature may reach into the future.
        now: aware UTC.
        plan: what to check.
    """
    now = require_utc(now, "check_data")
    start = now - plan.lookback
    blocks = blocks_of(panel)
    load = window_of(blocks, LOAD, start, now, plan.areas)
    findings: list[Finding] = []
    if load.areas and load.steps:
        findings += _load_faults(blocks, load, now, plan)
    warmth = window_of(blocks, TEMPERATURE, start, now + timedelta(days=3))
    if warmth.areas:
        findings += _temperature_faults(warmth, now, plan)
    return group(findings)


def _load_faults(blocks: Blocks, load: Window, now: datetime, plan: CheckPlan) -> list[Finding]:
    recent, before = _recent(load, now, plan), _recent(load, now - plan.report, plan)
    calendar = calendar_of(load, plan.zone)
    days = fold(load, calendar)
    usual = _expect(load, days)
    found = find_missing(load, now, at_least=plan.patience, recent=recent)
    # What ended up to `report` before the told span still explains its samples.
    hard = find_dead(load, days=plan.dead_days, share=plan.dead_share, recent=before)
    hard += find_stuck(load, explained(load, hard), at_least=plan.patience, recent=before)
    hard += find_unit(load, usual, at_least=plan.patience, recent=before)
    over = _over(load, before, recent)
    limits = _limits(load, usual, plan)
    hard += find_out_of_range(load, limits, over | explained(load, hard), before)
    hard += find_spikes(load, usual, over | explained(load, hard), recent)
    clean = replace(load, values=np.where(over | explained(load, hard), np.nan, load.values))
    folded = replace(days, values=fold(clean, calendar).values)
    soft = find_shift(clean, folded, plan.shift, recent)
    covered: set[str] = set()
    if plan.groups:
        meters = window_of(blocks, plan.meter, load.start, now, tuple(plan.groups))
        covered = {area for areas in plan.groups.values() for area in areas}
        soft += find_unbalanced(load, meters, plan.groups, (folded, fold(meters, calendar)), plan.level)
    soft += find_alone(load, folded, covered, plan.level)
    return found + [one for one in hard if one.end > load.time(recent)] + soft


def _over(window: Window, before: int, recent: int) -> BoolArray:
    """Return the unusable samples of faults that are over: runs of flags that end before step `recent`.

    A run of a day or more (what whole days are flagged for) that ends after step `before` may go on: perhaps nobody
    has looked since. Days of a level or a shift go on through days that are only questionable.
    """
    result = np.zeros(window.values.shape, dtype=bool)
    for bits in (_BY_VALUE, ~_BY_VALUE):
        for row, first, last in runs_of((window.quality & bits) != 0):
            if last < recent and (last <= before or last - first < 24 * window.per_hour):
                result[row, first:last] |= ~window.usable[row, first:last]
    return result


def _temperature_faults(warmth: Window, now: datetime, plan: CheckPlan) -> list[Finding]:
    recent = _recent(warmth, now, plan)
    usual = _expect(warmth, fold(warmth, calendar_of(warmth, plan.zone)))
    found = find_missing(warmth, now, at_least=plan.patience, recent=recent)
    promised = plan.contract.of(TEMPERATURE)
    hard = find_stuck(warmth, explained(warmth, []), at_least=max(plan.patience, promised.stuck), recent=recent)
    hard += find_temperature_unit(warmth, usual, at_least=plan.patience, recent=recent)
    low = -np.inf if promised.lowest is None else promised.lowest
    high = np.inf if promised.highest is None else promised.highest
    limits = (np.full(len(warmth.areas), low), np.full(len(warmth.areas), high))
    hard += find_out_of_range(warmth, limits, explained(warmth, hard), recent)
    return found + hard


def _recent(window: Window, now: datetime, plan: CheckPlan) -> int:
    return max(0, int((now - plan.report - window.start) / window.resolution))


def _expect(window: Window, days: Days) -> Expectation:
    """Return the usual value of every step: the median over the window's days at the same local time."""
    empty_day = np.full((len(window.areas), 24 * window.per_hour), np.nan)
    profile = median(days.good, axis=1) if days.good.shape[1] else empty_day
    scale = median(np.abs(profile), axis=1)
    history = window.good()[:, : max(1, window.steps - 24 * window.per_hour)]
    empty = ~np.isfinite(history).any(axis=1)
    low = np.where(empty, -np.inf, np.fmin.reduce(history, axis=1))
    high = np.where(empty, np.inf, np.fmax.reduce(history, axis=1))
    return Expectation(profile[:, days.calendar.slot], scale, low, high)


def _limits(window: Window, usual: Expectation, plan: CheckPlan) -> tuple[FloatArray, FloatArray]:
    """Return lows and highs: given ones, else one and a half spans beyond what the feed has shown."""
    reach = 1.5 * np.maximum(usual.high - usual.low, np.maximum(np.abs(usual.high), np.abs(usual.low)))
    low, high = usual.low - reach, usual.high + reach
    for row, area in enumerate(window.areas):
        if (area, window.quantity) in plan.limits:
            low[row], high[row] = plan.limits[area, window.quantity]
    return low, high
