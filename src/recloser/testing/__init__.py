"""Owns fakes and builders for users' own tests: real small classes, no mocks. Not used by the product itself."""

from recloser.testing.builders import daily_load, sample_panel
from recloser.testing.captures import CaptureBuilder
from recloser.testing.meeting import Meeting
from recloser.testing.memory_ledger import MemoryLedger
from recloser.testing.predictors import ConstantPredictor
from recloser.testing.projects import COLUMNS, QUICK, empty_project, load_file, small_grid, small_project

__all__ = [
    "COLUMNS",
    "QUICK",
    "CaptureBuilder",
    "ConstantPredictor",
    "Meeting",
    "MemoryLedger",
    "daily_load",
    "empty_project",
    "load_file",
    "sample_panel",
    "small_grid",
    "small_project",
]
