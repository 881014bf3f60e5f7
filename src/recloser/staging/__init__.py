"""Owns the checks that a candidate must pass before deployment, and the verdict. Does not train, deploy or record.

Every check is a pure function of the evidence and a `GatePolicy`; no data is a hold, never a pass.
"""

from recloser.staging.data import (
    KnownFault,
    KnownFaults,
    SeriesWindow,
    TrainingData,
    check_data,
    temperature_columns,
)
from recloser.staging.leak import LeakProbe, check_leak
from recloser.staging.network import GridModel, NetworkProbe, check_network
from recloser.staging.outputs import check_coverage, check_metrics, check_parity
from recloser.staging.performance import (
    DetectionHoldOut,
    DetectionNeed,
    HoldOut,
    check_detection,
    check_performance,
    check_worth,
)
from recloser.staging.performance.holdout import PairScale, bootstrap_bounds, pair_scale, paired_days
from recloser.staging.policy import GatePolicy
from recloser.staging.safety import AssetBounds, SafetyProbe, check_safety
from recloser.staging.safety.detection import DetectionProbe, check_detection_safety
from recloser.staging.trial.calls import Latency, check_latency, measure_latency
from recloser.staging.trial.checks import check_trial, failed_trial, not_tried
from recloser.staging.trial.report import GoldenTold, LoadReport, TrialPlan, TrialReport, TrialRunner
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult, Verdict, judge, timed
from recloser.staging.waivers import WAIVE, Waiver, waivers_in

__all__ = [
    "HOLD",
    "PASS",
    "REFUSE",
    "WAIVE",
    "AssetBounds",
    "CheckResult",
    "DetectionHoldOut",
    "DetectionNeed",
    "DetectionProbe",
    "GatePolicy",
    "GoldenTold",
    "GridModel",
    "HoldOut",
    "KnownFault",
    "KnownFaults",
    "Latency",
    "LeakProbe",
    "LoadReport",
    "NetworkProbe",
    "PairScale",
    "SafetyProbe",
    "SeriesWindow",
    "TrainingData",
    "TrialPlan",
    "TrialReport",
    "TrialRunner",
    "Verdict",
    "Waiver",
    "bootstrap_bounds",
    "check_coverage",
    "check_data",
    "check_detection",
    "check_detection_safety",
    "check_latency",
    "check_leak",
    "check_metrics",
    "check_network",
    "check_parity",
    "check_performance",
    "check_safety",
    "check_trial",
    "check_worth",
    "failed_trial",
    "judge",
    "measure_latency",
    "not_tried",
    "pair_scale",
    "paired_days",
    "temperature_columns",
    "timed",
    "waivers_in",
]
