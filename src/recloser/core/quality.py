"""Owns the quality vocabulary of a sample. Does not decide who sets which flag."""

from __future__ import annotations

from enum import IntFlag


class Quality(IntFlag):
    """Bits that say why a value may not be trusted; GOOD is zero, bits combine.

    `UNUSABLE` collects the bits that exclude a value from features, training and scoring.
    """

    GOOD = 0
    MISSING = 1
    STUCK = 2
    OUT_OF_RANGE = 4
    SPIKE = 8
    UNIT_SUSPECT = 16
    SHIFT_SUSPECT = 32
    QUESTIONABLE = 64
    SUBSTITUTED = 128
    ESTIMATED = 256
    UNUSABLE = MISSING | STUCK | OUT_OF_RANGE | SPIKE | UNIT_SUSPECT | SHIFT_SUSPECT


def describe(quality: int) -> str:
    """Return the flag names joined by '+', or 'GOOD'."""
    names = [flag.name or "" for flag in Quality(quality) if flag]
    return "+".join(names) if names else "GOOD"
