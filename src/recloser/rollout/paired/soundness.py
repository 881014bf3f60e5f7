"""Owns which rollout settings are statistically unsound, and the measured reason. Refuses nothing itself."""

from __future__ import annotations

from recloser.rollout.paired.sequence import LEAST_DAYS
from recloser.rollout.plan import Promotion, RolloutPlan

MOST_ALPHA = 0.1
LEAST_HARMLESS_DAYS = 7
FEWEST_LABELS = 0.5

# Measured by benchmarks/rollout, docs/benchmarks.md: equal canaries of one area rolled back within 56 days, in percent;
# the least of the tests of a kind.
FALSE_ROLLBACKS = {
    "a fixed threshold on a noisy error": (("threshold", "ratio", "factor", "max_", "mae", "rmse", "mape"), 99),
    "a test of single points as if they were independent": (("hour", "point", "sample", "p_value", "t_test"), 66),
    "a fixed-size test that is looked at again and again": (("interval", "peek", "mann", "significance", "every"), 39),
}


def unsound(plan: RolloutPlan) -> tuple[str, ...]:
    """Return in plain words which numbers of a plan promise what they cannot hold; empty for a sound one."""
    found: list[str] = []
    if plan.alpha > MOST_ALPHA:
        found.append(
            f"alpha = {plan.alpha:g}: so many candidates that are {100 * plan.margin:g} % worse may be promoted, and "
            f"so many equal champions tripped on probation; at most {MOST_ALPHA:g}"
        )
    if plan.promotion is Promotion.NO_EVIDENCE_OF_HARM and plan.harmless_days < LEAST_HARMLESS_DAYS:
        found.append(
            f"harmless_days = {plan.harmless_days}: the fast test says nothing before day {LEAST_DAYS} and needs 7 "
            f"to 21 for one area that is forecast 20 % worse; at least {LEAST_HARMLESS_DAYS}"
        )
    if plan.label_share < FEWEST_LABELS:
        found.append(
            f"label_share = {plan.label_share:g}: a day would be judged on its easy hours; at least {FEWEST_LABELS:g}"
        )
    return tuple(found)


def why_unknown(key: str) -> str:
    """Return why there is no such key in a rollout plan, if its name asks for an unsound rule; else nothing.

    Args:
        key: name of an unknown key, as somebody wrote it.
    """
    for rule, (words, percent) in FALSE_ROLLBACKS.items():
        if any(word in key.lower() for word in words):
            return (
                f"There is no such rule on purpose: {rule} rolled back {percent} % of equal canaries on real load "
                "(docs/benchmarks.md); paired days with 'alpha' and 'margin' decide."
            )
    return ""
