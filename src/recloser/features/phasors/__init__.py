"""Owns features of windows of synchrophasors, pure: arrays in, numbers out. Decodes and detects nothing."""

from recloser.features.phasors.block import PhasorBlock, window_ends
from recloser.features.phasors.declared import phasor_columns
from recloser.features.phasors.features import PHASOR_FEATURES, phasor_features

__all__ = ["PHASOR_FEATURES", "PhasorBlock", "phasor_columns", "phasor_features", "window_ends"]
