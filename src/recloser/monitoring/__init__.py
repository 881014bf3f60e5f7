"""Owns the watch: are the data at fault, has the relation changed, is the forecast still good; said as Signals.

Does not read stores, decide on retraining or rollback, or repair data. Pure functions of panels, scored rows and `now`.
"""

from recloser.monitoring.checks import CheckPlan, LevelLimits, ShiftLimits, check_data
from recloser.monitoring.drift import (
    Baseline,
    DriftAlarm,
    DriftPlan,
    DriftState,
    drift_signal,
    fit_baseline,
    moved,
    rebaselined,
    step,
)
from recloser.monitoring.events import EventRule, EventWatch, GridEventSeen, watched
from recloser.monitoring.finding import Finding, Reconciled, flag_revisions, reconcile, signal_of
from recloser.monitoring.performance import (
    Divergence,
    PerformancePlan,
    StagingErrors,
    coverage,
    degradation,
    divergence,
    divergence_quantile,
)
from recloser.monitoring.reference import (
    DailyLoad,
    Reference,
    daily_load,
    fit_reference,
    reference_scores,
    train_reference,
)
from recloser.monitoring.residuals import DayScore, daily_errors, pool
from recloser.monitoring.signal import Severity, Signal, SignalClass, signal_key

__all__ = [
    "Baseline",
    "CheckPlan",
    "DailyLoad",
    "DayScore",
    "Divergence",
    "DriftAlarm",
    "DriftPlan",
    "DriftState",
    "EventRule",
    "EventWatch",
    "Finding",
    "GridEventSeen",
    "LevelLimits",
    "PerformancePlan",
    "Reconciled",
    "Reference",
    "Severity",
    "ShiftLimits",
    "Signal",
    "SignalClass",
    "StagingErrors",
    "check_data",
    "coverage",
    "daily_errors",
    "daily_load",
    "degradation",
    "divergence",
    "divergence_quantile",
    "drift_signal",
    "fit_baseline",
    "fit_reference",
    "flag_revisions",
    "moved",
    "pool",
    "rebaselined",
    "reconcile",
    "reference_scores",
    "signal_key",
    "signal_of",
    "step",
    "train_reference",
    "watched",
]
