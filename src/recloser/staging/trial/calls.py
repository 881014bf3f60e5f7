"""Owns measuring a predictor's latency with a given timer, and the check against the service level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recloser.core import FloatArray, InvalidInput
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

MINIMUM_CALLS = 20


@dataclass(frozen=True, slots=True)
class Latency:
    """Measured time per call in milliseconds."""

    p50_ms: float
    p99_ms: float
    largest_ms: float
    calls: int


def measure_latency(
    predict: Callable[[pl.DataFrame], FloatArray],
    requests: Sequence[pl.DataFrame],
    timer: Callable[[], float],
    *,
    calls: int = 50,
    warm_up: int = 3,
) -> Latency:
    """Call `predict` on the requests in turn, one after another.

    Args:
        predict: what would serve.
        requests: rows as production would send them; one area's day each, say.
        timer: monotonic seconds, e.g. time.perf_counter.
        calls: measured calls.
        warm_up: calls before them that do not count.

    Raises:
        InvalidInput: no requests or no calls.
    """
    if not requests or calls < 1:
        raise InvalidInput("nothing to measure latency with", got=calls, where="measure_latency")
    for index in range(warm_up):
        predict(requests[index % len(requests)])
    spent = np.empty(calls)
    for index in range(calls):
        began = timer()
        predict(requests[index % len(requests)])
        spent[index] = timer() - began
    p50, p99 = np.quantile(spent, [0.5, 0.99]) * 1000.0
    return Latency(float(p50), float(p99), float(spent.max() * 1000.0), calls)


def check_latency(latency: Latency, policy: GatePolicy) -> CheckResult:
    """Check p50 and p99 against the service level; too few calls are a hold."""
    numbers = {
        "p50_ms": latency.p50_ms,
        "p99_ms": latency.p99_ms,
        "largest_ms": latency.largest_ms,
        "calls": latency.calls,
    }
    thresholds = {"latency_p50_ms": policy.latency_p50_ms, "latency_p99_ms": policy.latency_p99_ms}
    told = f"p50 {latency.p50_ms:.3g} ms, p99 {latency.p99_ms:.3g} ms over {latency.calls} calls"
    if latency.calls < MINIMUM_CALLS:
        return CheckResult("latency", HOLD, f"only {latency.calls} calls measured", numbers, thresholds)
    # Written so that a NaN refuses.
    fast = latency.p50_ms <= policy.latency_p50_ms and latency.p99_ms <= policy.latency_p99_ms
    return CheckResult("latency", PASS if fast else REFUSE, told if fast else f"too slow: {told}", numbers, thresholds)
