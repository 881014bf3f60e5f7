"""Owns the checks that a candidate must pass before deployment, and the verdict. Does not train, deploy or record.

Every check is a pure function of the evidence and a `GatePolicy`; no data is a hold, never a pass.
"""

from recloser.staging.data import TrainingData, check_data, temperature_columns
from recloser.staging.holdout import HoldOut, PairScale, bootstrap_bounds, pair_scale, paired_days
from recloser.staging.latency import Latency, check_latency, measure_latency
from recloser.staging.outputs import check_coverage, check_metrics, check_parity
from recloser.staging.performance import check_performance
from recloser.staging.policy import GatePolicy
from recloser.staging.safety import SafetyProbe, check_safety
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult, Verdict, judge

__all__ = [
    "HOLD",
    "PASS",
    "REFUSE",
    "CheckResult",
    "GatePolicy",
    "HoldOut",
    "Latency",
    "PairScale",
    "SafetyProbe",
    "TrainingData",
    "Verdict",
    "bootstrap_bounds",
    "check_coverage",
    "check_data",
    "check_latency",
    "check_metrics",
    "check_parity",
    "check_performance",
    "check_safety",
    "judge",
    "measure_latency",
    "pair_scale",
    "paired_days",
    "temperature_columns",
]
