"""Owns the oscillations of a window: strength, frequency, growth and common movement in electromechanical bands.

Bands: forced and governor-driven below 0.15 Hz are left out (a window of ten seconds cannot hold them); inter-area
0.15 to 0.8 Hz, local 0.8 to 2.5 Hz (Kundur, Power System Stability and Control, 1994, section 12.2).
"""

from __future__ import annotations

import numpy as np

from recloser.core import FloatArray
from recloser.features.phasors.block import Flags
from recloser.features.phasors.cleaning import Window

_BANDS = {"inter": (0.15, 0.8), "local": (0.8, 2.5)}
MODE_NAMES: tuple[str, ...] = (
    *(f"{band}_{what}" for band in _BANDS for what in ("hz", "peak", "share", "growth")),
    "common_share",
    "common_inter_hz",
    "common_growth",
)


def mode_numbers(window: Window) -> FloatArray:
    """Return per band amplitude (Hz), its peak (Hz), the peak's share and growth; then the common movement."""
    n = len(window.seconds)
    quiet = _without_trend(window.frequency)
    apart = quiet - np.median(quiet, axis=1, keepdims=True)
    taper = np.hanning(n)[:, None]
    power = np.abs(np.fft.rfft(apart * taper, axis=0)) ** 2
    hz: FloatArray = np.fft.rfftfreq(n, 1.0 / window.rate_hz).astype(np.float64)
    total = power.sum(axis=1)
    result: list[float] = []
    for low, high in _BANDS.values():
        inside: Flags = (hz >= low) & (hz <= high)
        result += _band(apart, total, hz, inside, window.rate_hz)
    return np.array([*result, *_common(apart, window.rate_hz)])


def _without_trend(numbers: FloatArray) -> FloatArray:
    """Return columns less their least-squares parabola, by orthonormal polynomials.

    Sums instead of a matrix library, here and in `_common`: its threads cost eight times the work on arrays this small.
    """
    level = np.linspace(-1.0, 1.0, len(numbers))
    done: list[FloatArray] = []
    for power in (np.ones_like(level), level, level**2):
        rest = power
        for other in done:
            rest = rest - other * float(np.einsum("t,t->", other, rest))
        size = float(np.sqrt(np.einsum("t,t->", rest, rest)))
        if size > 1e-12:
            done.append(rest / size)
    result = numbers
    for other in done:
        result = result - other[:, None] * np.einsum("t,tp->p", other, result)[None, :]
    return result


def _band(apart: FloatArray, total: FloatArray, hz: FloatArray, inside: Flags, rate_hz: float) -> list[float]:
    if not inside.any():
        return [0.0, 0.0, 0.0, 0.0]
    picked = np.where(inside, total, 0.0)
    top = int(np.argmax(picked))
    near = picked[max(0, top - 1) : top + 2].sum()
    everything = float(total.sum())
    wave = _only(apart, inside)
    half = len(wave) // 2
    first, second = float(np.square(wave[:half]).sum()), float(np.square(wave[half:]).sum())
    amplitude = float(np.sqrt(2.0 * np.square(wave).mean(axis=0).max()))
    growth = float(np.log((second + 1e-12 * rate_hz) / (first + 1e-12 * rate_hz)))
    return [amplitude, float(hz[top]), float(near / everything) if everything > 0.0 else 0.0, growth]


def _only(numbers: FloatArray, inside: Flags) -> FloatArray:
    spectrum = np.fft.rfft(numbers, axis=0)
    spectrum[~inside] = 0.0
    result: FloatArray = np.fft.irfft(spectrum, n=len(numbers), axis=0)
    return result


def _common(apart: FloatArray, rate_hz: float) -> list[float]:
    """Return the share of the strongest common movement, its main frequency (Hz), and its growth in the window."""
    covariance = np.einsum("ti,tj->ij", apart, apart)
    values, vectors = np.linalg.eigh(covariance)
    total = float(values.sum())
    if total <= 0.0:
        return [0.0, 0.0, 0.0]
    movement = np.einsum("ti,i->t", apart, vectors[:, -1])
    power = np.abs(np.fft.rfft(movement)) ** 2
    top = int(np.argmax(power[1:])) + 1 if len(power) > 1 else 0
    half = len(movement) // 2
    first, second = float(np.square(movement[:half]).sum()), float(np.square(movement[half:]).sum())
    return [
        float(values[-1]) / total,
        top * rate_hz / len(movement),
        float(np.log((second + 1e-12 * rate_hz) / (first + 1e-12 * rate_hz))),
    ]
