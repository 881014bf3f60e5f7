"""Owns the residual drift monitor: a seasonal CUSUM on the champion's signed daily errors. Starts no retraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from recloser.core import FloatArray, InvalidInput
from recloser.monitoring.residuals import DayScore
from recloser.monitoring.signal import Signal, signal_key

DAYS_OF_YEAR = 365
MOVED_SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class DriftPlan:
    """How drift is judged.

    Attributes:
        slack: daily allowance in standard deviations; half the shift that is to be found soonest.
        alarms_per_year: false-alarm budget that the threshold is calibrated to.
        least_threshold: the threshold is never set below this.
        block_days: length of the bootstrap blocks; long enough to keep the errors' autocorrelation.
        years: bootstrap years drawn.
        off_weight: weight of days off, whose errors are larger and less telling.
        clip: largest daily score in standard deviations, so that one odd day raises no alarm.
        seed: of the bootstrap.
    """

    slack: float = 1.0
    alarms_per_year: float = 1.0
    least_threshold: float = 6.0
    block_days: int = 28
    years: int = 400
    off_weight: float = 1.0
    clip: float = 4.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the champion's errors look like while nothing drifts.

    Attributes:
        working, off: (mean, standard deviation) of the signed daily score on working days and days off.
        threshold: CUSUM level that raises an alarm.
        autocorrelation: of the standardised scores at one day; reported, and why the threshold is high.
        days: length of the history.
        slack, off_weight, clip: of the plan it was calibrated with.
    """

    working: tuple[float, float]
    off: tuple[float, float]
    threshold: float
    autocorrelation: float
    days: int
    slack: float
    off_weight: float
    clip: float

    def standardised(self, score: DayScore) -> float:
        """Return the score in standard deviations of its kind of day, clipped and weighted."""
        mean, sd = self.off if score.off else self.working
        weight = self.off_weight if score.off else 1.0
        return weight * float(np.clip((score.signed - mean) / (sd * score.size), -self.clip, self.clip))


@dataclass(frozen=True, slots=True)
class DriftState:
    """The monitor between two days; `to_dict` and `from_dict` carry it through the ledger.

    Attributes:
        baseline: what it compares with.
        high, low: the two sums, for load above and below the forecast.
        high_since, low_since: day on which each sum last left zero.
        last_day: newest day that was counted; earlier ones are ignored, so a repeated step changes nothing.
        alarmed: True after an alarm: frozen until re-baselined.
    """

    baseline: Baseline
    high: float = 0.0
    low: float = 0.0
    high_since: date | None = None
    low_since: date | None = None
    last_day: date | None = None
    alarmed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        result = asdict(self)
        for name in ("high_since", "low_since", "last_day"):
            result[name] = None if result[name] is None else result[name].isoformat()
        return result

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DriftState:
        """Return the state that `to_dict` wrote.

        Raises:
            InvalidInput: keys are missing or unknown.
        """
        try:
            facts = dict(data["baseline"])
            facts["working"], facts["off"] = tuple(facts["working"]), tuple(facts["off"])
            rest = {k: v for k, v in data.items() if k != "baseline"}
            for name in ("high_since", "low_since", "last_day"):
                rest[name] = None if rest[name] is None else date.fromisoformat(rest[name])
            return cls(Baseline(**facts), **rest)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("unreadable drift state", got=repr(error), where="DriftState") from error


@dataclass(frozen=True, slots=True)
class DriftAlarm:
    """The relation between inputs and load has changed.

    Attributes:
        day: local day that raised it.
        since: day on which the sum left zero: the likely onset.
        direction: 'above' or 'below': where load went against the forecast.
        level, threshold: the sum and what it had to exceed.
        change: mean signed error since then, less the usual one, as a share of the scale (in sum units per day).
    """

    day: date
    since: date
    direction: str
    level: float
    threshold: float
    change: float


