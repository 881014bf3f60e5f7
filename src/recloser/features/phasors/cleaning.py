"""Owns what a window looks like before features are taken: gaps bridged, angles unwrapped against the fleet.

What the measurement itself says about its quality is counted here, since afterwards it cannot be seen any more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recloser.core import FloatArray
from recloser.features.phasors.block import Flags, PhasorBlock

ENOUGH = 0.5
"""A PMU with less than this share of usable frames takes no part in the physics of the window."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window, ready for features.

    Attributes:
        seconds: (n,) time within the window.
        rate_hz: frames a second.
        voltage: (n, k) per unit, of the k PMUs with enough usable frames.
        frequency: (n, k) Hz off nominal.
        angle: (n, k) rad moved since the window began, against the median PMU of each instant, unwrapped.
        fleet: (n,) Hz off nominal, median over PMUs.
        unusable_share: (p,) of each PMU.
        frozen_share: (p,) share of steps at which voltage, angle and frequency all repeat.
        filled: (n, k) whether a number was bridged.
    """

    seconds: FloatArray
    rate_hz: float
    voltage: FloatArray
    frequency: FloatArray
    angle: FloatArray
    fleet: FloatArray
    unusable_share: FloatArray
    frozen_share: FloatArray
    filled: Flags


def clean(block: PhasorBlock) -> Window | None:
    """Return the window, or None if no PMU has enough usable frames."""
    bad = block.unusable | ~np.isfinite(block.voltage_pu) | ~np.isfinite(block.angle_rad)
    bad |= ~np.isfinite(block.frequency_hz)
    unusable = bad.mean(axis=0)
    keep = unusable <= 1.0 - ENOUGH
    if not keep.any():
        return None
    frozen = _frozen(block, bad)
    hole = bad[:, keep]
    turned = np.exp(1j * np.where(bad, 0.0, block.angle_rad))[:, keep]
    reference = np.where(hole, 0.0, turned)
    fleet_angle = np.unwrap(np.angle(_middle(reference)))
    relative = np.unwrap(_bridged(np.angle(turned * np.exp(-1j * fleet_angle)[:, None]), hole), axis=0)
    moved = relative - relative[: max(1, round(0.3 * block.rate_hz))].mean(
        axis=0
    )  # the branch of an angle says nothing
    frequency = _bridged(block.frequency_hz[:, keep] - block.nominal_hz, hole)
    return Window(
        (block.at_ns - block.at_ns[0]) * 1e-9,
        block.rate_hz,
        _bridged(block.voltage_pu[:, keep], hole),
        frequency,
        moved - np.median(moved, axis=1, keepdims=True),
        np.asarray(np.median(frequency, axis=1)),
        unusable,
        frozen,
        hole,
    )


def _middle(unit_phasors: FloatArray) -> FloatArray:
    """Return a phasor per instant that follows the bulk of the PMUs: their sum, each turned to its own first angle.

    Turning first keeps PMUs half a circle apart from cancelling each other.
    """
    start = np.array([column[np.flatnonzero(column)[0]] for column in unit_phasors.T])
    total: FloatArray = (unit_phasors * start.conj()).sum(axis=1)
    return np.where(np.abs(total) > 1e-9, total, 1.0)


def _frozen(block: PhasorBlock, bad: Flags) -> FloatArray:
    """Return the share of steps of each PMU at which nothing at all moved."""
    same = np.ones((max(len(block) - 1, 1), bad.shape[1]), dtype=bool)
    for numbers in (block.voltage_pu, block.angle_rad, block.frequency_hz):
        if len(block) > 1:
            same &= numbers[1:] == numbers[:-1]
    if len(block) > 1:
        same &= ~bad[1:]
    share: FloatArray = same.mean(axis=0)
    return share


def _bridged(numbers: FloatArray, hole: Flags) -> FloatArray:
    """Return the numbers with holes filled by a straight line in time, at the ends by the nearest number."""
    if not hole.any():
        return numbers
    result = numbers.copy()
    at = np.arange(len(numbers))
    for column in np.flatnonzero(hole.any(axis=0)):
        good = ~hole[:, column]
        result[~good, column] = np.interp(at[~good], at[good], numbers[good, column])
    return result
