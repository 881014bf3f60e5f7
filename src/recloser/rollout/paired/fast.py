"""Owns which numbers of the closed days the fast test runs on, and how its level is split. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recloser.core import FloatArray
from recloser.rollout.paired.pairing import PairedDay, informative
from recloser.rollout.paired.sequence import surely_worse

JOINT_SHARE = 0.7


def levels(alpha: float) -> tuple[float, float]:
    """Return the levels of the joint test (losses and ramp errors) and of the losses alone; together `alpha`.

    The joint one is quicker on most harm; a bias, which ramps do not show, is left to the losses alone.
    """
    return JOINT_SHARE * alpha, (1.0 - JOINT_SHARE) * alpha


def fast_verdict(days: Sequence[PairedDay], scale: float, alpha: float) -> bool:
    """Return whether the fast tests say "surely worse" of the closed days at level `alpha`, all looks together.

    Where every day carries the joint number and the log ratio, of one staging each, both are tested at their part of
    the level; with log ratios only (days stored before there were joint ones) they alone; else plain differences.

    Args:
        days: closed days of one rollout.
        scale: long-run sd of the daily difference in staging.
        alpha: level, in (0, 1).

    Raises:
        InvalidInput: the scale is not positive and finite.
    """
    ratio, joint = _told(days, "ratio"), _told(days, "joint")
    if ratio is None:
        return surely_worse(informative(days), scale, alpha)
    if joint is None:
        return surely_worse(ratio[0], ratio[1], alpha, ratio[2])
    parts = zip((joint, ratio), levels(alpha), strict=True)
    return any(surely_worse(x, sd, level, offset_sd) for (x, sd, offset_sd), level in parts)


def _told(days: Sequence[PairedDay], name: str) -> tuple[FloatArray, float, float] | None:
    """Return the days' numbers of that name with their sd and offset error; None if one lacks it or scales differ."""
    told = [day.facts.get(name) for day in sorted(days, key=lambda one: one.day) if day.n > 0]
    found = [item for item in told if item is not None]
    if len(found) < len(told) or len({(item["sd"], item["offset_sd"]) for item in found}) != 1:
        return None
    return np.array([item["x"] for item in found], dtype=np.float64), found[0]["sd"], found[0]["offset_sd"]
