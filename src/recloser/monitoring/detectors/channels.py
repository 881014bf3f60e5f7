"""Owns our detector: CUSUMs on level, scale, shape by block of day and slow erosion, under one false-alarm budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np

from recloser.core import FloatArray, InvalidInput
from recloser.monitoring.detectors.budget import Resampling, Tail, drawn_years, tail_of, yearly_tops
from recloser.monitoring.detectors.day import DayErrors
from recloser.monitoring.detectors.detector import Change
from recloser.monitoring.detectors.history import believed
from recloser.monitoring.detectors.normal import LEVEL, RAW, SCALE, SHAPE, Normal, fit_normal
from recloser.monitoring.detectors.recent import Recent


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that share a slack and a part of the budget.

    Attributes:
        name: what a Change of it is called.
        columns: raw channels (0 level, 1 scale, 2 to 9 the block contrasts).
        slack: daily allowance in standard deviations; half the shift that is to be found soonest.
        clip: largest daily value in standard deviations.
        share: part of the false-alarm budget.
        safety: factor on the limit: real errors wander further than a bootstrap of a year or two shows; set on the
            tuning years alone (docs/benchmarks.md).
        rising: True if only growth counts.
        follows: measured from the recent level in recent spreads; else from the history's, so that slow change shows.
    """

    name: str
    columns: tuple[int, ...]
    slack: float
    clip: float
    share: float
    safety: float = 1.0
    rising: bool = False
    follows: bool = True


# The middle of the day is where solar panels behind the meter eat load: blocks 09-12 and 12-15.
GROUPS = (
    Group("level", (LEVEL,), 1.0, 4.0, 0.70),
    Group("scale", (SCALE,), 1.0, 3.0, 0.05, safety=1.1, rising=True),
    Group("shape", tuple(range(SHAPE, RAW)), 1.0, 3.0, 0.22, safety=1.1),
    Group("slow", (SHAPE + 3, SHAPE + 4), 0.5, 1.5, 0.03, safety=1.4, follows=False),
)
LEVEL_ONLY = (Group("level", (LEVEL,), 1.0, 4.0, 1.0, follows=False),)
WIDEST = 6.0
BEHIND = 0.5  # of its limit: so much evidence makes another channel the cause
SPECIAL_GAIN = 0.25  # what a holiday may add to a sum: its errors are large and say little


