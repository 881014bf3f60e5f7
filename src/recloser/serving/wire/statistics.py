"""Owns statistics of inference by model, as the protocol's statistics extension counts them. Keeps no history."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, Self

from recloser.core import Clock
from recloser.serving.wire.figures import ModelCounts

Phase = Literal["compute_input", "compute_infer", "compute_output"]
DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")


class Stopwatch:
    """Times the phases of one request, within `with`; lives for one call.

    Attributes:
        rows: rows answered; set by the transport.
    """

    __slots__ = ("_begun", "_end", "_lap_begun", "_timer", "phases", "rows")

    def __init__(self, timer: Callable[[], int], end: Callable[[Stopwatch, bool], None]) -> None:
        self._timer, self._end = timer, end
        self._begun = self._lap_begun = timer()
        self.rows = 0
        self.phases: dict[Phase, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end(self, kind is not None)

    def lap(self, phase: Phase) -> None:
        """End a phase that began where the last one ended."""
        now = self._timer()
        self.phases[phase] = now - self._lap_begun
        self._lap_begun = now

    def total_ns(self) -> int:
        """Return nanoseconds since the request began."""
        return self._timer() - self._begun


class Statistics:
    """Counts requests, rows and nanoseconds by model; thread safe.

    Args:
        timer: monotonic nanoseconds.
    """

    def __init__(self, timer: Callable[[], int] = time.perf_counter_ns) -> None:
        self._timer = timer
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[str]] = {}
        self._last: dict[str, datetime] = {}

    def request(self, model: str, clock: Clock) -> Stopwatch:
        """Time a request; one that ends with an exception counts as failed. Give the names of known models only."""
        return Stopwatch(self._timer, lambda watch, failed: self._note(model, watch, clock.now(), failed=failed))

    def _note(self, model: str, watch: Stopwatch, now: datetime, *, failed: bool) -> None:
        outcome = "fail" if failed else "success"
        with self._lock:
            counts = self._counts.setdefault(model, Counter())
            counts[f"{outcome}.count"] += 1
            counts[f"{outcome}.ns"] += watch.total_ns()
            if failed:
                return
            self._last[model] = now
            counts["rows"] += watch.rows
            for phase, elapsed_ns in watch.phases.items():
                counts[f"{phase}.count"] += 1
                counts[f"{phase}.ns"] += elapsed_ns

    def counts(self) -> dict[str, dict[str, int]]:
        """Return model -> counts: 'rows', and '<duration>.count' and '<duration>.ns' of what happened."""
        with self._lock:
            return {model: dict(counts) for model, counts in sorted(self._counts.items())}

    def snapshot(self) -> dict[str, ModelCounts]:
        """Return the counts of every model asked so far, and when it was asked last."""
        with self._lock:
            return {
                model: ModelCounts(dict(counts), _milliseconds(self._last.get(model)))
                for model, counts in sorted(self._counts.items())
            }

    def of(self, model: str, version: str) -> dict[str, Any]:
        """Return one model's statistics in this process as a document of the extension."""
        return statistics_document(model, version, self.snapshot().get(model, ModelCounts()))


def statistics_document(model: str, version: str, counted: ModelCounts) -> dict[str, Any]:
    """Return one model's statistics as a document of the extension; rows are what it calls inferences."""
    counts = Counter(counted.counts)
    return {
        "name": model,
        "version": version,
        "last_inference": counted.last_ms,
        "inference_count": counts["rows"],
        "execution_count": counts["success.count"],
        "inference_stats": {name: {"count": counts[f"{name}.count"], "ns": counts[f"{name}.ns"]} for name in DURATIONS},
        "batch_stats": [],
    }


def _milliseconds(instant: datetime | None) -> int:
    return 0 if instant is None else int(instant.timestamp() * 1000)
