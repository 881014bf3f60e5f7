"""Owns the data checks: what in a Panel is at fault as of now, by kind. Repairs nothing and knows no forecast."""

from recloser.monitoring.checks.level import LevelLimits
from recloser.monitoring.checks.plan import CheckPlan, check_data
from recloser.monitoring.checks.shift import ShiftLimits

__all__ = ["CheckPlan", "LevelLimits", "ShiftLimits", "check_data"]
