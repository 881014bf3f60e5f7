"""Owns what the gateway holds the answers of a detector to. Answers nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from recloser.serving import AssetLimits, GuardPolicy
from recloser.serving.seen import Ranges

ROUNDING = 0.01
FREE = 2.0
"""Two probabilities never lie so far apart: a challenger may well see what the champion does not."""


def probability_limits(kinds: Iterable[str]) -> dict[str, AssetLimits]:
    """Return the limits of every kind's answers: probabilities, which may jump from one window to the next."""
    limits = AssetLimits(-ROUNDING, 1.0 + ROUNDING, FREE, timedelta(seconds=1))
    return dict.fromkeys(kinds, limits)


def detector_policy(challengers: Iterable[str], seen: Mapping[str, Ranges]) -> GuardPolicy:
    """Return how strict the gateway is with detectors: numbers that are no probabilities trip, another opinion not."""
    return GuardPolicy(divergence=dict.fromkeys(challengers, FREE), divergence_default=FREE, seen=seen)
