"""Owns fakes and builders for users' own tests: real small classes, no mocks. Not used by the product itself."""

from recloser.testing.builders import daily_load, sample_panel
from recloser.testing.predictors import ConstantPredictor

__all__ = ["ConstantPredictor", "daily_load", "sample_panel"]
