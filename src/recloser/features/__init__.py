"""Owns pure feature transforms: one declaration, computed alike in training, staging, serving and replay.

Does not own: reading the store, training, or the truth's quality checks.
"""

from recloser.features.block import Block, Feature
from recloser.features.days import HolidayLag, LocalTime
from recloser.features.extra import Extra
from recloser.features.feature_set import FeatureSet
from recloser.features.loads import LoadLag, LoadLevel, LoadMean, LoadNewest, LoadSimilar, LoadSpread, LoadTrend
from recloser.features.truth import attach_truth
from recloser.features.weather import DegreeHours, WeatherAt, WeatherChange, WeatherDay, WeatherMean

__all__ = [
    "Block",
    "DegreeHours",
    "Extra",
    "Feature",
    "FeatureSet",
    "HolidayLag",
    "LoadLag",
    "LoadLevel",
    "LoadMean",
    "LoadNewest",
    "LoadSimilar",
    "LoadSpread",
    "LoadTrend",
    "LocalTime",
    "WeatherAt",
    "WeatherChange",
    "WeatherDay",
    "WeatherMean",
    "attach_truth",
]
