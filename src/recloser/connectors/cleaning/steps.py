"""Owns the quality steps: each looks at one reading and the point's history and says which bit it earns and why.

Pure. No step changes a number: what is doubtful is marked, and the reading as it came stays beside the reason.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from recloser.connectors.points import Point, PointQuality, PointReading, has_any

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
LAGS, NUMBERS = 5, 20  # of how many readings a shift of whole hours and a unit are judged
LEAST_PERIOD, ROUNDS, LEAST_REPEATED = 3, 2, 30  # numbers of a cycle; times it comes again; readings that repeat
LONGEST_PERIOD = 120
CLOSE = 10.0  # times a number of the latest, within which it is of their size
TIME_INVALID, JUMP = int(PointQuality.TIME_INVALID), int(PointQuality.JUMP)
NOT_OF_THE_PLANT = int(PointQuality.OUT_OF_LIMITS | PointQuality.UNIT_SUSPECT)


@dataclass(frozen=True, slots=True)
class CleaningRules:
    """What holds for all points of a device; limits of single points stand in the registry.

    Attributes:
        ahead_s: a source's clock may be ahead of ours by this.
        shift_within_s: five readings in a row whose age is a whole number of hours but for this are a clock shifted by
            hours; 0 looks for none (a device that sends late on purpose).
        confirmed_by: so many readings at a new level make a jump a change.
        unit_check: look for factors of a thousand.
        cycle_check: look for numbers that go round and round, exactly.
    """

    ahead_s: float = 60.0
    shift_within_s: float = 30.0
    confirmed_by: int = 3
    unit_check: bool = True
    cycle_check: bool = True


@dataclass(slots=True)
class History:
    """What is remembered of a point between its readings; changed by the cleaner only.

    Attributes:
        last: number and time (ns) of the latest usable reading that was no jump.
        level: readings in a row at another level than `last`, newest last.
        same_since_ns: since when the number is what it is.
        same: that number.
        lags_ns: ages of the latest readings at arrival.
        numbers: the latest usable ones.
        seen: the latest places of three numbers in a row; count: of numbers so far.
        period, repeated: how long ago the same three came last, and for how many readings in a row it was so long ago.
    """

    last: tuple[float, int] | None = None
    level: list[tuple[float, int]] = field(default_factory=list)
    same: float | None = None
    same_since_ns: int = 0
    lags_ns: deque[int] = field(default_factory=lambda: deque(maxlen=LAGS))
    numbers: deque[float] = field(default_factory=lambda: deque(maxlen=NUMBERS))
    seen: OrderedDict[tuple[float, float, float], int] = field(default_factory=OrderedDict)
    count: int = 0
    period: int = 0
    repeated: int = 0


Finding = tuple[PointQuality, str] | None
Step = Callable[[PointReading, Point, History, CleaningRules], Finding]


def clock(reading: PointReading, _point: Point, history: History, rules: CleaningRules) -> Finding:
    """A clock that is ahead, or shifted by whole hours, does not tell the time of a value."""
    if reading.source_ns is None or has_any(reading.quality, TIME_INVALID):
        return None
    lag = reading.receive_ns - reading.source_ns
    if abs(lag) < HOUR_NS // 2 and -lag <= rules.ahead_s * SECOND_NS:
        return None
    within = int(rules.shift_within_s * SECOND_NS)
    hours = [round(past / HOUR_NS) for past in (*history.lags_ns, lag)]
    near = all(
        hour and abs(past - hour * HOUR_NS) <= within for past, hour in zip((*history.lags_ns, lag), hours, strict=True)
    )
    if within and near and len(hours) >= LAGS and len(set(hours)) == 1:
        return PointQuality.CLOCK_SUSPECT, clock_shifted(hours[0])
    if -lag > rules.ahead_s * SECOND_NS:
        return PointQuality.CLOCK_SUSPECT, clock_ahead(lag)
    return None


def limits(reading: PointReading, point: Point, _history: History, _rules: CleaningRules) -> Finding:
    """A number beyond the registry's limits is not the plant's."""
    number = reading.number
    if number is None:
        return None
    below = point.low is not None and number < point.low
    above = point.high is not None and number > point.high
    if not (below or above):
        return None
    return PointQuality.OUT_OF_LIMITS, outside(number, point)


def rate(reading: PointReading, point: Point, history: History, rules: CleaningRules) -> Finding:
    """A change faster than the registry allows is a spike until enough readings stay there."""
    number = reading.number
    if number is None or point.rate_per_s is None or history.last is None or not reading.usable:
        return None
    if not _faster(history.last, (number, reading.at_ns), point.rate_per_s):
        return None
    together = [*history.level, (number, reading.at_ns)]
    if len(together) >= rules.confirmed_by:
        return None
    return PointQuality.JUMP, jumped(history.last[0], number, point)


def stuck(reading: PointReading, point: Point, history: History, _rules: CleaningRules) -> Finding:
    """A number that never changes although readings come is a frozen one, where the registry says so."""
    if point.stuck_after_s is None or reading.number is None or reading.number != history.same:
        return None
    age_s = (reading.at_ns - history.same_since_ns) / SECOND_NS
    if age_s < point.stuck_after_s:
        return None
    return PointQuality.UNCHANGED, frozen(reading.number, age_s)


def unit(reading: PointReading, _point: Point, history: History, rules: CleaningRules) -> Finding:
    """A number about a thousand times the usual, or a thousandth, is one in another unit.

    It is also far from each of the latest twenty: a number that crosses zero has a usual size of nearly nothing.
    """
    if not rules.unit_check or reading.number is None or len(history.numbers) < NUMBERS:
        return None
    size, known = abs(reading.number), [abs(number) for number in history.numbers]
    if not (size > max(known) * CLOSE or size < min(known) / CLOSE):
        return None
    usual = abs(median(history.numbers))
    if not usual or not size:
        return None
    ratio = size / usual
    if not (500.0 <= ratio <= 2000.0 or 0.0005 <= ratio <= 0.002):
        return None
    return PointQuality.UNIT_SUSPECT, thousandfold(reading.number, usual)


def cycling(reading: PointReading, _point: Point, history: History, rules: CleaningRules) -> Finding:
    """A measurement that repeats the same numbers in the same order, exactly, is a recording and not the plant."""
    if not rules.cycle_check or reading.number is None or len(history.numbers) < 2:
        return None
    key = history.numbers[-2], history.numbers[-1], reading.number
    period = history.count - history.seen.get(key, history.count)
    if period < LEAST_PERIOD or period != history.period or len(set(history.numbers)) < LEAST_PERIOD:
        return None
    if history.repeated + 1 < max(LEAST_REPEATED, ROUNDS * period):
        return None
    return PointQuality.CYCLING, repeating(period, history.repeated + 1)


def clock_shifted(hours: int) -> str:
    """Return why: whole hours between source and arrival."""
    return f"the clock is {abs(hours)} whole hour(s) {'behind' if hours > 0 else 'ahead'}"


def clock_ahead(lag_ns: int) -> str:
    """Return why: the age at arrival is negative."""
    return f"the clock is {-lag_ns / SECOND_NS:.0f} s ahead"


def outside(number: float, point: Point) -> str:
    """Return why: beyond the limits of the point."""
    return f"{number:g} is outside {point.low} .. {point.high} {point.unit}"


def jumped(last: float, number: float, point: Point) -> str:
    """Return why: faster than the point may change."""
    return f"from {last:g} to {number:g}, faster than {point.rate_per_s:g} a second"


def frozen(number: float, age_s: float) -> str:
    """Return why: the same for so many seconds."""
    return f"{number:g} for {age_s:.0f} s"


def thousandfold(number: float, usual: float) -> str:
    """Return why: a factor of a thousand from the usual."""
    return f"{number:g} where {usual:g} is usual: a factor of a thousand"


def repeating(period: int, repeated: int) -> str:
    """Return why: so many numbers again and again."""
    return f"the same {period} numbers again and again, {repeated} readings so far"


STEPS: tuple[Step, ...] = (clock, limits, rate, stuck, unit, cycling)


def remember(reading: PointReading, point: Point, history: History) -> None:
    """Bring a point's history up to date with a reading that all steps have looked at."""
    if reading.source_ns is not None:
        history.lags_ns.append(reading.receive_ns - reading.source_ns)
    number = reading.number
    if number is None:
        return
    if number != history.same:
        history.same, history.same_since_ns = number, reading.at_ns
    if not reading.usable or has_any(reading.quality, NOT_OF_THE_PLANT):
        return
    here = (number, reading.at_ns)
    if has_any(reading.quality, JUMP):
        alike = history.level and point.rate_per_s and not _faster(history.level[-1], here, point.rate_per_s)
        history.level = [*history.level, here] if alike else [here]
        return
    history.last, history.level = here, []
    _follow_cycle(number, history)
    history.numbers.append(number)


def _follow_cycle(number: float, history: History) -> None:
    """Note when the latest three numbers came in a row before; of so many places as the longest period has."""
    if len(history.numbers) >= 2:
        key = history.numbers[-2], history.numbers[-1], number
        period = history.count - history.seen.get(key, history.count)
        history.repeated = history.repeated + 1 if period and period == history.period else 0
        history.period = period
        history.seen[key] = history.count
        history.seen.move_to_end(key)
        if len(history.seen) > LONGEST_PERIOD:
            history.seen.popitem(last=False)
    history.count += 1


def _faster(before: tuple[float, int], now: tuple[float, int], rate_per_s: float) -> bool:
    passed_s = max(abs(now[1] - before[1]) / SECOND_NS, 1e-3)
    return abs(now[0] - before[0]) > rate_per_s * passed_s
