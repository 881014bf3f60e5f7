"""Owns the way a detector is run over days, the same for ours and for peers. Needs numpy alone: peers import it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

WEEK = 7
SUNDAY = 3  # of a day's number: 1970-01-01 was a Thursday
DEAD_DAYS = 28  # alarms this soon after one are the same episode
Array = np.ndarray


class Runner(Protocol):
    """A detector that has seen its history: one call per day, True on an alarm, after which it starts afresh."""

    def __call__(self, number: int, hours: Array) -> bool:
        """Count a day: its number since 1970-01-01 and its 24 errors."""
        ...

    def fork(self, lived: Days) -> Runner:
        """Return a runner that has seen the same days and goes on with the later ones of `lived`; this one stays."""
        ...


@dataclass(frozen=True)
class Days:
    """A stretch of days.

    Attributes:
        numbers: days since 1970-01-01, shape (n,).
        hours: signed errors, shape (n, 24).
        off, special: kinds of day, shape (n,).
    """

    numbers: Array
    hours: Array
    off: Array
    special: Array

    def cut(self, first: int, last: int) -> Days:
        return Days(self.numbers[first:last], self.hours[first:last], self.off[first:last], self.special[first:last])

    def with_hours(self, hours: Array) -> Days:
        return Days(self.numbers, hours, self.off, self.special)


@dataclass(frozen=True)
class Unit:
    """One series-year.

    Attributes:
        name: series and year.
        kind: operator, champion, reference, or one of these with 'pooled ' before.
        real: measured load.
        forward: True if its history is earlier than the year; else it only serves to tune.
        history, lived: days.
        windows: (kind of change, days around an onset, place of the onset).
    """

    name: str
    kind: str
    real: bool
    forward: bool
    history: Days
    lived: Days
    windows: list[tuple[str, Days, int]]


# (history, strictness) -> something that makes fresh runners.
Method = Callable[[Days, float], Callable[[Days], Runner]]


@dataclass
class Looking:
    """A runner that looks at the last seven days on some days.

    Attributes:
        alarms: the days' known hours, in one piece -> whether they raise an alarm.
        looks: number of a day -> whether it looks at its end.
        kept: number of a day -> its hours, the last seven.
        begun: first day seen.
    """

    alarms: Callable[[Array], bool]
    looks: Callable[[int], bool]
    kept: dict[int, Array] = field(default_factory=dict)
    begun: int | None = None

    def __call__(self, number: int, hours: Array) -> bool:
        self.begun = number if self.begun is None else self.begun
        self.kept[number] = hours
        self.kept.pop(number - WEEK, None)
        if number - self.begun < WEEK - 1 or not self.looks(number):
            return False
        now = np.concatenate([own for day, own in self.kept.items() if day > number - WEEK])
        now = now[np.isfinite(now)]
        return len(now) > 24 and self.alarms(now)

    def fork(self, lived: Days) -> Looking:
        del lived
        return replace(self, kept=dict(self.kept))


def by_week(alarms: Callable[[Array], bool]) -> Looking:
    """Return a runner that shows each calendar week's known hours to `alarms`, on its Sunday, in one piece.

    Onsets lie 53 days apart and so on all weekdays: a look at weeks counted from a window's first day would fall on
    the same day after every onset. A first week that is not whole, and a day or less of hours, is shown to nobody.
    """
    return Looking(alarms, lambda number: number % WEEK == SUNDAY)


def by_day(alarms: Callable[[Array], bool]) -> Looking:
    """Return a runner that shows the last seven days' known hours to `alarms` on every day."""
    return Looking(alarms, lambda _: True)


def false_alarms(make: Callable[[Days], Runner], lived: Days) -> int:
    """Return the alarms of a lived year, those within four weeks of one not counted again.

    What the last fortnight of these weeks showed is then the new normal, taken off what follows, and the detector
    begins afresh. A runner with the attribute `rebases` sees to that itself.
    """
    count, dead, offset = 0, -1, np.zeros(24)
    runner = make(lived)
    rebases = getattr(runner, "rebases", False)
    for k, (number, hours) in enumerate(zip(lived.numbers, lived.hours, strict=True)):
        if k == dead and not rebases:
            recent = lived.hours[k - DEAD_DAYS // 2 : k]
            known = np.isfinite(recent).sum(axis=0)
            offset = np.where(known > 3, np.nansum(recent, axis=0) / np.maximum(known, 1), offset)
            runner = make(lived)
        if runner(int(number), hours - offset) and k >= dead:
            count += 1
            dead = k + DEAD_DAYS
    return count


def delays(make: Callable[[Days], Runner], windows: list[tuple[str, Days, int]]) -> dict[str, list[float]]:
    """Return the delays of each kind of change; windows alike up to their onset share what is run before it."""
    found: dict[str, list[float]] = {}
    before: tuple[Days, int, Runner] | None = None
    for kind, days, onset in windows:
        if before is None or not _alike(before, days, onset):
            runner = make(days)
            for number, hours in zip(days.numbers[:onset], days.hours[:onset], strict=True):
                runner(int(number), hours)
            before = (days, onset, runner)
        found.setdefault(kind, []).append(delay(before[2].fork(days), days, onset))
    return found


def _alike(before: tuple[Days, int, Runner], days: Days, onset: int) -> bool:
    own = before[0]
    return (
        before[1] == onset
        and np.array_equal(own.numbers[:onset], days.numbers[:onset])
        and np.array_equal(own.hours[:onset], days.hours[:onset], equal_nan=True)
    )


def delay(runner: Runner, window: Days, onset: int) -> float:
    """Return days from the onset's morning to the end of the day of the first alarm; inf without one.

    Args:
        runner: has seen the window up to its onset.
        window: days.
        onset: place of the first changed day.
    """
    for k in range(onset, len(window.numbers)):
        if runner(int(window.numbers[k]), window.hours[k]):
            return float(k - onset + 1)
    return float("inf")


def pace(method: Method, days: int = 2000, learnt: int = 400) -> float:
    """Return hourly rows a second of one core that a method takes in, by CPU time; learning is not counted."""
    rng = np.random.default_rng(1)
    numbers = np.arange(14610, 14610 + days)
    wander = rng.standard_normal(days)
    for k in range(1, days):
        wander[k] = 0.6 * wander[k - 1] + 0.8 * wander[k]
    hours = 0.02 * wander[:, None] + 0.01 * rng.standard_normal((days, 24))
    kinds = (numbers + 3) % 7 >= 5
    every = Days(numbers, hours, kinds, np.zeros(days, dtype=bool))
    runner = method(every.cut(0, learnt), 1.0)(every.cut(learnt, days))
    begun = time.process_time()
    for number, row in zip(numbers[learnt:], hours[learnt:], strict=True):
        runner(int(number), row)
    return 24 * (days - learnt) / (time.process_time() - begun)