@dataclass(frozen=True, slots=True)
class ChannelDetector:
    """Two-sided CUSUMs per channel (Page 1954) on standardised daily errors, limits by block bootstrap of the history.

    Assumption: the history is free of drift and typical of what follows. Nominal guarantees failed on real
    residuals, so the real false alarms are counted too (docs/benchmarks.md).

    Attributes:
        alarms_per_year: budget of false alarms of one series over all channels.
        groups: channels and their parts of it.
        resampling: of the calibration.
        strictness: factor on all limits; 1 unless a benchmark sweeps it.
        name: as written in records.
    """

    alarms_per_year: float = 1.0
    groups: tuple[Group, ...] = GROUPS
    resampling: Resampling = field(default_factory=Resampling)
    strictness: float = 1.0
    name: str = "channels"

    def fit(self, history: Sequence[DayErrors]) -> ChannelMonitor:
        """Return a monitor that has learnt from days believed free of drift, oldest first.

        Raises:
            InvalidInput: fewer than 56 days.
        """
        history = believed(history)
        normal = fit_normal(history, WIDEST)
        raw = np.stack([normal.standardised(day) for day in history])
        followed, recent = np.empty_like(raw), Recent()
        for place, z in enumerate(raw):
            recent, followed[place] = recent.counted(z)
        tails = []
        for group in self.groups:
            scores = (followed if group.follows else raw)[:, list(group.columns)]
            kinds = drawn_years(scores, self.resampling, follows=group.follows)
            tops = [yearly_tops(years, group.slack, group.clip, rising=group.rising) for years in kinds]
            # The higher one of the two at every level: neither alone keeps the budget on real residuals.
            tails.append(tail_of(np.maximum(np.sort(tops[0]), np.sort(tops[1]))))
        return ChannelMonitor(self, _plan(self, tails), normal, tuple(tails), recent)

    def load(self, data: Mapping[str, Any]) -> ChannelMonitor:
        """Return the monitor whose `to_dict` gave the data.

        Raises:
            InvalidInput: the data are not those of a monitor of these channels.
        """
        try:
            tails = [Tail(tuple(float(top) for top in tops)) for tops in data["tails"]]
            normal, recent = Normal.from_dict(data["normal"]), Recent.from_dict(data["recent"])
            fresh = ChannelMonitor(self, _plan(self, tails), normal, tuple(tails), recent)
            sums = np.asarray(data["sums"], dtype=float)
            since = tuple(None if text is None else date.fromisoformat(text) for text in data["since"])
            last = None if data["last_day"] is None else date.fromisoformat(data["last_day"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InvalidInput("unreadable monitor", got=repr(error), where=self.name) from error
        if len(tails) != len(self.groups) or sums.shape != fresh.sums.shape or len(since) != sums.size:
            raise InvalidInput("a monitor of other channels", got=sums.shape, expected=str(fresh.sums.shape))
        return replace(fresh, sums=sums, since=since, last_day=last)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The detector's groups laid out column by column; the two sides stand one after the other.

    Attributes:
        column: channel of each entry, shape (n,): the ten raw ones, then the ten that follow.
        sign, slack, clip, limit: per entry.
        group: number of the group of each entry.
    """

    column: FloatArray
    sign: FloatArray
    slack: FloatArray
    clip: FloatArray
    limit: FloatArray
    group: FloatArray


def _plan(detector: ChannelDetector, tails: Sequence[Tail]) -> _Plan:
    rows = []
    for number, (group, tail) in enumerate(zip(detector.groups, tails, strict=True)):
        top = group.safety * detector.strictness * tail.limit(detector.alarms_per_year * group.share)
        for sign in (1.0,) if group.rising else (1.0, -1.0):
            first = RAW if group.follows else 0
            rows += [(first + column, sign, group.slack, group.clip, top, number) for column in group.columns]
    column, sign, slack, clip, limit, group_of = np.array(rows).T
    return _Plan(column.astype(np.intp), sign, slack, clip, np.maximum(limit, 1e-6), group_of.astype(np.intp))


@dataclass(frozen=True, slots=True, eq=False)
class ChannelMonitor:
    """The detector on one series between two days.

    Attributes:
        detector: what made it.
        plan: its channels laid out.
        normal: what the series looks like.
        tails: per group, how far quiet years get.
        recent: level and spread of late.
        sums: one per channel and side, shape (n,).
        since: day on which each sum last left zero.
        last_day: newest day counted.
    """

    detector: ChannelDetector
    plan: _Plan
    normal: Normal
    tails: tuple[Tail, ...]
    recent: Recent
    sums: FloatArray = field(default_factory=lambda: np.zeros(0))
    since: tuple[date | None, ...] = ()
    last_day: date | None = None

    def __post_init__(self) -> None:
        if not len(self.sums):
            object.__setattr__(self, "sums", np.zeros(len(self.plan.column)))
            object.__setattr__(self, "since", (None,) * len(self.plan.column))

    def step(self, day: DayErrors) -> tuple[ChannelMonitor, Change | None]:
        """Count one day; return the next monitor and a Change if this day raised one."""
        if self.last_day is not None and day.day <= self.last_day:
            return self, None
        plan = self.plan
        raw = self.normal.standardised(day)
        recent, followed = self.recent.counted(raw)
        z = plan.sign * np.concatenate([raw - self.recent.normal(), followed])[plan.column]
        clip = plan.slack + SPECIAL_GAIN if day.special else plan.clip
        z = np.minimum(np.maximum(z, -plan.clip), clip) - plan.slack
        judged = np.isfinite(z) & (self.recent.learning == 0)
        sums = np.where(judged, np.maximum(0.0, self.sums + z), self.sums)
        since = tuple(
            None if value == 0.0 else (old or day.day) for value, old in zip(sums.tolist(), self.since, strict=True)
        )
        ratio = sums / plan.limit
        worst = int(ratio.argmax())
        if ratio[worst] <= 1.0:
            return replace(self, recent=recent, sums=sums, since=since, last_day=day.day), None
        nothing = np.zeros(len(sums))
        worst = self._cause(worst, ratio)
        fresh = replace(self, recent=recent.moved(), sums=nothing, since=(None,) * len(sums), last_day=day.day)
        spread = self.normal.level_spread(day)
        return fresh, self._change(worst, sums, since[worst] or day.day, (day.day, spread))

    def _cause(self, worst: int, ratio: FloatArray) -> int:
        """Return the entry that a change is named after.

        More or less of the same load has another shape in MW, and a new level or shape brings larger errors with it: of
        what has much of its limit, the level goes first, then the shape, then the size of the errors.
        """
        groups = [self.detector.groups[int(number)] for number in self.plan.group]
        level = np.where([group.columns == (LEVEL,) for group in groups], ratio, 0.0)
        if level.max() >= BEHIND:
            return int(level.argmax())
        if not groups[worst].rising:
            return worst
        others = np.where([group.rising for group in groups], 0.0, ratio)
        return int(others.argmax()) if others.max() >= BEHIND else worst

    def _change(self, worst: int, sums: FloatArray, since: date, newest: tuple[date, float]) -> Change:
        """Return the Change of an entry; `newest` is the newest day and one standard deviation of its level."""
        plan = self.plan
        group = self.detector.groups[int(plan.group[worst])]
        day, spread = newest
        days = (day - since).days + 1
        size = float("nan")
        if int(plan.column[worst]) % RAW == LEVEL:
            size = float(plan.sign[worst] * (sums[worst] / days + group.slack) * spread)
        direction = "above" if plan.sign[worst] > 0 else "below"
        return Change(day, since, group.name, direction, float(sums[worst] / plan.limit[worst]), size)

    @property
    def surprise(self) -> float:
        """Return the share of quiet years that ever get as far as this in any channel, at most 1."""
        chances = [1.0]
        for number, (group, tail) in enumerate(zip(self.detector.groups, self.tails, strict=True)):
            reached = float(self.sums[self.plan.group == number].max()) / (group.safety * self.detector.strictness)
            chances.append(tail.chance(reached) / group.share)
        return min(chances)

    def declared(self) -> tuple[ChannelMonitor, Change | None]:
        """Call the change that the evidence so far points to and start afresh; None without any evidence."""
        ratio = self.sums / self.plan.limit
        worst = self._cause(int(ratio.argmax()), ratio)
        since = self.since[worst]
        if self.last_day is None or since is None:
            return self, None
        nothing = (np.zeros(len(self.sums)), (None,) * len(self.sums))
        fresh = replace(self, recent=self.recent.moved(), sums=nothing[0], since=nothing[1])
        return fresh, self._change(worst, self.sums, since, (self.last_day, float(self.normal.spread[0, LEVEL])))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "normal": self.normal.to_dict(),
            "recent": self.recent.to_dict(),
            "tails": [list(tail.tops) for tail in self.tails],
            "sums": self.sums.tolist(),
            "since": [None if day is None else day.isoformat() for day in self.since],
            "last_day": None if self.last_day is None else self.last_day.isoformat(),
        }


def seasonal_cusum(alarms_per_year: float = 1.0, strictness: float = 1.0) -> ChannelDetector:
    """Return the plain seasonal CUSUM on the signed daily mean, the baseline to beat."""
    return ChannelDetector(alarms_per_year, LEVEL_ONLY, strictness=strictness, name="seasonal_cusum")
