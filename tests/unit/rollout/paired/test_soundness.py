"""Unsound plans and unsound rules are named, each with its measured reason; the default plan is sound."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from recloser.rollout import Promotion, RolloutPlan, unsound, why_unknown
from recloser.rollout.paired.soundness import FALSE_ROLLBACKS

WEAK = RolloutPlan(promotion=Promotion.NO_EVIDENCE_OF_HARM)


@pytest.mark.parametrize("plan", [RolloutPlan(), WEAK, RolloutPlan(alpha=0.1), replace(WEAK, harmless_days=7)])
def test_a_sound_plan_has_nothing_to_say(plan):
    assert unsound(plan) == ()


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (RolloutPlan(alpha=0.2), "alpha = 0.2"),
        (replace(WEAK, harmless_days=3), "harmless_days = 3"),
        (RolloutPlan(label_share=0.2), "label_share = 0.2"),
    ],
)
def test_each_unsound_number_is_named(plan, said):
    (only,) = unsound(plan)
    assert said in only


def test_few_harmless_days_do_not_matter_where_evidence_promotes():
    assert unsound(RolloutPlan(harmless_days=1)) == ()


@pytest.mark.parametrize(
    ("key", "percent"),
    [("error_threshold", "99 %"), ("hourly_test", "66 %"), ("peek_every", "39 %"), ("max_MAE", "99 %")],
)
def test_a_key_that_asks_for_an_unsound_rule_gets_its_false_rollbacks(key, percent):
    assert percent in why_unknown(key)


def test_other_unknown_keys_get_no_lecture():
    assert why_unknown("colour") == ""


def test_the_reasons_are_the_published_measurements():
    """The least of each kind of rule for one area, of the table in docs/benchmarks.md, rounded down."""
    text = (Path(__file__).parents[4] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    measured = {
        row[0]: [float(cell.split(";")[0]) for cell in row[1:4]] for row in table if len(row) == 7 and ";" in row[1]
    }
    kinds = {
        "threshold": ["static threshold, MAE of a day > 1.2 x historical"],
        "hour": ["paired t, hourly peeks", "always-valid, hourly as if independent"],
        "peek": ["unpaired Mann-Whitney, daily peeks"],
    }
    for word, rules in kinds.items():
        (told,) = [percent for words, percent in FALSE_ROLLBACKS.values() if word in words]
        assert told == math.floor(min(min(measured[rule]) for rule in rules))
