"""Owns accuracy in detail: by area, lead time and slice as truth arrives, and an estimate of it before.

Raises no signals (that is `monitoring.performance`) and reads no stores.
"""

from recloser.monitoring.accuracy.detail import accuracy_detail
from recloser.monitoring.accuracy.estimate import Estimate, LossEstimator, fit_estimator
from recloser.monitoring.accuracy.slices import accuracy_by, peak_errors

__all__ = ["Estimate", "LossEstimator", "accuracy_by", "accuracy_detail", "fit_estimator", "peak_errors"]
