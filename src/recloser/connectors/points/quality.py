"""Owns the quality of a point reading in one vocabulary, and what it means for a stored sample. Not who sets it."""

from __future__ import annotations

from enum import IntFlag

from recloser.core import Quality


class PointQuality(IntFlag):
    """Bits that say why a reading may not be trusted; GOOD is zero, bits combine.

    UNUSABLE collects those after which the value says nothing about the plant now.
    """

    GOOD = 0
    INVALID = 1  # the device says so
    OLD = 2  # not refreshed in time: IEC "not topical", a lost link between device and field
    OFFLINE = 4  # the point is not in service
    RESTARTED = 8  # not scanned since the device started
    SUBSTITUTED = 16  # entered by an operator or a program, locally or remotely
    BLOCKED = 32  # held at its last value
    OVERFLOW = 64  # beyond what the device can measure or send
    CHATTERING = 128  # changes too often
    INACCURATE = 256  # a reference or calibration fault
    ROLLED_OVER = 512  # a counter that is not continuous with the one before
    TIME_INVALID = 1024  # the source's time stamp is not to be trusted; the receive time stands for it
    UNSYNCHRONISED = 2048  # the source's clock is not bound to UTC
    TEST = 4096  # sent in a test
    UNCERTAIN = 8192  # the device cannot tell
    COUNTER_ADJUSTED = 16384  # a counter that was set since the last reading
    DATA_MODIFIED = 32768  # post-processed by a concentrator
    STALE = 65536  # our own mark: the link is down since
    OUT_OF_LIMITS = 131072  # our own, as those below: beyond the registry's limits
    JUMP = 262144  # changed faster than the registry allows, and not confirmed by what followed
    UNCHANGED = 524288  # exactly the same for longer than the registry allows
    UNIT_SUSPECT = 1048576  # a thousand times what it was, or a thousandth
    CLOCK_SUSPECT = 2097152  # the source's clock is ahead, or whole hours away; the receive time stands for it
    CYCLING = 4194304  # the same numbers in the same order, again and again
    UNUSABLE = INVALID | OFFLINE | RESTARTED | OVERFLOW | TEST


def has_any(quality: int, bits: int) -> bool:
    """Return whether a quality has any of some bits; ten times as fast as `quality & bits`, for each reading."""
    return int.__and__(quality, bits) != 0


TO_SAMPLE: dict[PointQuality, Quality] = {
    PointQuality.INVALID: Quality.MISSING,
    PointQuality.OFFLINE: Quality.MISSING,
    PointQuality.RESTARTED: Quality.MISSING,
    PointQuality.TEST: Quality.MISSING,
    PointQuality.OVERFLOW: Quality.OUT_OF_RANGE,
    PointQuality.OLD: Quality.STUCK,
    PointQuality.BLOCKED: Quality.STUCK,
    PointQuality.STALE: Quality.STUCK,
    PointQuality.SUBSTITUTED: Quality.SUBSTITUTED,
    PointQuality.TIME_INVALID: Quality.SHIFT_SUSPECT,
    PointQuality.CHATTERING: Quality.QUESTIONABLE,
    PointQuality.INACCURATE: Quality.QUESTIONABLE,
    PointQuality.ROLLED_OVER: Quality.QUESTIONABLE,
    PointQuality.UNSYNCHRONISED: Quality.QUESTIONABLE,
    PointQuality.UNCERTAIN: Quality.QUESTIONABLE,
    PointQuality.COUNTER_ADJUSTED: Quality.QUESTIONABLE,
    PointQuality.DATA_MODIFIED: Quality.ESTIMATED,
    PointQuality.OUT_OF_LIMITS: Quality.OUT_OF_RANGE,
    PointQuality.JUMP: Quality.SPIKE,
    PointQuality.UNCHANGED: Quality.STUCK,
    PointQuality.UNIT_SUSPECT: Quality.UNIT_SUSPECT,
    PointQuality.CLOCK_SUSPECT: Quality.QUESTIONABLE,
    PointQuality.CYCLING: Quality.STUCK,
}


def sample_quality(quality: int) -> Quality:
    """Return the bits of a stored sample: what excludes it from features, training and scoring, or questions it."""
    result = Quality.GOOD
    for flag in PointQuality(quality):
        result |= TO_SAMPLE[flag]
    return result


def worded(quality: int) -> str:
    """Return the flag names joined by '+', or 'GOOD'."""
    return "+".join(flag.name or "" for flag in PointQuality(quality)) or "GOOD"
