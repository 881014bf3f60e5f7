"""Owns the safety checks of a model's answers. Draws no verdict; knows no model but by `predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from recloser.staging.policy import GatePolicy
from recloser.staging.safety.answers import Predict, SafetyProbe, check_answers, check_ramp, check_repeat
from recloser.staging.safety.odd import check_fuzz, check_odd
from recloser.staging.safety.scenarios import check_days, check_weather
from recloser.staging.verdict import CheckResult, timed

__all__ = ["SafetyProbe", "check_safety"]


def check_safety(
    predict: Predict,
    probe: SafetyProbe,
    policy: GatePolicy,
    timer: Callable[[], float] | None = None,
    evidence: Mapping[str, str] | None = None,
) -> tuple[CheckResult, ...]:
    """Check answers to ordinary rows, in extreme weather and on special days, then to missing and fuzzed ones.

    Ordinary rows: finite, ascending quantiles, within limits, ramps within bounds, equal when asked again and when
    asked in parts. Odd and fuzzed rows: a finite answer within limits, all levels NaN ("no answer"), or an explicit
    error (RecloserError); anything else refuses.

    Args:
        predict: the model.
        probe: rows to try.
        policy: thresholds.
        timer: monotonic seconds, for the checks' durations; None for none.
        evidence: what it rests on, name -> SHA-256.
    """
    return tuple(timed(timer, evidence or {}, _each(predict, probe, policy)))


def _each(predict: Predict, probe: SafetyProbe, policy: GatePolicy) -> Iterator[CheckResult]:
    sound, answers = check_answers(predict, probe, policy)
    yield sound
    if answers is None:
        return
    yield check_ramp(answers, probe.rows, probe, policy)
    yield check_repeat(predict, answers, probe)
    yield check_weather(predict, answers, probe, policy)
    if probe.days:
        yield check_days(predict, probe, policy)
    yield check_odd(predict, probe, policy)
    yield check_fuzz(predict, probe, policy)
