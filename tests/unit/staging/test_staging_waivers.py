"""Waivers: who, why and until when; what they change and what they cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recloser.core import InvalidInput
from recloser.ledger import Entry
from recloser.staging import HOLD, PASS, REFUSE, WAIVE, CheckResult, Waiver, judge, timed, waivers_in
from recloser.staging.waivers import NEVER

NOW = datetime(2024, 5, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def waiver(check: str = "performance.slices", **changes: Any) -> Waiver:
    given: dict[str, Any] = {
        "name": "A. Operator",
        "reason": "F07 is rebuilt",
        "given_at": NOW,
        "expires_at": NOW + WEEK,
    }
    return Waiver("rel-1", check, **(given | changes))


def entry(seq: int, facts: dict[str, Any], action: str = WAIVE) -> Entry:
    return Entry(seq, NOW, "A. Operator", action, "rel-1", facts, (), "", "")


CHECKS = (
    CheckResult("data.shape", PASS, "fine"),
    CheckResult("performance.slices", REFUSE, "bad in area F07", {"worst": 0.3}, {"slice_margin": 0.25}),
    CheckResult("coverage", HOLD, "too few days"),
)


def test_a_waiver_sets_aside_only_its_check_and_stays_visible() -> None:
    assert judge(CHECKS).verdict == REFUSE
    first = judge(CHECKS, waivers=[waiver()])
    assert first.verdict == HOLD
    assert first.reason == "coverage: too few days"
    both = judge(CHECKS, ("data.shape",), [waiver(), waiver("coverage", name="B. Second")])
    assert both.verdict == PASS
    assert both.reason == "1 checks passed, 2 waived: performance.slices by A. Operator, coverage by B. Second"
    marked = {check.name: check for check in both.checks}
    assert marked["performance.slices"].verdict == REFUSE
    assert marked["performance.slices"].waiver == waiver().to_dict()
    assert marked["data.shape"].waiver is None


def test_a_waiver_is_part_of_the_evidence_and_a_duration_is_not() -> None:
    plain, waived = judge(CHECKS), judge(CHECKS, waivers=[waiver()])
    assert plain.evidence_digest != waived.evidence_digest
    ticks = iter(range(100))
    timed_checks = tuple(timed(lambda: float(next(ticks)), {}, CHECKS))
    assert [check.duration_ms for check in timed_checks] == [1000.0, 1000.0, 1000.0]
    assert judge(timed_checks).to_bytes() == plain.to_bytes()
    assert judge(timed_checks).to_dict() != plain.to_dict()
    again = tuple(CheckResult.from_dict(check) for check in waived.to_dict()["checks"])
    assert judge(again, waivers=[waiver()]).to_bytes() == waived.to_bytes()


def test_a_missing_check_cannot_be_waived() -> None:
    assert judge(CHECKS[:1], ("leak",), [waiver("leakage")]).verdict == HOLD


def test_the_newest_waiver_of_a_check_counts_until_it_expires() -> None:
    first, second = waiver(), waiver(reason="still", expires_at=NOW + 2 * WEEK)
    entries = [entry(1, first.to_dict()), entry(2, {"reason": "x"}, "staging.refuse"), entry(3, second.to_dict())]
    assert waivers_in(entries, NOW) == (second,)
    assert waivers_in(entries[:2], NOW + WEEK) == ()
    assert waivers_in(entries, NOW + WEEK + timedelta(seconds=1)) == (second,)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": " "}, "without a name"),
        ({"reason": ""}, "without a reason"),
        ({"expires_at": NOW}, "already expired"),
        *(({"check": name}, "cannot be waived") for name in NEVER),
    ],
)
def test_a_waiver_without_name_reason_or_future_or_of_a_vital_check_is_refused(changes: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        waiver(**changes)
