"""Owns regular series out of readings that come when they like: time-weighted means of what held. Reads no store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recloser.connectors.points import PointQuality, sample_quality
from recloser.core import Quality

SECOND_NS = 1_000_000_000
WHOLE = 0.999  # of an interval, from which on it is fully covered


@dataclass(frozen=True, slots=True)
class Trace:
    """The readings of one point, by time.

    Attributes:
        at_ns: ascending, nanoseconds since 1970 UTC, shape (n,).
        number: NaN where there is none, shape (n,).
        quality: bits of PointQuality, shape (n,).
        hold_s: a reading holds until the next one, and for at most so long.
    """

    at_ns: npt.NDArray[np.int64]
    number: npt.NDArray[np.float64]
    quality: npt.NDArray[np.int64]
    hold_s: float


@dataclass(frozen=True, slots=True)
class Intervals:
    """Means over neighbouring intervals: NaN and Quality.MISSING where too little of one was covered."""

    mean: npt.NDArray[np.float64]
    quality: npt.NDArray[np.int32]
    covered: npt.NDArray[np.float64]


def interval_means(trace: Trace, start_ns: int, step_ns: int, count: int, least: float = 0.5) -> Intervals:
    """Return the time-weighted mean of each of `count` intervals of `step_ns` from `start_ns`.

    A reading that may not be used (its bits exclude a sample from training and scoring, or it has no number) ends what
    held before it and holds nothing itself. An interval of which less than `least` is covered is MISSING, with the
    bits of what it lacks; one that is covered in part is ESTIMATED; doubts about what was used are passed on.

    Args:
        trace: readings; those before `start_ns` say what held then.
        start_ns: of the first interval.
        step_ns: length of an interval.
        count: of intervals.
        least: share of an interval.
    """
    edges = (np.arange(count + 1) * step_ns).astype(np.float64) / SECOND_NS
    if not trace.at_ns.size:
        missing = np.full(count, int(Quality.MISSING), dtype=np.int32)
        return Intervals(np.full(count, np.nan), missing, np.zeros(count))
    begins = (trace.at_ns - start_ns) / SECOND_NS
    bits = np.array([_bits(int(quality)) for quality in trace.quality], dtype=np.int64)
    usable = np.isfinite(trace.number) & (bits & int(Quality.UNUSABLE) == 0)
    following = np.append(begins[1:], max(edges[-1], begins[-1]))
    ends = np.minimum(following, begins + trace.hold_s)
    length = np.where(usable, ends - begins, 0.0)
    covered = np.diff(_running(begins, ends, length, edges))
    weight = np.where(usable, trace.number, 0.0)
    total = np.diff(_running(begins, ends, length * weight, edges))
    share = covered / (step_ns / SECOND_NS)
    enough = (share >= least) & (covered > 0)
    mean = np.full(count, np.nan)
    np.divide(total, covered, out=mean, where=enough)
    quality = np.zeros(count, dtype=np.int32)
    for place in range(count):
        over = (begins < edges[place + 1]) & (following > edges[place])
        used = np.bitwise_or.reduce(bits[over & usable], initial=0)
        lacking = np.bitwise_or.reduce(bits[over & ~usable], initial=0)
        if not enough[place]:
            quality[place] = lacking | int(Quality.MISSING)
        else:
            quality[place] = used | (0 if share[place] >= WHOLE else int(Quality.ESTIMATED))
    return Intervals(mean, quality, share)


def _running(
    begins: npt.NDArray[np.float64],
    ends: npt.NDArray[np.float64],
    amounts: npt.NDArray[np.float64],
    at: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return the running sum at some times of amounts that grow evenly from their begin to their end."""
    total = np.cumsum(amounts)
    times = np.column_stack([begins, ends]).ravel()
    sums = np.column_stack([total - amounts, total]).ravel()
    return np.interp(at, times, sums, left=0.0)


def _bits(quality: int) -> int:
    """Return the bits of a sample; a doubtful source time only questions: the time of arrival stands for it."""
    bits = int(sample_quality(quality & ~int(PointQuality.TIME_INVALID)))
    return bits | (int(Quality.QUESTIONABLE) if quality & PointQuality.TIME_INVALID else 0)
