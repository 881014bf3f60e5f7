"""Owns the declaration of the phasor columns, so that packages and gateways know them. Computes nothing."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from recloser.core import Horizon
from recloser.features.extra import Extra
from recloser.features.feature_set import FeatureSet
from recloser.features.phasors.features import PHASOR_FEATURES

VERSION = "1"
"""Changes with the meaning of any of the columns."""


def phasor_columns(horizon: Horizon, window_s: float) -> FeatureSet:
    """Return the columns that `phasor_features` gives for windows of `window_s`; no panel holds what they read.

    Args:
        horizon: of the project; its zone tells local days.
        window_s: length of a window in seconds; part of the declaration's digest.
    """
    told = f"phasors {VERSION}, window {window_s:g} s"
    nothing = pl.lit(None, dtype=pl.Float32)
    memory = timedelta(seconds=window_s)
    extra = tuple(Extra(name, nothing, memory=memory, known_ahead=True, version=told) for name in PHASOR_FEATURES)
    return FeatureSet(horizon, (), extra=extra)