def fit_baseline(history: Sequence[DayScore], plan: DriftPlan) -> Baseline:
    """Learn mean and spread per kind of day, and the threshold that keeps the false-alarm budget.

    The threshold is the higher one of a circular block bootstrap of the history's own standardised scores and of
    an AR(1) fitted to them, both allowing for what a history of that length leaves unsure: the share of years
    with an alarm is that of the budget. Assumption: the history is free of drift and typical of what follows;
    nominal guarantees failed on real residuals, so count the real false alarms too.
    Source: Page (1954), Continuous Inspection Schemes; Kunsch (1989), block bootstrap.

    Args:
        history: out-of-sample days of the same champion, oldest first.
        plan: slack, budget, bootstrap.

    Raises:
        InvalidInput: fewer than 28 days.
    """
    if len(history) < 28:
        raise InvalidInput(
            "too little history for a drift baseline",
            got=len(history),
            expected="at least 28 days of out-of-sample errors",
            next_step="Take them from the staging backtest of the champion.",
        )
    work = np.array([s.signed / s.size for s in history if not s.off])
    off = np.array([s.signed / s.size for s in history if s.off])
    everyday = _location(np.array([s.signed / s.size for s in history]))
    working = _location(work) if len(work) >= 10 else everyday
    free = _location(off) if len(off) >= 10 else everyday
    shell = Baseline(working, free, np.inf, 0.0, len(history), plan.slack, plan.off_weight, plan.clip)
    scores = np.array([shell.standardised(s) for s in history])
    centred = scores - scores.mean()
    spread = float((centred**2).sum())
    autocorrelation = float((centred[1:] * centred[:-1]).sum() / spread) if spread > 0 else 0.0
    threshold = max(plan.least_threshold, *_calibrated(scores, autocorrelation, plan))
    return replace(shell, threshold=threshold, autocorrelation=autocorrelation)


def step(state: DriftState, score: DayScore) -> tuple[DriftState, DriftAlarm | None]:
    """Count one day and return the new state and an alarm if this day raised it.

    Pure. A day at or before the last one changes nothing; a state that has alarmed is frozen.
    """
    if state.alarmed or (state.last_day is not None and score.day <= state.last_day):
        return state, None
    z = state.baseline.standardised(score)
    if not np.isfinite(z):
        return replace(state, last_day=score.day), None
    slack = state.baseline.slack * (state.baseline.off_weight if score.off else 1.0)
    high, low = max(0.0, state.high + z - slack), max(0.0, state.low - z - slack)
    high_since = None if high == 0.0 else (state.high_since or score.day)
    low_since = None if low == 0.0 else (state.low_since or score.day)
    new = replace(state, high=high, low=low, high_since=high_since, low_since=low_since, last_day=score.day)
    level = max(high, low)
    if level <= state.baseline.threshold:
        return new, None
    above = high >= low
    since = (high_since if above else low_since) or score.day
    days = max(1, (score.day - since).days + 1)
    change = (level / days + slack) * state.baseline.working[1] * (1.0 if above else -1.0)
    alarm = DriftAlarm(score.day, since, "above" if above else "below", level, state.baseline.threshold, change)
    return replace(new, alarmed=True), alarm


def rebaselined(state: DriftState, baseline: Baseline) -> DriftState:
    """Return a fresh, unfrozen state on a new baseline, after the champion changed or the drift was accepted."""
    return DriftState(baseline, last_day=state.last_day)


def moved(normal: Baseline, recent: Sequence[float]) -> Baseline:
    """Return the baseline after an answered drift: on the level of the recent days if they contradict the normal one.

    Days follow each other, so a fortnight's mean is unsure; within three of its standard errors the normal level
    stays, and a drift that has gone away again leaves no new normal behind.

    Args:
        normal: as fitted before any drift.
        recent: signed scores of the newest days.
    """
    if not recent:
        return normal
    phi = min(max(normal.autocorrelation, 0.0), 0.9)
    mean, spread = normal.working
    shift = float(np.mean(recent)) - mean
    unsure = spread * np.sqrt(min(1.0, (1 + phi) / (1 - phi) / len(recent)))
    if abs(shift) <= MOVED_SIGMAS * unsure:
        return normal
    return replace(normal, working=(mean + shift, spread), off=(normal.off[0] + shift, normal.off[1]))


