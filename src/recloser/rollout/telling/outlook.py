"""Owns where the evidence leads if the days go on as they went so far. A projection for people; it decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from recloser.core import FloatArray
from recloser.rollout.evidence import Evidence
from recloser.rollout.gates import promoted_days, worse_level, worse_wealth
from recloser.rollout.paired.betting import wealth_good
from recloser.rollout.paired.pairing import informative
from recloser.rollout.rollout import Rollout

LONGEST_DAYS = 366
"""Further ahead nobody is told a day."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """A wealth, what it must reach, and when it will at the present rate.

    Attributes:
        wealth: now; of 'worse' the most so far. 1 without a day.
        needed: the wealth that decides.
        days: informative days it rests on.
        more_days: further days like those so far until it is reached; 0 reached, None not within a year or unknown.
        about: the day on which that would be (aware UTC); None like `more_days`.
    """

    wealth: float
    needed: float
    days: int
    more_days: int | None = None
    about: datetime | None = None

    @property
    def factor(self) -> float:
        """By how many times the wealth must still grow; 1 when it is reached."""
        return max(1.0, self.needed / self.wealth) if self.wealth > 0.0 else float("inf")

    def rate(self) -> str:
        """Return the projection in plain words."""
        if self.days == 0:
            return "no paired day yet"
        if self.more_days == 0:
            return "reached"
        if self.more_days is None or self.about is None:
            return f"at the rate of the {_days(self.days)} so far not within a year"
        return (
            f"at the rate of the {_days(self.days)} so far in about {_days(self.more_days)}, on {self.about:%Y-%m-%d}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        about = None if self.about is None else f"{self.about:%Y-%m-%d}"
        told = {"wealth": self.wealth, "needed": self.needed, "days": self.days}
        return {**told, "more_days": self.more_days, "about": about}


def good_outlook(rollout: Rollout, evidence: Evidence, now: datetime) -> Outlook:
    """Return when the strict test shows that the release is less than its margin worse, days going on as they went."""
    needed = 1.0 / rollout.plan.alpha
    differences, scale = _usable(rollout, evidence)
    if scale is None:
        return Outlook(1.0, needed, int(differences.size))
    path = wealth_good(_gone_on(differences), scale, rollout.plan.margin)
    return _read(path, float(path[differences.size - 1]), needed, differences.size, now)


def worse_outlook(rollout: Rollout, evidence: Evidence, now: datetime) -> Outlook:
    """Return when the strict test shows that the release is worse, days going on as they went."""
    needed = 1.0 / worse_level(rollout)
    differences, scale = _usable(rollout, evidence)
    if scale is None:
        return Outlook(1.0, needed, int(differences.size))
    path = worse_wealth(rollout, _gone_on(differences), scale)
    return _read(path, float(path[: differences.size].max()), needed, differences.size, now)


def _usable(rollout: Rollout, evidence: Evidence) -> tuple[FloatArray, float | None]:
    differences = informative(promoted_days(rollout, evidence))
    scale = rollout.scale
    fit = differences.size > 0 and scale is not None and 0.0 < scale < float("inf")
    return differences, scale if fit else None


def _gone_on(differences: FloatArray) -> FloatArray:
    return np.resize(differences, differences.size + LONGEST_DAYS)


def _read(path: FloatArray, wealth: float, needed: float, days: int, now: datetime) -> Outlook:
    if wealth >= needed:
        return Outlook(wealth, needed, days, 0, now)
    reached = np.flatnonzero(path[days:] >= needed)
    if not reached.size:
        return Outlook(wealth, needed, days)
    more = int(reached[0]) + 1
    return Outlook(wealth, needed, days, more, now + timedelta(days=more))


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
