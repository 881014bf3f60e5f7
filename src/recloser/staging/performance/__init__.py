"""Owns the comparison of a candidate on days nobody learned from. Draws no verdict and knows no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from recloser.staging.performance.comparison import (
    check_champion,
    check_incumbent,
    check_naive,
    check_output,
    check_worth,
)
from recloser.staging.performance.detection import DetectionHoldOut, DetectionNeed, check_detection
from recloser.staging.performance.holdout import HoldOut
from recloser.staging.performance.metrics import check_metrics_of_pair
from recloser.staging.performance.recent import check_live, check_recent
from recloser.staging.performance.slices import check_slices
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import PASS, CheckResult, timed

__all__ = ["DetectionHoldOut", "DetectionNeed", "HoldOut", "check_detection", "check_performance", "check_worth"]


def check_performance(
    holdout: HoldOut,
    policy: GatePolicy,
    timer: Callable[[], float] | None = None,
    evidence: Mapping[str, str] | None = None,
) -> tuple[CheckResult, ...]:
    """Check the answers themselves, then against champion, seasonal naive, incumbent, metrics, recent days and slices.

    Daily means of the loss difference (CRPS over the area's level; absolute error for the incumbent) with 7-day
    block-bootstrap bounds. Worse than the margin by the mean refuses; a mean within it whose bound is not is a hold.

    Args:
        holdout: everybody's answers.
        policy: thresholds.
        timer: monotonic seconds, for the checks' durations; None for none.
        evidence: what it rests on, name -> SHA-256.
    """
    return tuple(timed(timer, evidence or {}, _each(holdout, policy)))


def _each(holdout: HoldOut, policy: GatePolicy) -> Iterator[CheckResult]:
    output = check_output(holdout)
    yield output
    if output.verdict != PASS:
        return
    yield check_champion(holdout, policy)
    yield check_naive(holdout, policy)
    if holdout.incumbent is not None:
        yield check_incumbent(holdout, holdout.incumbent, policy)
    yield check_metrics_of_pair(holdout, policy)
    yield check_recent(holdout, policy)
    yield check_live(holdout, policy)
    yield check_slices(holdout, policy)
