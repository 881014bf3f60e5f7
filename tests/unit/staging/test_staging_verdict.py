from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.staging import CheckResult, GatePolicy, judge

WORDS = ("pass", "refuse", "hold")


def test_every_combination_of_three_checks() -> None:
    for words in itertools.product(WORDS, repeat=3):
        verdict = judge([CheckResult(f"c{k}", word, word) for k, word in enumerate(words)])
        wanted = "refuse" if "refuse" in words else "hold" if "hold" in words else "pass"
        assert verdict.verdict == wanted
        assert len(verdict.checks) == 3


def test_nothing_to_judge_is_a_hold() -> None:
    assert judge([]).verdict == "hold"


def test_a_check_that_did_not_run_is_a_hold() -> None:
    done = [CheckResult("data.units", "pass", "x"), CheckResult("latency", "pass", "x")]
    assert judge(done, required=("data", "latency")).verdict == "pass"
    missing = judge(done, required=("data", "parity"))
    assert missing.verdict == "hold"
    assert "parity" in missing.reason
    assert judge([*done, CheckResult("parity", "refuse", "no")], required=("safety",)).verdict == "refuse"


def test_another_word_is_an_error() -> None:
    with pytest.raises(InvalidInput):
        CheckResult("x", "passed", "")
    with pytest.raises(InvalidInput):
        GatePolicy(confidence=1.0)
    with pytest.raises(InvalidInput):
        GatePolicy(minimum_days=3)


@given(st.lists(st.sampled_from(WORDS), min_size=1), st.sampled_from(["refuse", "hold"]))
def test_one_more_bad_check_never_helps(words: list[str], bad: str) -> None:
    rank = {"pass": 0, "hold": 1, "refuse": 2}
    checks = [CheckResult(str(k), word, "") for k, word in enumerate(words)]
    assert rank[judge([*checks, CheckResult("bad", bad, "")]).verdict] >= max(rank[bad], rank[judge(checks).verdict])


def test_the_digest_is_of_the_evidence() -> None:
    first = judge([CheckResult("a", "pass", "x", {"n": 1.0})])
    assert first.evidence_digest == judge([CheckResult("a", "pass", "x", {"n": 1.0})]).evidence_digest
    assert first.evidence_digest != judge([CheckResult("a", "pass", "x", {"n": 1.0000001})]).evidence_digest