def drift_signal(alarm: DriftAlarm, at: datetime, areas: tuple[str, ...] = ()) -> Signal:
    """Return the signal of an alarm; `areas` empty means the whole fleet."""
    since = datetime(alarm.since.year, alarm.since.month, alarm.since.day, tzinfo=UTC)
    reason = (
        f"Load runs {abs(alarm.change):.1%} {alarm.direction} the forecast since about {alarm.since.isoformat()}, "
        f"over all areas together: the forecast no longer fits how load behaves."
    )
    evidence = {
        "kind": "level",
        "direction": alarm.direction,
        "change": alarm.change,
        "level": alarm.level,
        "threshold": alarm.threshold,
        "day": alarm.day.isoformat(),
    }
    key = signal_key("concept_drift", f"level:{alarm.direction}", areas, since)
    return Signal(key, at, "concept_drift", "warning", areas, since, reason, evidence)


def _location(values: FloatArray) -> tuple[float, float]:
    """Return mean and standard deviation without the outermost 5 % each side; never a zero spread."""
    low, high = np.quantile(values, [0.05, 0.95])
    kept = np.clip(values, low, high)
    return float(kept.mean()), max(float(kept.std(ddof=1)) * 1.1, 1e-6)


def _calibrated(scores: FloatArray, autocorrelation: float, plan: DriftPlan) -> tuple[float, float]:
    """Return thresholds by block bootstrap and by an AR(1) of the same spread, for the budget's share of years.

    One history holds few long excursions, and blocks cannot make longer ones: the AR(1) can. Every year's mean is
    shifted, and the AR(1)'s coefficient and spread raised, by the standard error that a history of that length has.
    """
    rng = np.random.default_rng(plan.seed)
    count = len(scores)
    phi = min(max(autocorrelation, 0.0), 0.9)
    spread = float(scores.std())
    shift = rng.normal(0.0, spread * np.sqrt((1 + phi) / (1 - phi) / count), (plan.years, 1))
    starts = rng.integers(0, count, size=(plan.years, -(-DAYS_OF_YEAR // plan.block_days)))
    index = (starts[:, :, None] + np.arange(plan.block_days)) % count
    drawn = scores[index.reshape(plan.years, -1)[:, :DAYS_OF_YEAR]] + shift
    strong = min(phi + np.sqrt((1 - phi * phi) / count), 0.95)
    wide = spread * (1 + np.sqrt((1 + phi * phi) / (1 - phi * phi) / (2 * count)))
    error = rng.standard_normal((DAYS_OF_YEAR, plan.years))
    for day in range(1, DAYS_OF_YEAR):
        error[day] = strong * error[day - 1] + np.sqrt(1 - strong * strong) * error[day]
    made = np.clip(wide * error.T, -plan.clip, plan.clip) + shift
    return _highest(drawn, plan), _highest(made, plan)


def _highest(years: FloatArray, plan: DriftPlan) -> float:
    """Return the level that the highest sum of a year exceeds in the budget's share of years, shape (n_years, 365)."""
    high, low, top = np.zeros(len(years)), np.zeros(len(years)), np.zeros(len(years))
    for day in years.T:
        high = np.maximum(0.0, high + day - plan.slack)
        low = np.maximum(0.0, low - day - plan.slack)
        top = np.maximum(top, np.maximum(high, low))
    # Alarms at rate r leave a year quiet with probability exp(-r).
    return float(np.quantile(top, np.exp(-plan.alarms_per_year)))
