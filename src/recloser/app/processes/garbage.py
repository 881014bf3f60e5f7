"""Owns how often a process looks for cyclic garbage. Frees nothing itself."""

from __future__ import annotations

import gc

THRESHOLDS = (50_000, 10, 10)


def look_rarely_for_garbage() -> None:
    """Let this process look through its objects only after many new ones.

    Records of a fleet are a hundred objects a forecast and have no cycles: with the interpreter's own numbers (700 new
    objects) two fifths of a recall were spent on looking through them. A look then takes about a millisecond, so
    gateways, which answer in less, keep those numbers.
    """
    gc.set_threshold(*THRESHOLDS)
