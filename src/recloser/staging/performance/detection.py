"""Owns the judgement of a detector of rare events on windows nobody learned from. Knows no model and no phasor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recloser.core import FloatArray, InvalidInput
from recloser.staging.performance.comparison import percent, relative_bounds
from recloser.staging.performance.holdout import paired_days
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult


@dataclass(frozen=True, slots=True)
class DetectionNeed:
    """What a detector must do at the least.

    Attributes:
        threshold: probability from which it says that an event is there.
        recall: share of the windows of each class that it must name.
        false_per_hour: wrong windows of all classes that an hour without that event may have.
        least_windows: windows of a class below which nothing is said about it.
    """

    threshold: float = 0.5
    recall: float = 0.8
    false_per_hour: float = 6.0
    least_windows: int = 30


@dataclass(frozen=True, slots=True)
class DetectionHoldOut:
    """Windows with what they show and what models said.

    Attributes:
        classes: names of the columns.
        day: (n,) local day of each window.
        window_step_s: seconds from one window to the next.
        truth: (n, n_classes) 1 where the class is there, 0 where not, NaN where nobody knows.
        candidate: (n, n_classes) probabilities.
        champion: the same, or None.

    Raises:
        InvalidInput: arrays of different shapes.
    """

    classes: tuple[str, ...]
    day: npt.NDArray[np.datetime64]
    window_step_s: float
    truth: FloatArray
    candidate: FloatArray
    champion: FloatArray | None = None

    def __post_init__(self) -> None:
        shape = (len(self.day), len(self.classes))
        others = [self.truth, *([] if self.champion is None else [self.champion])]
        if any(part.shape != shape for part in others) or self.candidate.shape[:1] != shape[:1]:
            raise InvalidInput(
                "windows of different shapes",
                got=[self.truth.shape, self.candidate.shape],
                expected=str(shape),
                where="DetectionHoldOut",
            )


def check_detection(holdout: DetectionHoldOut, need: DetectionNeed, policy: GatePolicy) -> tuple[CheckResult, ...]:
    """Check answers, recall and false alarms of each class, and the Brier score against the champion by paired days."""
    answers = _answers(holdout)
    if answers.verdict != PASS:
        return (answers,)
    return (answers, _recall(holdout, need), _false(holdout, need), _against(holdout, policy))


def _answers(holdout: DetectionHoldOut) -> CheckResult:
    name, found = "performance.output", holdout.candidate
    if found.size == 0:
        return CheckResult(name, REFUSE, "empty output: the candidate answered nothing")
    if found.shape != holdout.truth.shape:
        return CheckResult(name, REFUSE, f"output of shape {found.shape} instead of {holdout.truth.shape}")
    bad = int((~((found >= 0.0) & (found <= 1.0))).any(axis=1).sum())
    numbers = {"windows": len(found), "no_probability": bad}
    if bad:
        return CheckResult(name, REFUSE, f"{bad} of {len(found)} answers are no probabilities", numbers)
    return CheckResult(name, PASS, f"{len(found)} windows answered", numbers)


def _recall(holdout: DetectionHoldOut, need: DetectionNeed) -> CheckResult:
    name, thresholds = "performance.recall", {"recall": need.recall, "threshold": need.threshold}
    numbers: dict[str, Any] = {}
    low, few = [], []
    for index, kind in enumerate(holdout.classes):
        there = holdout.truth[:, index] == 1.0
        count = int(there.sum())
        if count < need.least_windows:
            few.append(kind)
            continue
        share = float((holdout.candidate[there, index] >= need.threshold).mean())
        numbers[kind] = {"windows": count, "recall": share}
        if share < need.recall:
            low.append(f"{kind} {share:.0%}")
    if low:
        reason = f"finds too few windows of {', '.join(low)}; needed {need.recall:.0%}"
        return CheckResult(name, REFUSE, reason, numbers, thresholds)
    if few:
        return CheckResult(name, HOLD, f"too few windows to tell of {', '.join(few)}", numbers, thresholds)
    return CheckResult(
        name, PASS, f"each class found in at least {need.recall:.0%} of its windows", numbers, thresholds
    )


def _false(holdout: DetectionHoldOut, need: DetectionNeed) -> CheckResult:
    name, thresholds = "performance.false_alarms", {"per_hour": need.false_per_hour, "threshold": need.threshold}
    absent = holdout.truth == 0.0
    wrong = absent & (holdout.candidate >= need.threshold)
    hours = float(absent.all(axis=1).sum()) * holdout.window_step_s / 3600.0
    by_class = {kind: int(wrong[:, index].sum()) for index, kind in enumerate(holdout.classes)}
    quiet = wrong[absent.all(axis=1)].any(axis=1)
    numbers: dict[str, Any] = {"quiet_hours": hours, "wrong_windows": by_class, "quiet_wrong": int(quiet.sum())}
    if hours <= 0.0:
        return CheckResult(name, HOLD, "no quiet window to count false alarms on", numbers, thresholds)
    rate = float(quiet.sum()) / hours
    numbers["per_hour"] = rate
    told = f"{rate:.3g} wrong windows an hour over {hours:.3g} quiet hours"
    if rate > need.false_per_hour:
        return CheckResult(name, REFUSE, f"{told}; allowed {need.false_per_hour:g}", numbers, thresholds)
    return CheckResult(name, PASS, told, numbers, thresholds)


def _against(holdout: DetectionHoldOut, policy: GatePolicy) -> CheckResult:
    """Compare Brier scores, summed over classes, by paired days; refuse on the mean, hold on the bound."""
    name = "performance.champion"
    if holdout.champion is None:
        return CheckResult(name, PASS, "no champion yet: recall and false alarms decide")
    mine, theirs = (np.square(side - holdout.truth).sum(axis=1) for side in (holdout.candidate, holdout.champion))
    pairs = paired_days(mine, theirs, holdout.day)
    numbers: dict[str, Any] = {"days": int(pairs.days.size), "windows": int(pairs.rows.sum())}
    thresholds = {"margin": policy.margin, "upper": policy.margin + policy.uncertainty}
    if pairs.days.size < policy.minimum_days:
        return CheckResult(name, HOLD, f"only {pairs.days.size} days to compare with", numbers, thresholds)
    relative = pairs.relative()
    if not np.isfinite(relative):
        return CheckResult(name, REFUSE, "worse than the champion, which made no error at all", numbers, thresholds)
    low, high = relative_bounds(pairs, policy, policy.confidence)
    sd = float(pairs.difference.std(ddof=1)) if pairs.days.size > 1 else float("nan")
    numbers |= {"relative": relative, "lower": low, "upper": high, "sd_day": sd}
    numbers["reference_loss"] = float(pairs.reference.mean())
    told = f"Brier score {percent(relative)} than the champion ({low:+.1%} .. {high:+.1%})"
    if relative > policy.margin:
        return CheckResult(name, REFUSE, f"{told}; allowed {policy.margin:+.1%}", numbers, thresholds)
    if high > thresholds["upper"]:
        return CheckResult(name, HOLD, f"{told}; not yet shown to be within it", numbers, thresholds)
    return CheckResult(name, PASS, told, numbers, thresholds)
