"""Owns paired days: how two models' losses on the same points become one closed daily number. Reads no store."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np

from recloser.core import FloatArray, InvalidInput, require_utc
from recloser.core.scores import JointScale, RatioScale, ramp_error, usable
from recloser.ledger import PairedDayRecord
from recloser.rollout.paired.losses import Loss


@dataclass(frozen=True, slots=True)
class PairedDay:
    """One closed local day: how much worse the candidate was than its reference, pooled over areas.

    Attributes:
        day: the local day the points are about.
        difference: mean over areas of (candidate loss - champion loss) / area scale, no unit; positive = worse.
            With the champion's mean staging loss as scale, 0.05 means 5 % worse than the champion.
        n: points that entered; 0 means the day closed without any and says nothing.
        closed_at: when it was closed (aware UTC); nothing that arrives later changes it.
        facts: areas used and left out, JSON-ready.

    Raises:
        InvalidInput: the difference is not a finite number, or n is negative.
    """

    day: date
    difference: float
    n: int
    closed_at: datetime
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.difference) or self.n < 0:
            raise InvalidInput(
                "a paired day without a number", got=[self.difference, self.n], where=f"paired day {self.day}"
            )


@dataclass(frozen=True, slots=True)
class AreaDay:
    """One area's points of one local day.

    Attributes:
        area: name.
        scale: loss that counts as one: the champion's mean loss of the area in staging, in the unit of the loss, > 0.
        truth: MW, or 0 and 1 for a detector, shape (n_points,), NaN where the label is missing or not usable.
        candidate: MW, shape (n_points, n_quantiles); of a detector probabilities, shape (n_points, 1).
        champion: the same.
    """

    area: str
    scale: float
    truth: FloatArray
    candidate: FloatArray
    champion: FloatArray


@dataclass(frozen=True, slots=True)
class DayRule:
    """When a day closes: each area has `label_share` of its points, or `deadline` (aware UTC) has come.

    `ratio`, where staging gave one, puts the day's log ratio of losses, less its offset, among the day's facts; `joint`
    the same mixed with the log ratio of ramp errors.
    """

    label_share: float
    deadline: datetime
    ratio: RatioScale | None = None
    joint: JointScale | None = None


def area_losses(points: AreaDay, loss: Loss) -> tuple[float, float, int]:
    """Return both mean losses over the scale, candidate first, and the points used; one missing leaves both arms.

    Args:
        points: one area's day.
        loss: per point, in the unit of the area's scale.

    Raises:
        InvalidInput: the scale is not a positive number.
    """
    if not (math.isfinite(points.scale) and points.scale > 0):
        raise InvalidInput("the scale of a paired day", got=points.scale, expected="> 0", where=points.area)
    rows = usable(points.truth, points.candidate) & usable(points.truth, points.champion)
    count = int(rows.sum())
    if count == 0:
        return 0.0, 0.0, 0
    truth = points.truth[rows]
    mine, theirs = loss(truth, points.candidate[rows]), loss(truth, points.champion[rows])
    return float(np.mean(mine)) / points.scale, float(np.mean(theirs)) / points.scale, count


def area_difference(points: AreaDay, loss: Loss) -> tuple[float, int]:
    """Return (candidate's mean loss - champion's) over the scale and the points used; arguments as `area_losses`."""
    mine, theirs, count = area_losses(points, loss)
    return mine - theirs, count


def close_day(day: date, areas: Sequence[AreaDay], loss: Loss, rule: DayRule, now: datetime) -> PairedDay | None:
    """Close the day if it may be closed, else return None.

    It closes when every area has its share of labels, or at the deadline with the areas that have; areas below the
    share are left out and named. A day without any area closes as n = 0, so that late labels never reopen it.
    One area, one vote: the pooled difference is the mean over areas.

    Args:
        day: local day.
        areas: points per area.
        loss: what one point costs; see `losses`.
        rule: when a day closes.
        now: aware UTC.
    """
    due = require_utc(now, "close_day") >= rule.deadline
    losses: dict[str, tuple[float, float]] = {}
    left_out: list[str] = []
    points = 0
    for area in sorted(areas, key=lambda item: item.area):
        mine, theirs, count = area_losses(area, loss)
        if count and count >= math.ceil(rule.label_share * area.truth.shape[0]):
            losses[area.area] = (mine, theirs)
            points += count
        else:
            left_out.append(area.area)
    if not due and (left_out or not areas):
        return None
    differences = {area: mine - theirs for area, (mine, theirs) in losses.items()}
    pooled = sum(differences.values()) / len(differences) if differences else 0.0
    facts = {"areas": differences, "left_out": left_out, "closed_by": "deadline" if left_out else "labels"}
    used = sorted((area for area in areas if area.area in losses), key=lambda item: item.area)
    facts |= _ratios(list(losses.values()), used, rule)
    return PairedDay(day=day, difference=pooled, n=points, closed_at=now, facts=facts)


def _ratios(losses: list[tuple[float, float]], areas: Sequence[AreaDay], rule: DayRule) -> dict[str, dict[str, float]]:
    """Return the day's numbers for the fast tests, each with what staging says of its noise; without those it lacks."""
    mine, theirs = sum(pair[0] for pair in losses), sum(pair[1] for pair in losses)
    if not (mine > 0 and theirs > 0):
        return {}
    result: dict[str, dict[str, float]] = {}
    ratio = math.log(mine / theirs)
    if rule.ratio is not None:
        x = ratio - rule.ratio.offset
        result["ratio"] = {"x": x, "sd": rule.ratio.sd, "offset_sd": rule.ratio.offset_sd}
    if rule.joint is not None:
        ours, other = (sum(pair[side] for pair in map(area_ramps, areas)) for side in (0, 1))
        if math.isfinite(ours + other) and min(ours, other) > 0.0:
            x = rule.joint.mixed(ratio, math.log(ours / other))
            result["joint"] = {"x": x, "sd": rule.joint.sd, "offset_sd": rule.joint.offset_sd}
    return result


def area_ramps(points: AreaDay) -> tuple[float, float]:
    """Return both ramp errors of the medians over the scale, candidate first; NaN where no hour has both ends."""
    rows = usable(points.truth, points.candidate) & usable(points.truth, points.champion)
    truth, middle = np.where(rows, points.truth, np.nan), points.candidate.shape[1] // 2
    mine, theirs = (ramp_error(truth, answer[:, middle]) for answer in (points.candidate, points.champion))
    return mine / points.scale, theirs / points.scale


def merge_days(stored: Iterable[PairedDay], offered: Iterable[PairedDay]) -> tuple[PairedDay, ...]:
    """Return all days in order; a stored day always wins: late labels never change a past decision."""
    days = {item.day: item for item in offered}
    days.update({item.day: item for item in stored})
    return tuple(days[day] for day in sorted(days))


def informative(days: Iterable[PairedDay]) -> FloatArray:
    """Return the differences of the days that say something (n > 0), in day order, shape (n_days,)."""
    return np.array([item.difference for item in sorted(days, key=lambda d: d.day) if item.n > 0], dtype=np.float64)


def day_to_record(rollout: str, item: PairedDay) -> PairedDayRecord:
    """Return the ledger's record of a closed day of that rollout."""
    day = item.day.isoformat()
    return PairedDayRecord(f"{rollout}/{day}", rollout, day, item.difference, item.n, item.closed_at, item.facts)


def day_from_record(record: PairedDayRecord) -> PairedDay:
    """Return the paired day written by `day_to_record`."""
    return PairedDay(date.fromisoformat(record.day), record.difference, record.n, record.closed_at, record.facts)
