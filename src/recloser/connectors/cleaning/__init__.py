"""Owns what is made of readings before they are used: declared quality steps, and regular series out of events.

Does not own the readings as they came (they stay), connections, or what a model may do with a flag.
"""

from recloser.connectors.cleaning.cleaner import SAID, Cleaned, Cleaner, Kind
from recloser.connectors.cleaning.column_cleaner import KINDS, CleanedBlock, ColumnCleaner
from recloser.connectors.cleaning.resampling import Intervals, Trace, interval_means
from recloser.connectors.cleaning.steps import STEPS, CleaningRules, History

__all__ = [
    "KINDS",
    "SAID",
    "STEPS",
    "Cleaned",
    "CleanedBlock",
    "Cleaner",
    "CleaningRules",
    "ColumnCleaner",
    "History",
    "Intervals",
    "Kind",
    "Trace",
    "interval_means",
]
