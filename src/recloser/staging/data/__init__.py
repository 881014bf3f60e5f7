"""Owns the checks of training data and of the series it comes from. Repairs nothing."""

from recloser.staging.data.contract import SeriesWindow, check_contract
from recloser.staging.data.faults import KnownFault, KnownFaults, check_known_faults
from recloser.staging.data.training import TrainingData, check_data, temperature_columns

__all__ = [
    "KnownFault",
    "KnownFaults",
    "SeriesWindow",
    "TrainingData",
    "check_contract",
    "check_data",
    "check_known_faults",
    "temperature_columns",
]
