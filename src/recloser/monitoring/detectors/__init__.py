"""Owns drift detectors on one series' daily errors: a protocol, ours, known ones, plug-ins, pooling over a fleet.

Does not read stores, make forecasts or decide what to do. Pure functions of days.
"""

from recloser.monitoring.detectors.budget import Resampling
from recloser.monitoring.detectors.channels import GROUPS, ChannelDetector, ChannelMonitor, Group, seasonal_cusum
from recloser.monitoring.detectors.day import BLOCKS, DayErrors, day_errors, errors_of_rows
from recloser.monitoring.detectors.detector import Change, Detector, Monitor
from recloser.monitoring.detectors.e_detector import EDetector
from recloser.monitoring.detectors.fleet import discoveries, e_discoveries, pooled_days, stepped
from recloser.monitoring.detectors.loading import detector_named

__all__ = [
    "BLOCKS",
    "GROUPS",
    "Change",
    "ChannelDetector",
    "ChannelMonitor",
    "DayErrors",
    "Detector",
    "EDetector",
    "Group",
    "Monitor",
    "Resampling",
    "day_errors",
    "detector_named",
    "discoveries",
    "e_discoveries",
    "errors_of_rows",
    "pooled_days",
    "seasonal_cusum",
    "stepped",
]
