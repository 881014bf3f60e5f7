"""Owns the time shapes of a power system's answers: frequency after a lost plant, ringing modes, ambient swinging.

Sources: Anderson & Mirheydar (1990), A Low-Order System Frequency Response Model, IEEE Trans. Power Syst. 5(3), for the
frequency of the whole system after a step of power; second-order modes excited by random load for the ambient
(IEEE PES TR-15, 2012).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recloser.core import FloatArray


@dataclass(frozen=True, slots=True)
class Governor:
    """Parameters of the low-order response, per unit on the system's base; reheat time in seconds."""

    droop: float = 0.05
    gain: float = 0.95
    damping: float = 1.0
    high_pressure: float = 0.3
    reheat_s: float = 8.0


def frequency_response(seconds: FloatArray, power_pu: float, inertia_s: float, governor: Governor) -> FloatArray:
    """Return per-unit frequency deviation at times after a step of power (negative: generation lost); 0 before it."""
    r, d, km = governor.droop, governor.damping, governor.gain
    fh, tr = governor.high_pressure, governor.reheat_s
    natural = np.sqrt((d * r + km) / (2.0 * inertia_s * r * tr))
    zeta = natural * (2.0 * inertia_s * r + (d * r + km * fh) * tr) / (2.0 * (d * r + km))
    zeta = min(zeta, 0.98)
    damped = natural * np.sqrt(1.0 - zeta**2)
    alpha = np.sqrt((1.0 - 2.0 * tr * zeta * natural + (tr * natural) ** 2) / (1.0 - zeta**2))
    phase = np.arctan2(damped * tr, 1.0 - zeta * natural * tr) - np.arctan2(np.sqrt(1.0 - zeta**2), -zeta)
    t = np.maximum(seconds, 0.0)
    wave = 1.0 + alpha * np.exp(-zeta * natural * t) * np.sin(damped * t + phase)
    settled = r * power_pu / (d * r + km)
    result: FloatArray = np.where(seconds > 0.0, settled * wave, 0.0)
    return result


def ringing(seconds: FloatArray, hz: float, damping: float) -> FloatArray:
    """Return exp(-damping w t) sin(w_d t) from time 0 on, 0 before."""
    w = 2.0 * np.pi * hz
    t = np.maximum(seconds, 0.0)
    result: FloatArray = np.exp(-damping * w * t) * np.sin(w * np.sqrt(1.0 - min(damping, 0.99) ** 2) * t)
    return result


def ambient(rng: np.random.Generator, count: int, rate_hz: float, hz: float, damping: float) -> FloatArray:
    """Return `count` samples of a mode driven by random load, sd 1: white noise through the mode's impulse response."""
    lead = int(rate_hz * min(60.0, 5.0 / (damping * 2.0 * np.pi * hz)))
    shocks = rng.standard_normal(count + lead)
    answer = ringing(np.arange(lead + 1) / rate_hz, hz, damping)
    size = 1 << int(np.ceil(np.log2(len(shocks) + len(answer))))
    full = np.fft.irfft(np.fft.rfft(shocks, size) * np.fft.rfft(answer, size), size)
    wave: FloatArray = full[lead : lead + count]
    spread = float(np.sqrt(np.square(answer).sum()))
    return wave / spread
